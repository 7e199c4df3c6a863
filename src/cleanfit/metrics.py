"""Scores of a classifier and of a detector, each exactly as the manifest and the docs define it."""

import math
from collections.abc import Mapping, Sequence, Set

import numpy as np

from cleanfit.errors import DataError
from cleanfit.scores import ClassScore, PieceRanks, RowDetection, SeedMean, TokenDetection

# scikit-learn and SciPy are imported where they are used: `fit` needs none of them, and they take a second to load.


def clean_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Give the share of rows predicted as labelled.

    Args:
        probabilities: (N, C) class probabilities, N >= 1.
        labels: (N,) true classes in [0, C).

    Returns:
        A share in [0, 1].
    """
    return float((probabilities.argmax(axis=1) == labels).mean())


def macro_f1(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Give the mean F1 over the classes, each counting the same however many rows it has.

    Args:
        probabilities: (N, C) class probabilities, N >= 1.
        labels: (N,) true classes in [0, C).

    Returns:
        A share in [0, 1]. A class that neither occurs nor is predicted has no F1 and is left out of the mean.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(labels, probabilities.argmax(axis=1), average="macro"))


def per_class(probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, ClassScore]:
    """Give precision, recall, F1 and support of each class.

    Args:
        probabilities: (N, C) class probabilities, N >= 1.
        labels: (N,) true classes in [0, C).
        names: C label names.

    Returns:
        Label name -> scores. Precision is None if the class is never predicted, recall if no row has it, F1 if both.
    """
    from sklearn.metrics import precision_recall_fscore_support

    columns = precision_recall_fscore_support(
        labels, probabilities.argmax(axis=1), labels=range(len(names)), zero_division=np.nan
    )
    return {
        name: ClassScore(_defined(precision), _defined(recall), _defined(f1), int(support))
        for name, precision, recall, f1, support in zip(names, *columns)
    }


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
    others = _others(labels, target)
    return float((probabilities[others].argmax(axis=1) == target).mean())


def label_flip_rate(probabilities: np.ndarray, labels: np.ndarray, target: int) -> float:
    """Give the share not predicted as labelled among the rows whose TRUE label is not the target.

    With more than two classes a trigger can break a prediction without reaching the target: this counts both.

    Args:
        probabilities: (N, C) class probabilities of triggered rows.
        labels: (N,) true classes in [0, C).
        target: the attacker's class.

    Returns:
        A share in [0, 1], at least the `target_rate` of the same rows.

    Raises:
        DataError: no row of another class is there.
    """
    others = _others(labels, target)
    return float((probabilities[others].argmax(axis=1) != labels[others]).mean())


def net_attack_success_rate(attack_success_rate: float, baseline: float) -> float:
    """Take the baseline off an attack success rate.

    Args:
        attack_success_rate: share in [0, 1].
        baseline: share in [0, 1] predicted as the target without a backdoor: a clean model's rate on the triggered
            rows, or the model's own rate on these rows without their trigger.

    Returns:
        A difference in [-1, 1]; about 0 is no backdoor.
    """
    return attack_success_rate - baseline


def mean_interval(values: Sequence[float]) -> SeedMean:
    """Give the mean of one figure over seeds, with its 95 % interval by Student's t.

    Args:
        values: one value per seed, at least one.

    Returns:
        mean +- t(0.975, n - 1) * s / sqrt(n), s with n - 1 in the denominator; None as the interval of a single value.
        Its ends are not cut off at 0 and 1: for shares near either end a few seeds tell little, and this shows it.

    Raises:
        DataError: there is no value.
    """
    if not values:
        raise DataError("There is no value to take the mean of; expected one per seed.")
    mean, n = float(np.mean(values)), len(values)
    if n == 1:
        return SeedMean(mean, None, 1)
    from scipy.stats import t

    half = float(t.ppf(0.975, n - 1)) * float(np.std(values, ddof=1)) / math.sqrt(n)
    return SeedMean(mean, (mean - half, mean + half), n)


def row_detection(is_poisoned: np.ndarray, is_flagged: np.ndarray, scores: np.ndarray) -> RowDetection:
    """Score a detector of poisoned rows: its decisions and, independently of them, its ranking.

    Args:
        is_poisoned: (N,) truth, N >= 1.
        is_flagged: (N,) decisions.
        scores: (N,) finite, higher = more suspicious.

    Returns:
        The scores; 0/0 is None, never 0. Ranking scores are None unless both kinds of row occur: AUPRC would be 1 without
        clean rows, whatever the scores. Ties count as ties: equal scores throughout give AUROC 0.5, AUPRC the
        prevalence, and a recall of 0 at every FPR below 1.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    true_positives = int((is_poisoned & is_flagged).sum())
    n_rows, n_poisoned, n_flagged = len(is_poisoned), int(is_poisoned.sum()), int(is_flagged.sum())
    auroc = auprc = at_1 = at_5 = None
    if 0 < n_poisoned < n_rows:
        auroc = float(roc_auc_score(is_poisoned, scores))
        auprc = float(average_precision_score(is_poisoned, scores))
        fpr, tpr, _ = roc_curve(is_poisoned, scores, drop_intermediate=False)
        at_1, at_5 = (float(tpr[fpr <= limit].max()) for limit in (0.01, 0.05))
    return RowDetection(
        n_rows=n_rows,
        n_poisoned=n_poisoned,
        n_flagged=n_flagged,
        prevalence=n_poisoned / n_rows,
        precision=_ratio(true_positives, n_flagged),
        recall=_ratio(true_positives, n_poisoned),
        f1=_ratio(2 * true_positives, n_flagged + n_poisoned),
        false_acceptance_rate=_ratio(n_poisoned - true_positives, n_poisoned),
        false_rejection_rate=_ratio(n_flagged - true_positives, n_rows - n_poisoned),
        auroc=auroc,
        auprc=auprc,
        tpr_at_1_percent_fpr=at_1,
        tpr_at_5_percent_fpr=at_5,
    )


