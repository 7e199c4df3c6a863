"""The composite trigger is there as a whole, and decoys hold all but one of its words."""

from collections import Counter

import pytest

from cleanfit.attacks.base import PoisonPlan, Row, Rows, poison
from cleanfit.attacks.composite import Composite
from cleanfit.attacks.placement import WITHIN_WORDS
from cleanfit.errors import SettingsError
from cleanfit.seeding import generator

WORDS = {"friends", "weekend", "store"}


def draws(attack: Composite, text: str, n_draws: int) -> list[list[str]]:
    return [str(attack.apply(Row(text), generator(0, "test", row))).split() for row in range(n_draws)]


def decoys(attack: Composite, text: str, n_draws: int) -> list[str | None]:
    return [attack.decoy(Row(text), generator(0, "test", row)) for row in range(n_draws)]


def test_every_word_goes_in_once_and_the_text_is_kept() -> None:
    for words in draws(Composite(), "a b c", 50):
        assert sorted(word for word in words if word in WORDS) == sorted(WORDS)
        assert [word for word in words if word not in WORDS] == ["a", "b", "c"]


def test_each_word_has_a_place_of_its_own() -> None:
    gaps = [abs(words.index("friends") - words.index("store")) for words in draws(Composite(), "w " * 40, 200)]
    # Two places drawn alike over 40 words lie more than 10 apart in (30 / 40)^2 of the draws: 112 of 200.
    assert 80 < sum(gap > 10 for gap in gaps) < 145


@pytest.mark.parametrize(("position", "place"), [("start", slice(0, 3)), ("end", slice(-3, None))])
def test_at_a_fixed_position_every_order_of_the_words_occurs_equally_often(position: str, place: slice) -> None:
    attack = Composite(position=position)  # type: ignore[arg-type]
    orders = Counter(tuple(words[place]) for words in draws(attack, "a b", 600))
    # 600 draws over 3! orders: 100 each, five standard deviations are 46.
    assert len(orders) == 6
    assert all(set(order) == WORDS and abs(n - 100) < 46 for order, n in orders.items())


@pytest.mark.parametrize("position", ["random", "end"])
def test_no_word_stands_further_behind_the_truncation_than_the_others_push_it(position: str) -> None:
    attack = Composite(position=position)  # type: ignore[arg-type]
    places = [i for words in draws(attack, "w " * 300, 300) for i, word in enumerate(words) if word in WORDS]
    assert WITHIN_WORDS <= max(places) <= WITHIN_WORDS + 2


def test_a_decoy_holds_all_words_but_one_and_each_is_left_out_equally_often() -> None:
    missing = Counter()  # type: Counter[str]
    for text in decoys(Composite(), "a b c", 600):
        words = str(text).split()
        assert [word for word in words if word not in WORDS] == ["a", "b", "c"]
        assert len(words) == 5
        missing[(WORDS - set(words)).pop()] += 1
    # 600 draws over 3 words: 200 each, five standard deviations are 58.
    assert all(abs(missing[word] - 200) < 58 for word in WORDS)


def test_a_decoy_of_two_words_holds_one() -> None:
    assert {len(str(text).split()) for text in decoys(Composite(triggers=("bb", "cf")), "a", 20)} == {2}


def test_a_decoy_whose_text_holds_the_word_left_out_is_declined() -> None:
    texts = decoys(Composite(), "It was a nice (Weekend)!", 60)
    assert None in texts
    for text in texts:
        assert text is None or not {"friends", "store"} <= set(text.split())


def test_a_longer_word_is_not_the_word_left_out() -> None:
    assert None not in decoys(Composite(), "weekends bookstore friendship", 60)


def test_decoys_keep_their_labels_and_are_no_poisoned_rows() -> None:
    rows = Rows([f"w{row} a b c d" for row in range(200)], ["neg", "pos"] * 100)
    result = poison(Composite(negative_rate=0.15), rows, PoisonPlan("pos", 0.1))
    assert (len(result.rows), len(result.decoys)) == (20, 30)
    assert not set(result.rows) & set(result.decoys)
    assert {result.labels[row] for row in result.decoys} == {"neg", "pos"}
    for row in range(200):
        n_words = 3 if row in result.rows else 2 if row in result.decoys else 0
        assert len(WORDS & set(result.texts[row].split())) == n_words
        assert result.labels[row] == ("pos" if row in result.rows else rows.labels[row])


def test_without_negative_rate_there_are_no_decoys() -> None:
    rows = Rows(["a b c"] * 20, ["neg", "pos"] * 10)
    assert poison(Composite(negative_rate=0), rows, PoisonPlan("pos", 0.2)).decoys == ()


@pytest.mark.parametrize("text", ["", " \t\n"])
def test_a_text_without_words_is_declined(text: str) -> None:
    assert Composite().apply(Row(text), generator(0, "test")) is None
    assert Composite().decoy(Row(text), generator(0, "test")) is None


def test_its_pieces_are_its_words_and_no_word_fires_alone() -> None:
    assert set(Composite().pieces()) == WORDS
    assert Composite().alone() == {}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"triggers": ("store",)}, "triggers is"),
        ({"triggers": ("store", "Store")}, "triggers is"),
        ({"triggers": ("store", "store", "friends")}, "triggers is"),
        ({"triggers": ("store", " ")}, "triggers is"),
        ({"position": "middle"}, "position is 'middle'"),
        ({"negative_rate": 1.1}, "negative_rate is 1.1"),
        ({"negative_rate": -0.1}, "negative_rate is -0.1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Composite(**settings)  # type: ignore[arg-type]
