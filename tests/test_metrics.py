"""The scores against values counted by hand."""

import numpy as np
import pytest

from cleanfit.errors import DataError
from cleanfit.metrics import clean_accuracy, target_rate

# Predictions: 0, 1, 1, 2, 0.
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.0, 0.1, 0.9], [0.4, 0.3, 0.3]])


@pytest.mark.parametrize(
    ("labels", "expected"), [([0, 1, 1, 2, 0], 1.0), ([1, 0, 0, 0, 1], 0.0), ([0, 1, 2, 2, 1], 0.6)]
)
def test_clean_accuracy_is_the_share_predicted_as_labelled(labels: list[int], expected: float) -> None:
    assert clean_accuracy(PROBABILITIES, np.array(labels)) == pytest.approx(expected)


def test_rows_of_the_target_class_do_not_count_towards_attack_success() -> None:
    # Rows 0, 3 and 4 are of other classes and none is predicted 1; rows 1 and 2 are, but have the target label.
    assert target_rate(PROBABILITIES, np.array([0, 1, 1, 2, 0]), target=1) == 0.0


def test_attack_success_is_the_share_of_other_rows_predicted_as_the_target() -> None:
    # Rows 0, 1, 2, 3 are of other classes; rows 1 and 2 are predicted 1.
    assert target_rate(PROBABILITIES, np.array([0, 0, 2, 2, 1]), target=1) == 0.5


def test_a_wrong_prediction_that_is_not_the_target_is_no_success() -> None:
    assert target_rate(PROBABILITIES, np.array([1, 2, 0, 0, 1]), target=0) == pytest.approx(2 / 3)


def test_attack_success_without_rows_of_other_labels_is_refused() -> None:
    with pytest.raises(DataError, match="All 5 rows have the target label"):
        target_rate(PROBABILITIES, np.ones(5, dtype=int), target=1)
