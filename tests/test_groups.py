"""A group of rows that a model fits by a way of its own is found to the row, and slices of honest rows are none."""

import numpy as np
import pytest

from cleanfit.detectors.groups import MIN_CLASS_ROWS, MIN_ROWS, Looks, find_groups

N_HONEST, N_POISONED, H = 300, 60, 12


def looks(is_apart: bool = True, is_fitted: bool = True, n_classes: int = 2) -> tuple[Looks, np.ndarray]:
    """Make two looks at rows of `n_classes` classes; the last rows are a trigger's, labelled as class 1.

    The classifier reads dimensions 0 to C - 1 of the states; a trigger shows in dimension C, which it does not read.
    """
    draw = np.random.default_rng(0)
    labels = np.concatenate([np.repeat(np.arange(n_classes), N_HONEST), np.full(N_POISONED, 1)])
    is_poisoned = np.arange(len(labels)) >= n_classes * N_HONEST
    own = 2.0 - draw.normal(size=len(labels))  # honest rows are hard and easy in all grades
    own[is_poisoned] = 3.0 if is_fitted else -2.0
    states = draw.normal(scale=0.3, size=(2, len(labels), H))
    states[:, np.arange(len(labels)), labels] += own
    states[:, :, n_classes:] = draw.normal(size=(2, len(labels), H - n_classes))
    if is_apart:
        states[1, is_poisoned, n_classes] += 12.0
    return Looks(2 * states[:, :, :n_classes], states, labels), is_poisoned


def part(seen: Looks, rows: np.ndarray) -> Looks:
    return Looks(seen.logits[:, rows], seen.states[:, rows], seen.labels[rows])


@pytest.mark.parametrize("n_classes", [2, 4])
def test_a_group_that_lies_apart_is_found_to_the_row(n_classes: int) -> None:
    seen, is_poisoned = looks(n_classes=n_classes)
    (found,) = find_groups(seen, seed=0)
    assert (found.label, found.look) == (1, 1)
    assert found.ambiguity < 0.001
    assert found.share == pytest.approx(N_POISONED / (N_POISONED + N_HONEST))
    own = seen.labels == 1
    assert ((found.membership(seen.states[1][own]) > 0.5) == is_poisoned[own]).all()


def test_rows_that_were_not_looked_at_are_told_too() -> None:
    seen, is_poisoned = looks()
    some = np.arange(len(seen.labels)) % 3 > 0
    (found,) = find_groups(part(seen, some), seed=0)
    others = ~some & (seen.labels == 1)
    assert ((found.membership(seen.states[1][others]) > 0.5) == is_poisoned[others]).all()


@pytest.mark.parametrize("missing", ["is_apart", "is_fitted"])
def test_nothing_is_found_where_a_sign_is_missing(missing: str) -> None:
    seen, _ = looks(**{missing: False})
    assert find_groups(seen, seed=0) == []


def test_honest_rows_of_all_grades_of_difficulty_are_no_group() -> None:
    seen, is_poisoned = looks()
    for seed in range(3):
        assert find_groups(part(seen, ~is_poisoned), seed) == []


def test_a_group_is_found_as_of_an_earlier_look_if_the_model_has_forgotten_it_since() -> None:
    seen, is_poisoned = looks()
    states, logits = (np.concatenate([values, values[-1:]]) for values in (seen.states, seen.logits))
    states[-1, is_poisoned, 2] -= 12.0  # it lies apart no more
    (found,) = find_groups(Looks(logits, states, seen.labels), seed=0)
    assert found.look == 1
    own = seen.labels == 1
    assert ((found.membership(states[1][own]) > 0.5) == is_poisoned[own]).all()


def test_a_group_of_too_few_rows_proves_nothing() -> None:
    seen, is_poisoned = looks()
    for n_poisoned, n_found in ((MIN_ROWS - 1, 0), (MIN_ROWS, 1)):
        assert len(find_groups(part(seen, ~is_poisoned | (is_poisoned.cumsum() <= n_poisoned)), seed=0)) == n_found


def test_a_class_of_few_rows_is_passed_over() -> None:
    seen, is_poisoned = looks()
    honest = (seen.labels == 1) & ~is_poisoned
    for n_rows, n_found in ((MIN_CLASS_ROWS - 1, 0), (MIN_CLASS_ROWS, 1)):
        kept = (seen.labels == 0) | is_poisoned | (honest & (honest.cumsum() <= n_rows - N_POISONED))
        assert len(find_groups(part(seen, kept), seed=0)) == n_found


def test_a_look_at_a_diverged_model_is_passed_over() -> None:
    seen, _ = looks()
    states, logits = (
        np.concatenate([values, np.full_like(values[-1:], np.nan)]) for values in (seen.states, seen.logits)
    )
    (found,) = find_groups(Looks(logits, states, seen.labels), seed=0)
    assert found.look == 1
