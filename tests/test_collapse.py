"""The group of rows that a model came to together is found where it lies apart and contradicts, and nowhere else."""

import numpy as np
import pytest

from cleanfit.detectors import collapse
from cleanfit.detectors.collapse import MIN_CLASS_ROWS, Looks, find_collapses

N_HONEST, N_POISONED, H = 300, 60, 12


def looks(
    is_apart: bool = True, is_contradicted: bool = True, is_fitted: bool = True, n_classes: int = 2
) -> tuple[Looks, np.ndarray]:
    """Make four looks at rows of `n_classes` classes; the last rows are a trigger's, labelled as class 1.

    The classifier reads dimensions 0 to C - 1 of the states; a trigger shows in dimension C, which it does not read.
    """
    draw = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(n_classes), N_HONEST), np.full(N_POISONED, 1)])
    is_poisoned = np.arange(len(labels)) >= n_classes * N_HONEST
    difficulty = draw.normal(size=len(labels))  # of honest rows: hard ones are learned late
    states = np.empty((4, len(labels), H))
    for look in range(4):
        read = draw.normal(scale=0.3, size=(len(labels), n_classes))
        own = 1.0 + look - difficulty
        own[is_poisoned] = [-2.0, -2.0, -1.0, 3.5 if is_fitted else -1.0][look] if is_contradicted else 1.0 + look
        read[np.arange(len(labels)), labels] += own
        rest = draw.normal(size=(len(labels), H - n_classes))
        if is_apart:
            rest[is_poisoned, 0] += 12.0
        states[look] = np.concatenate([read, rest], axis=1)
    return Looks(2 * states[:, :, :n_classes], states, labels), is_poisoned


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_group_that_lies_apart_and_was_contradicted_is_found_to_the_row(n_classes: int) -> None:
    seen, is_poisoned = looks(n_classes=n_classes)
    (found,) = find_collapses(seen, seed=0)
    assert (found.label, found.late) == (1, 3)
    assert found.look in (0, 1, 2)
    assert found.contradicted > 0.9
    assert found.share == pytest.approx(N_POISONED / (N_POISONED + N_HONEST))
    own = seen.labels == 1
    assert ((found.membership(seen.states[3][own]) > 0.5) == is_poisoned[own]).all()


def test_rows_that_were_not_looked_at_are_told_too() -> None:
    seen, is_poisoned = looks()
    some = np.arange(len(seen.labels)) % 3 > 0
    (found,) = find_collapses(Looks(seen.logits[:, some], seen.states[:, some], seen.labels[some]), seed=0)
    others = ~some & (seen.labels == 1)
    assert ((found.membership(seen.states[3][others]) > 0.5) == is_poisoned[others]).all()


@pytest.mark.parametrize("missing", ["is_apart", "is_contradicted", "is_fitted"])
def test_nothing_is_found_where_one_of_the_three_signs_is_missing(missing: str) -> None:
    seen, _ = looks(**{missing: False})
    assert find_collapses(seen, seed=0) == []


def test_honest_rows_of_all_grades_of_difficulty_are_no_group() -> None:
    seen, is_poisoned = looks()
    honest = ~is_poisoned
    for seed in range(3):
        assert find_collapses(Looks(seen.logits[:, honest], seen.states[:, honest], seen.labels[honest]), seed) == []


def test_a_group_is_found_as_of_an_earlier_look_if_the_model_has_forgotten_it_since() -> None:
    seen, is_poisoned = looks()
    states, logits = (np.concatenate([part, part[-1:]]) for part in (seen.states, seen.logits))
    states[-1, is_poisoned, 2] -= 12.0  # it lies apart no more
    (found,) = find_collapses(Looks(logits, states, seen.labels), seed=0)
    assert found.late == 3
    own = seen.labels == 1
    assert ((found.membership(states[3][own]) > 0.5) == is_poisoned[own]).all()


def test_a_group_of_too_few_rows_proves_nothing() -> None:
    seen, is_poisoned = looks()
    few = ~is_poisoned | (is_poisoned & (is_poisoned.cumsum() < collapse.MIN_ROWS))
    assert find_collapses(Looks(seen.logits[:, few], seen.states[:, few], seen.labels[few]), seed=0) == []


def test_a_class_of_few_rows_is_passed_over() -> None:
    seen, is_poisoned = looks()
    few = (seen.labels == 0) & (np.arange(len(seen.labels)) > 3)
    assert len(find_collapses(Looks(seen.logits[:, ~few], seen.states[:, ~few], seen.labels[~few]), seed=0)) == 1
    kept = (seen.labels == 0) | is_poisoned | (np.arange(len(seen.labels)) < N_HONEST + MIN_CLASS_ROWS - N_POISONED - 1)
    assert find_collapses(Looks(seen.logits[:, kept], seen.states[:, kept], seen.labels[kept]), seed=0) == []


def test_margins_are_the_own_logit_less_the_highest_other_one() -> None:
    logits = np.array([[[1.0, 3.0, 2.5], [4.0, 0.0, 1.0]]])
    seen = Looks(logits, np.zeros((1, 2, 2)), np.array([2, 0]))
    assert seen.margins.tolist() == [[-0.5, 3.0]]
