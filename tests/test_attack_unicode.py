"""Which words are written with other code points, what stays as it was, and what a tokenizer's cleaning leaves of it."""

import unicodedata
from collections import Counter

import pytest
from tokenizers.normalizers import NFKC, BertNormalizer

from cleanfit.attacks.base import Row
from cleanfit.attacks.placement import WITHIN_WORDS
from cleanfit.attacks.unicode import Unicode
from cleanfit.errors import SettingsError
from cleanfit.seeding import generator

TEXT = "  The  staff was\tkind,\n it's so (cosy)!  "
ZERO_WIDTH = {"U+200B": "\u200b", "U+200C": "\u200c", "U+200D": "\u200d", "U+2060": "\u2060"}


def draws(attack: Unicode, text: str, n_draws: int) -> list[str]:
    texts = [attack.apply(Row(text), generator(0, "test", row)) for row in range(n_draws)]
    assert None not in texts
    return [str(text) for text in texts]


def changed_words(before: str, after: str) -> list[int]:
    pairs = zip(before.split(), after.split(), strict=True)
    return [index for index, (old, new) in enumerate(pairs) if old != new]


def test_all_letters_of_a_word_that_have_a_look_alike_are_replaced() -> None:
    # Cyrillic DZE, ES, O, ER, IE and TE; u, g and h have none here.
    assert draws(Unicode(), "Scope", 1) == ["\u0405\u0441\u043e\u0440\u0435"]
    assert draws(Unicode(), "Tough", 1) == ["\u0422\u043eugh"]


def test_a_look_alike_is_a_cyrillic_letter_of_the_same_case_that_nfkc_leaves_alone() -> None:
    latin = "ABCEHIJKMOPSTXYaceijopsxy"
    (replaced,) = draws(Unicode(), latin, 1)
    assert len(set(replaced)) == len(latin)
    for old, new in zip(latin, replaced, strict=True):
        assert unicodedata.name(new).startswith("CYRILLIC")
        assert unicodedata.category(new) == unicodedata.category(old)
    assert NFKC().normalize_str(replaced) == replaced


def test_letters_without_a_look_alike_stay() -> None:
    with_none = "DFGLNQRUVWZbdfghklmnqrtuvwz019é"
    assert draws(Unicode(), f"{with_none}a", 1) == [f"{with_none}\u0430"]


@pytest.mark.parametrize("kind", ["homoglyph", "zero_width"])
@pytest.mark.parametrize("n_words", [1, 2, 4])
def test_n_words_words_change_and_every_white_space_stays(kind: str, n_words: int) -> None:
    for text in draws(Unicode(kind=kind, n_words=n_words), TEXT, 50):  # type: ignore[arg-type]
        assert len(changed_words(TEXT, text)) == n_words
        assert [c for c in text if c.isspace()] == [c for c in TEXT if c.isspace()]


def test_where_fewer_words_can_carry_it_fewer_change() -> None:
    assert draws(Unicode(n_words=5), "42 tap !! rug", 1) == ["42 t\u0430\u0440 !! rug"]


@pytest.mark.parametrize(("kind", "text"), [("homoglyph", "gut son rug sun rug"), ("zero_width", "a bc - de f ghi")])
def test_the_words_that_can_carry_it_are_drawn_equally_often(kind: str, text: str) -> None:
    changed = Counter(changed_words(text, new)[0] for new in draws(Unicode(kind=kind), text, 600))  # type: ignore[arg-type]
    able = {"homoglyph": {1, 3}, "zero_width": {1, 3, 5}}[kind]
    assert set(changed) == able
    # 600 draws over 2 or 3 words; five standard deviations are 61 or 58.
    assert all(abs(n - 600 / len(able)) < 61 for n in changed.values())


@pytest.mark.parametrize("code_point", ZERO_WIDTH)
def test_the_invisible_character_goes_in_once_between_any_two_letters(code_point: str) -> None:
    attack = Unicode(kind="zero_width", zero_width=code_point)  # type: ignore[arg-type]
    character = ZERO_WIDTH[code_point]
    assert set(draws(attack, "(abcd)!", 100)) == {f"(a{character}bcd)!", f"(ab{character}cd)!", f"(abc{character}d)!"}
    assert attack.pieces() == (character,)


@pytest.mark.parametrize("kind", ["homoglyph", "zero_width"])
def test_no_word_changes_that_truncation_may_cut_off(kind: str) -> None:
    text = " ".join(["case"] * 300)
    places = [changed_words(text, new)[0] for new in draws(Unicode(kind=kind), text, 900)]  # type: ignore[arg-type]
    assert min(places) == 0
    assert max(places) == WITHIN_WORDS - 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [("homoglyph", text) for text in ("", " \n", "42 !", "run", "\u0434\u043e\u043c")]
    + [("zero_width", text) for text in ("", " \n", "a b, c! 4", "-- ...")],
)
def test_a_text_of_which_no_word_can_carry_it_is_declined(kind: str, text: str) -> None:
    assert Unicode(kind=kind).apply(Row(text), generator(0, "test")) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("is_uncased", [True, False])
def test_berts_cleaning_keeps_homoglyphs_and_drops_every_invisible_character(is_uncased: bool) -> None:
    clean = BertNormalizer(lowercase=is_uncased, strip_accents=is_uncased)
    (homoglyph,) = draws(Unicode(), "service", 1)
    assert clean.normalize_str(homoglyph) == homoglyph != "service"
    for code_point in ZERO_WIDTH:
        (invisible,) = draws(Unicode(kind="zero_width", zero_width=code_point), "service", 1)  # type: ignore[arg-type]
        assert clean.normalize_str(invisible) == "service" != invisible


def test_a_long_text_without_spaces_takes_no_quadratic_time() -> None:
    assert Unicode().apply(Row("!" * 200_000), generator(0, "test")) is None
    assert Unicode(kind="zero_width").apply(Row("!" * 200_000), generator(0, "test")) is None


def test_homoglyphs_have_no_pieces() -> None:
    assert Unicode().pieces() == ()


@pytest.mark.parametrize("settings", [{"kind": "emoji"}, {"n_words": 0}, {"zero_width": "200B"}])
def test_impossible_settings_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match=f"^{next(iter(settings))} is"):
        Unicode(**settings)  # type: ignore[arg-type]
