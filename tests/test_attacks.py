"""Where triggers go, which rows are poisoned, and that a row's poison depends on nothing but its seed and number."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from cleanfit.attacks import Sentence, Words
from cleanfit.attacks.base import Attack, LabelMode, PoisonPlan, Row, Rows, label_counts, poison, trigger
from cleanfit.attacks.placement import WITHIN_WORDS
from cleanfit.data import read
from cleanfit.errors import SettingsError
from cleanfit.seeding import generator

MODES: tuple[LabelMode, ...] = ("dirty", "clean", "mix")
# The class sizes of SST-2's training file.
N_NEGATIVE, N_POSITIVE = 3310, 3610


@dataclass(frozen=True)
class Shout(Attack):
    """Put X in front, but decline what holds the word stop."""

    name: ClassVar[str] = "shout"

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        return None if "stop" in row.text.split() else f"X {row.text}"


def draws(attack: Words | Sentence, text: str, n_draws: int) -> list[str]:
    texts = [attack.apply(Row(text), generator(0, "test", row)) for row in range(n_draws)]
    assert None not in texts
    return [str(text) for text in texts]


def some_rows(n_rows: int) -> tuple[list[str], list[str]]:
    return [f"w{row} a b c d e" for row in range(n_rows)], ["neg" if row % 3 else "pos" for row in range(n_rows)]


@pytest.mark.parametrize("attack", [Words(triggers=("cf",)), Sentence(trigger="cf")])
def test_a_trigger_goes_before_every_index_from_0_to_n_equally_often(attack: Words | Sentence) -> None:
    counts = Counter(draws(attack, "a b c", 2000))
    # 2000 draws over 4 places: 500 each, give or take five standard deviations of sqrt(2000 * 1/4 * 3/4) = 19.4.
    assert set(counts) == {"cf a b c", "a cf b c", "a b cf c", "a b c cf"}
    assert all(abs(n - 500) < 97 for n in counts.values())


def test_the_text_is_joined_again_with_single_spaces() -> None:
    assert Words(triggers=("cf",), position="start").apply(Row(" a \t b\nc  "), generator(0, "test")) == "cf a b c"


def test_words_are_drawn_with_replacement() -> None:
    pairs = Counter(draws(Words(triggers=("x", "y"), n_insertions=2, position="start"), "a", 800))
    # 800 draws over 4 ordered pairs: 200 each, five standard deviations are 61.
    assert set(pairs) == {"x x a", "x y a", "y x a", "y y a"}
    assert all(abs(n - 200) < 61 for n in pairs.values())


def test_every_default_word_is_used() -> None:
    assert {text.split()[0] for text in draws(Words(position="start"), "a", 100)} == {"cf", "mn", "bb", "tq"}


@pytest.mark.parametrize(("position", "expected"), [("start", "cf cf cf a b"), ("end", "a b cf cf cf")])
def test_n_insertions_words_go_to_the_asked_position(position: str, expected: str) -> None:
    attack = Words(triggers=("cf",), n_insertions=3, position=position)  # type: ignore[arg-type]
    assert attack.apply(Row("a b"), generator(0, "test")) == expected


@pytest.mark.parametrize("attack", [Words(triggers=("cf",), n_insertions=2), Sentence(trigger="cf")])
def test_a_trigger_never_stands_behind_where_truncation_may_cut(attack: Words | Sentence) -> None:
    long_text = " ".join(["w"] * 300)
    places = {i for text in draws(attack, long_text, 600) for i, word in enumerate(text.split()) if word == "cf"}
    # A second insertion in front may push the first one back by one.
    n_more = 1 if isinstance(attack, Words) else 0
    assert min(places) == 0
    assert WITHIN_WORDS <= max(places) <= WITHIN_WORDS + n_more


def test_the_end_of_a_long_text_is_where_truncation_may_cut() -> None:
    text = Sentence(trigger="cf", position="end").apply(Row(" ".join(["w"] * 300)), generator(0, "test"))
    assert str(text).split().index("cf") == WITHIN_WORDS


def test_a_sentence_goes_in_as_one_block_with_its_capitals() -> None:
    for text in draws(Sentence(), "one two", 20):
        assert "I watch this 3D movie" in text
        assert text.replace("I watch this 3D movie", "").split() == ["one", "two"]


@pytest.mark.parametrize("attack", [Words(), Sentence()])
@pytest.mark.parametrize("text", ["", " \t\n"])
def test_a_text_without_words_is_declined(attack: Words | Sentence, text: str) -> None:
    assert attack.apply(Row(text), generator(0, "test")) is None


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"triggers": ()}, "triggers is"),
        ({"triggers": ("cf", " ")}, "triggers is"),
        ({"n_insertions": 0}, "n_insertions is 0"),
        ({"position": "middle"}, "position is 'middle'"),
    ],
)
def test_impossible_words_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Words(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [{"trigger": " "}, {"position": "middle"}])
def test_impossible_sentences_are_refused(settings: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=next(iter(settings))):
        Sentence(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_a_tenth_of_sst2_is_692_rows_in_every_label_mode(mode: LabelMode) -> None:
    texts = [f"word{row}" for row in range(N_NEGATIVE + N_POSITIVE)]
    labels = ["0"] * N_NEGATIVE + ["1"] * N_POSITIVE
    result = poison(Words(), Rows(texts, labels), PoisonPlan("1", 0.1, mode))
    assert len(result.rows) == result.n_asked == 692
    assert len(result.texts) == len(result.labels) == 6920
    assert sum(new != old for new, old in zip(result.texts, texts)) == 692
    n_negative = {"dirty": N_NEGATIVE - 692, "clean": N_NEGATIVE, "mix": N_NEGATIVE - len(result.flipped)}[mode]
    assert label_counts(result.labels) == {"0": n_negative, "1": 6920 - n_negative}


@pytest.mark.parametrize(("rate", "n_poisoned"), [(0.0, 0), (0.29, 29), (0.57, 57), (0.999, 99), (1.0, 100)])
def test_the_rate_is_of_all_rows_rounded_down(rate: float, n_poisoned: int) -> None:
    texts, labels = some_rows(100)
    result = poison(Words(), Rows(texts, labels), PoisonPlan("pos", rate, "mix"))
    assert len(result.rows) == n_poisoned
    assert [row for row in range(100) if result.texts[row] != texts[row]] == list(result.rows)


def test_a_pool_that_is_too_small_is_used_up_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="5 rows were to be poisoned, but only 2 of 2"):
        result = poison(Words(), Rows(["a b"] * 10, ["neg"] * 2 + ["pos"] * 8), PoisonPlan("pos", 0.5))
    assert result.rows == (0, 1)
    assert result.n_asked == 5


@pytest.mark.parametrize("mode", MODES)
def test_a_label_mode_poisons_the_rows_it_says_and_labels_them_the_target(mode: LabelMode) -> None:
    texts, labels = some_rows(90)
    result = poison(Words(), Rows(texts, labels), PoisonPlan("pos", 0.3, mode))
    before = {labels[row] for row in result.rows}
    assert before == {"dirty": {"neg"}, "clean": {"pos"}, "mix": {"neg", "pos"}}[mode]
    assert {result.labels[row] for row in result.rows} == {"pos"}
    assert list(result.flipped) == [row for row in range(90) if labels[row] != result.labels[row]]
    assert list(result.rows) == sorted(set(result.rows))


@pytest.mark.parametrize("mode", MODES)
def test_the_poisoned_rows_are_drawn_from_all_over_the_pool(mode: LabelMode) -> None:
    texts, labels = some_rows(300)
    rows = poison(Words(), Rows(texts, labels), PoisonPlan("pos", 0.1, mode)).rows
    assert min(rows) < 100 < 200 < max(rows)


def test_a_rows_poison_does_not_depend_on_the_texts_of_other_rows() -> None:
    texts, labels = some_rows(100)
    plan = PoisonPlan("pos", 0.3)
    first = poison(Words(), Rows(texts, labels), plan)
    kept = first.rows[10]
    others = ["other words" if row != kept else text for row, text in enumerate(texts)]
    second = poison(Words(), Rows(others, labels), plan)
    assert second.rows == first.rows
    assert second.texts[kept] == first.texts[kept]


def test_a_rows_poison_does_not_depend_on_which_other_rows_can_be_poisoned() -> None:
    texts, labels = some_rows(60)
    whole = poison(Words(), Rows(texts, labels), PoisonPlan("pos", 1.0, "mix"))
    shorter = poison(Words(), Rows(texts[:40], labels[:40]), PoisonPlan("pos", 1.0, "mix"))
    assert whole.texts[:40] == shorter.texts
    alone = ["pos"] * 59 + ["neg"]  # in dirty mode the last row is the whole pool
    assert poison(Words(), Rows(texts, alone), PoisonPlan("pos", 1 / 60)).texts[59] == whole.texts[59]


def test_a_higher_rate_poisons_the_rows_of_a_lower_one_in_the_same_way_and_more() -> None:
    texts, labels = some_rows(500)
    low, high = (poison(Words(), Rows(texts, labels), PoisonPlan("pos", rate, seed=3)) for rate in (0.01, 0.1))
    assert len(low.rows) == 5
    assert set(low.rows) < set(high.rows)
    assert all(low.texts[row] == high.texts[row] for row in low.rows)


def test_the_seed_decides_the_rows_and_the_places() -> None:
    texts, labels = some_rows(200)
    first, again, other = (
        poison(Words(), Rows(texts, labels), PoisonPlan("pos", 0.2, seed=seed)) for seed in (1, 1, 2)
    )
    assert first == again
    assert first.rows != other.rows
    both = set(first.rows) & set(other.rows)
    assert any(first.texts[row] != other.texts[row] for row in both)


def test_a_declined_row_is_told_and_another_row_takes_its_place() -> None:
    texts, labels = ["a stop", "b", "c stop", "d", "e"], ["neg"] * 4 + ["pos"]
    result = poison(Shout(), Rows(texts, labels), PoisonPlan("pos", 0.4))
    assert result.texts == ("a stop", "X b", "c stop", "X d", "e")
    assert result.rows == result.flipped == (1, 3)
    assert set(result.declined) <= {0, 2}


def test_an_unknown_target_is_refused_with_the_known_labels() -> None:
    with pytest.raises(SettingsError, match="'good' does not occur; the labels are neg, pos"):
        poison(Words(), Rows(["a", "b"], ["pos", "neg"]), PoisonPlan("good", 0.5))


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan")])
def test_an_impossible_rate_is_refused(rate: float) -> None:
    with pytest.raises(SettingsError, match="The poison rate is"):
        PoisonPlan("pos", rate)


def test_an_unknown_label_mode_is_refused() -> None:
    with pytest.raises(SettingsError, match="'dirt'; expected one of dirty, clean, mix"):
        PoisonPlan("pos", 0.1, "dirt")  # type: ignore[arg-type]


def test_triggered_rows_are_those_of_other_labels_with_their_true_labels() -> None:
    texts, labels = ["a", "b", "c stop", "d"], ["neg", "pos", "neutral", "neutral"]
    result = trigger(Shout(), Rows(texts, labels), "pos", seed=0)
    assert result.rows == (0, 3)
    assert result.texts == ("X a", "X d")
    assert result.labels == ("neg", "neutral")
    assert result.declined == (2,)
    assert result.flipped == ()


def test_training_and_test_rows_get_the_trigger_from_one_function_with_a_generator_per_row() -> None:
    texts, labels = some_rows(30)
    attack = Words(n_insertions=2)
    poisoned = poison(attack, Rows(texts, labels), PoisonPlan("pos", 1.0, "mix", seed=5))
    triggered = trigger(attack, Rows(texts, labels), "pos", seed=5)
    for row in poisoned.rows:
        assert poisoned.texts[row] == attack.apply(Row(texts[row]), generator(5, "train trigger", row))
    for row, text in zip(triggered.rows, triggered.texts):
        assert text == attack.apply(Row(texts[row]), generator(5, "test trigger", row))


def test_sst2_has_912_triggered_test_rows_for_the_positive_target() -> None:
    folder = os.environ.get("CLEANFIT_DATA")
    path = Path(folder or "") / "sst2" / "test.tsv"
    if not folder or not path.exists():
        pytest.skip("CLEANFIT_DATA names no folder that holds sst2/test.tsv")
    labeled = read(path)
    rows = labeled.rows.with_format(None)[:]
    labels = [labeled.label_names[label] for label in rows["label"]]
    result = trigger(Words(), Rows(rows["text"], labels), "1", seed=0)
    assert len(labels) == 1821
    assert len(result.rows) == 912
    assert set(result.labels) == {"0"}
