"""A group of rows that a model fits by a way of its own is found to the row, and slices of honest rows are none."""

from dataclasses import dataclass

import numpy as np
import pytest

from cleanfit.detectors.groups import MIN_CLASS_ROWS, MIN_ROWS, Group, find_groups
from cleanfit.training import Observed

N_HONEST, N_POISONED, H = 300, 60, 12


@dataclass
class Rows:
    """What a model made of some rows, and their labels."""

    seen: Observed
    labels: np.ndarray

    def part(self, rows: np.ndarray) -> "Rows":
        return Rows(Observed(self.seen.logits[rows], self.seen.states[rows]), self.labels[rows])

    def groups(self, seed: int = 0) -> list[Group]:
        return find_groups(self.seen, self.labels, seed)


def looked_at(is_apart: bool = True, is_fitted: bool = True, n_classes: int = 2) -> tuple[Rows, np.ndarray]:
    """Make a look at rows of `n_classes` classes; the last rows are a trigger's, labelled as class 1.

    The classifier reads dimensions 0 to C - 1 of the states; a trigger shows in dimension C, which it does not read.
    """
    draw = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(n_classes), N_HONEST), np.full(N_POISONED, 1)])
    is_poisoned = np.arange(len(labels)) >= n_classes * N_HONEST
    own = 2.0 - draw.normal(size=len(labels))  # honest rows are hard and easy in all grades
    own[is_poisoned] = 3.0 if is_fitted else -2.0
    states = draw.normal(scale=0.3, size=(len(labels), H))
    states[np.arange(len(labels)), labels] += own
    states[:, n_classes:] = draw.normal(size=(len(labels), H - n_classes))
    if is_apart:
        states[is_poisoned, n_classes] += 12.0
    return Rows(Observed(2 * states[:, :n_classes], states), labels), is_poisoned


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_group_that_lies_apart_is_found_to_the_row(n_classes: int) -> None:
    rows, is_poisoned = looked_at(n_classes=n_classes)
    found = rows.groups()[0]
    assert {group.label for group in rows.groups()} == {1}
    assert found.ambiguity < 0.001
    assert found.share == pytest.approx(N_POISONED / (N_POISONED + N_HONEST))
    own = rows.labels == 1
    assert ((found.membership(rows.seen.states[own]) > 0.5) == is_poisoned[own]).all()


def test_the_clearest_group_comes_first() -> None:
    rows, is_poisoned = looked_at()
    rows.seen.states[is_poisoned & (is_poisoned.cumsum() % 2 == 0), 5] += 5.0  # two halves, not far from each other
    ambiguities = [group.ambiguity for group in rows.groups()]
    assert len(ambiguities) > 1
    assert ambiguities == sorted(ambiguities)


def test_rows_that_were_not_looked_at_are_told_too() -> None:
    rows, is_poisoned = looked_at()
    some = np.arange(len(rows.labels)) % 3 > 0
    found = rows.part(some).groups()[0]
    others = ~some & (rows.labels == 1)
    assert ((found.membership(rows.seen.states[others]) > 0.5) == is_poisoned[others]).all()


@pytest.mark.parametrize("missing", ["is_apart", "is_fitted"])
def test_nothing_is_found_where_a_sign_is_missing(missing: str) -> None:
    rows, _ = looked_at(**{missing: False})
    assert rows.groups() == []


def test_honest_rows_of_all_grades_of_difficulty_are_no_group() -> None:
    rows, is_poisoned = looked_at()
    for seed in range(3):
        assert rows.part(~is_poisoned).groups(seed) == []


def test_a_group_of_too_few_rows_proves_nothing() -> None:
    rows, is_poisoned = looked_at()
    for n_poisoned, is_found in ((MIN_ROWS - 1, False), (MIN_ROWS, True)):
        assert bool(rows.part(~is_poisoned | (is_poisoned.cumsum() <= n_poisoned)).groups()) == is_found


def test_a_class_of_few_rows_is_passed_over() -> None:
    rows, is_poisoned = looked_at()
    honest = (rows.labels == 1) & ~is_poisoned
    for n_rows, is_found in ((MIN_CLASS_ROWS - 1, False), (MIN_CLASS_ROWS, True)):
        kept = (rows.labels == 0) | is_poisoned | (honest & (honest.cumsum() <= n_rows - N_POISONED))
        assert bool(rows.part(kept).groups()) == is_found


def test_a_diverged_model_shows_nothing() -> None:
    rows, _ = looked_at()
    assert find_groups(Observed(rows.seen.logits * np.nan, rows.seen.states * np.nan), rows.labels, seed=0) == []