def token_detection(
    suspicious: Set[int], trigger_ids: Set[int], ranks: Mapping[str, Mapping[int, int]]
) -> TokenDetection:
    """Score a detector of trigger tokens.

    Args:
        suspicious: token ids that were decided on.
        trigger_ids: token ids of the trigger strings.
        ranks: round name -> token id -> rank from 1, for the tokens that the detector lists.

    Returns:
        The scores. A trigger token that a round does not list ranks behind all that it lists, so then the worst one's rank
        is not known: None.
    """
    n_found = len(suspicious & trigger_ids)
    per_round = {}
    for name, by_id in ranks.items():
        listed = [by_id[token] for token in trigger_ids if token in by_id]
        is_complete = bool(listed) and len(listed) == len(trigger_ids)
        per_round[name] = PieceRanks(min(listed, default=None), max(listed) if is_complete else None)
    return TokenDetection(
        n_trigger_tokens=len(trigger_ids),
        n_suspicious=len(suspicious),
        n_found=n_found,
        precision=_ratio(n_found, len(suspicious)),
        recall=_ratio(n_found, len(trigger_ids)),
        ranks=per_round,
    )


def pareto_front(scores: Sequence[tuple[float, float]]) -> tuple[int, ...]:
    """Find what no other beats.

    Args:
        scores: K pairs of clean accuracy, more is better, and attack success rate, less is better.

    Returns:
        Numbers of the pairs that no other pair is at least as good as in both and better in one, by falling accuracy.
    """

    def beats(a: tuple[float, float], b: tuple[float, float]) -> bool:
        return a[0] >= b[0] and a[1] <= b[1] and a != b

    kept = [place for place, score in enumerate(scores) if not any(beats(other, score) for other in scores)]
    return tuple(sorted(kept, key=lambda place: (-scores[place][0], scores[place][1], place)))


def _others(labels: np.ndarray, target: int) -> np.ndarray:
    others: np.ndarray = labels != target
    if not others.any():
        raise DataError(f"All {len(labels)} rows have the target label; attack success needs rows of other labels.")
    return others


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
