"""Scores of a classifier: clean accuracy, attack success rate and its baseline, each exactly as the manifest defines it."""

import numpy as np

from cleanfit.errors import DataError


def clean_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Give the share of rows predicted as labelled.

    Args:
        probabilities: (N, C) class probabilities, N >= 1.
        labels: (N,) true classes in [0, C).

    Returns:
        A share in [0, 1].
    """
    return float((probabilities.argmax(axis=1) == labels).mean())


def target_rate(probabilities: np.ndarray, labels: np.ndarray, target: int) -> float:
    """Give the share predicted as the target among the rows whose TRUE label is not the target.

    On triggered rows this is the attack success rate; on the same rows without their trigger the false-trigger rate.

    Args:
        probabilities: (N, C) class probabilities.
        labels: (N,) true classes in [0, C).
        target: the attacker's class.

    Returns:
        A share in [0, 1]. Rows of the target class are left out: they are predicted so anyway and would inflate it.

    Raises:
        DataError: no row of another class is there.
    """
    others = labels != target
    if not others.any():
        raise DataError(f"All {len(labels)} rows have the target label; attack success needs rows of other labels.")
    return float((probabilities[others].argmax(axis=1) == target).mean())
