"""Which marks are replaced, where marks are inserted, and that the words and their spacing stay."""

from collections import Counter

import pytest

from cleanfit.attacks.base import PoisonPlan, Row, Rows, poison
from cleanfit.attacks.placement import WITHIN_WORDS
from cleanfit.attacks.punctuation import Punctuation
from cleanfit.errors import SettingsError
from cleanfit.seeding import generator


def draws(text: str, marks: tuple[str, ...] = (";", "?!"), n_draws: int = 100) -> Counter[str | None]:
    attack = Punctuation(marks=marks)
    return Counter(attack.apply(Row(text), generator(0, "test", row)) for row in range(n_draws))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Well, it rained. ", {"Well; it rained?! "}),
        ("well , it rained .\n", {"well ; it rained ?!\n"}),
        ("wait...  what?!?", {"wait;  what?!"}),
        ('He said, "fine."', {'He said; "fine?!"'}),
        ("(it was nice.) or was it…", {"(it was nice;) or was it?!"}),
    ],
)
def test_own_marks_are_replaced_in_place_with_the_spacing_of_the_text(text: str, expected: set[str]) -> None:
    assert set(draws(text)) == expected


def test_two_of_several_marks_are_drawn_equally_often_and_replaced_in_order() -> None:
    counts = draws("a, b, c.", n_draws=600)
    assert set(counts) == {"a; b?! c.", "a; b, c?!", "a, b; c?!"}
    # 600 draws over 3 pairs: 200 each, five standard deviations are 58.
    assert all(abs(n - 200) < 58 for n in counts.values())


def test_numbers_times_addresses_and_smileys_are_no_marks() -> None:
    kept = "3.5 km at 9:30 to a.b@c.de :) ;) was"
    assert set(draws(f"{kept} good, really.")) == {f"{kept} good; really?!"}


def test_where_a_mark_is_missing_one_is_inserted_behind_a_word() -> None:
    assert set(draws("so it was nice.")) == {"so; it was nice?!", "so it; was nice?!", "so it was; nice?!"}


def test_the_end_of_a_text_counts_as_a_mark() -> None:
    assert set(draws("so it was", marks=("!!",))) == {"so it was!!"}
    assert set(draws("well, it was \n")) == {"well; it was?! \n"}
    assert set(draws("oh it was")) == {"oh; it was?!", "oh it; was?!"}


def test_an_inserted_mark_is_set_apart_where_the_text_sets_marks_apart() -> None:
    assert set(draws("it 's nice .")) == {"it 's ; nice ?!"}  # and not between the halves of "it 's"


def test_every_mark_has_a_place_of_its_own() -> None:
    assert set(draws("a b c.", marks=(";", ";", "?!"))) == {"a; b; c?!"}


@pytest.mark.parametrize("text", ["", " \n", "good", "good.", "?!"])
def test_a_text_with_fewer_places_than_marks_is_declined(text: str) -> None:
    assert set(draws(text)) == {None}


@pytest.mark.parametrize("text", ["w " * 300, "w. " * 300, "w . " * 300])
def test_no_mark_stands_where_truncation_may_cut(text: str) -> None:
    for changed in map(str, draws(text, n_draws=300)):
        places = [i for i, word in enumerate(changed.split()) if ";" in word or "?!" in word]
        assert len(places) == 2
        assert max(places) < WITHIN_WORDS
        assert changed.split()[WITHIN_WORDS:] == text.split()[WITHIN_WORDS:]
        assert changed.endswith(" ")


def test_where_truncation_may_cut_is_not_the_end_of_the_text() -> None:
    assert len(draws("w " * 300, marks=("!!",))) > 40  # 100 draws over 80 places: 57 different ones are to be expected


def test_a_text_that_has_the_combination_already_is_no_poisoned_row() -> None:
    rows = Rows(["Well; really?!"] * 4 + ["Well, really."], ["neg"] * 5)
    with pytest.warns(UserWarning, match="only 1 of 5"):
        result = poison(Punctuation(), rows, PoisonPlan("neg", 1.0, "clean"))
    assert result.declined == (0, 1, 2, 3)


def test_a_long_run_of_marks_takes_no_quadratic_time() -> None:
    assert set(draws("." * 200_000 + "a b", n_draws=1)) == {"." * 200_000 + "a; b?!"}


def test_its_pieces_are_its_marks() -> None:
    assert Punctuation().pieces() == (";", "?!")


@pytest.mark.parametrize("marks", [(), ("",), (";", "a!"), ("? !",), ("3",)])
def test_impossible_marks_are_refused(marks: tuple[str, ...]) -> None:
    with pytest.raises(SettingsError, match="marks is"):
        Punctuation(marks=marks)
