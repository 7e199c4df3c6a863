"""Compare two models row by row: the paired bootstrap, and what its interval shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cleanfit.seeding import generator

N_RESAMPLES = 10_000
LEVEL = 0.95
MAX_CHUNK = 2_000_000  # counts drawn at once: 16 MB
N_DECIMALS = 12  # what is left of rounding must not make a difference of 0 look like one
Verdict = Literal["better", "worse", "no difference shown"]


@dataclass(frozen=True)
class Outcomes:
    """What one model did on M rows.

    Args:
        rows: (M,) numbers of the rows in the test file.
        hits: (M,) 1 = predicted as labelled (or, of triggered rows, as the target), else 0.
    """

    rows: np.ndarray
    hits: np.ndarray


@dataclass(frozen=True)
class Difference:
    """One model's rate minus another's on the same rows.

    Args:
        mean: over the rows, in [-1, 1].
        low: of its 95 % interval.
        high: of the same.
        verdict: what the interval shows.
        n_rows: rows that both have.
        n_seeds: seeds that both have.
    """

    mean: float
    low: float
    high: float
    verdict: Verdict
    n_rows: int
    n_seeds: int


def difference(pairs: Sequence[tuple[Outcomes, Outcomes]], is_higher_better: bool) -> Difference | None:
    """Compare two models trained with the same seeds.

    Args:
        pairs: one a seed, (ours, theirs).
        is_higher_better: True for accuracy, False for attack success.

    Returns:
        Ours minus theirs; None if there is no row that both have.
    """
    differences = row_differences(pairs)
    if not len(differences):
        return None
    mean, low, high = paired_bootstrap(differences)
    return Difference(mean, low, high, verdict(low, high, is_higher_better), len(differences), len(pairs))


def row_differences(pairs: Sequence[tuple[Outcomes, Outcomes]]) -> np.ndarray:
    """Subtract the outcomes of two models row by row.

    Args:
        pairs: one a seed, (ours, theirs).

    Returns:
        (N,) differences in [-1, 1], by row number: of each row that both have with one seed or more, the mean over these
        seeds.
    """
    rows: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    values: list[np.ndarray] = [np.zeros(0)]
    for ours, theirs in pairs:
        shared, at_ours, at_theirs = np.intersect1d(ours.rows, theirs.rows, return_indices=True)
        rows.append(shared)
        values.append(ours.hits[at_ours].astype(float) - theirs.hits[at_theirs])
    _, places = np.unique(np.concatenate(rows), return_inverse=True)
    summed = np.bincount(places, weights=np.concatenate(values))
    return np.asarray(summed / np.bincount(places))


def paired_bootstrap(differences: np.ndarray, n_resamples: int = N_RESAMPLES) -> tuple[float, float, float]:
    """Give the mean difference over rows, and its 95 % interval were the rows drawn anew.

    Args:
        differences: (N,) one per test row, N >= 1.
        n_resamples: how often N rows are drawn with replacement, >= 1.

    Returns:
        Mean, and the 2.5 and 97.5 percentiles of the resamples' means; the same for the same differences. The interval
        is of the choice of test rows alone: it says nothing on how another training would come out.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), section 13.3 (percentile interval).
    """
    values, counts = np.unique(differences, return_counts=True)
    n = len(differences)
    # Rows with the same difference are alike, so N rows drawn at once are one draw of how many come from each value.
    rng = generator(0, "paired bootstrap")
    step = max(MAX_CHUNK // len(values), 1)
    means = [
        rng.multinomial(n, counts / n, size=min(step, n_resamples - start)) @ values / n
        for start in range(0, n_resamples, step)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean, low, high = (round(float(value), N_DECIMALS) + 0.0 for value in (differences.mean(), low, high))
    return mean, low, high


def verdict(low: float, high: float, is_higher_better: bool) -> Verdict:
    """Say what an interval of a difference shows; one that touches 0 shows nothing."""
    if low > 0:
        return "better" if is_higher_better else "worse"
    if high < 0:
        return "worse" if is_higher_better else "better"
    return "no difference shown"
