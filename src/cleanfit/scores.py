"""What `cleanfit evaluate` measures: plain dataclasses that go to JSON under the names of their fields."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds.

    Args:
        mean: of the values.
        interval: low and high end of the 95 % interval of the mean; None for a single value.
        n: how many values, >= 1.
    """

    mean: float
    interval: tuple[float, float] | None
    n: int


@dataclass(frozen=True)
class ClassScore:
    """One class: shares in [0, 1], each None where it is 0/0, and how many rows have the class (support)."""

    precision: float | None
    recall: float | None
    f1: float | None
    support: int


@dataclass(frozen=True)
class TriggeredScore:
    """One file of triggered rows; every rate is over its rows whose true label is not the target.

    Args:
        file: its name.
        insertion: number of the draw of places and words, from 0.
        trigger: the one of several triggers that was inserted; None for the attack as it is.
        n_triggered: rows scored.
        n_declined: rows left out because the attack could not change them; None if nothing tells.
        attack_success_rate: share predicted as the target.
        false_trigger_rate: the same share without the trigger.
        label_flip_rate: share predicted as anything but the true label.
    """

    file: str
    insertion: int
    trigger: str | None
    n_triggered: int
    n_declined: int | None
    attack_success_rate: float
    false_trigger_rate: float
    label_flip_rate: float


@dataclass(frozen=True)
class AttackScore:
    """What the trigger does to the model.

    Args:
        target: the attacker's label.
        attack_success_rate: over the insertion seeds.
        false_trigger_rate: mean over the insertion seeds.
        label_flip_rate: mean over the insertion seeds.
        net_attack_success_rate: mean attack success rate minus the baseline, in [-1, 1].
        baseline: what was taken off: the clean reference model's rate on the triggered rows, or the false-trigger rate.
        is_same_rows: whether the false-trigger rate is of exactly the triggered rows; False: of all clean rows of
            other labels than the target, since nothing (no manifest, an import) tells which were triggered.
        insertions: the whole attack, one entry per insertion seed.
        per_trigger: each of several triggers alone; empty for an attack with one.
        worst_trigger: the one of these with the highest attack success rate, or None.
    """

    target: str
    attack_success_rate: SeedMean
    false_trigger_rate: float
    label_flip_rate: float
    net_attack_success_rate: float
    baseline: Literal["reference", "false_trigger"]
    is_same_rows: bool
    insertions: tuple[TriggeredScore, ...]
    per_trigger: tuple[TriggeredScore, ...] = ()
    worst_trigger: str | None = None


@dataclass(frozen=True)
class ReferenceScore:
    """A clean model on the same files.

    Args:
        model: as the user named it.
        clean_accuracy: share in [0, 1].
        triggered_target_rate: share of triggered rows predicted as the target, mean over the insertion seeds; None
            without triggered rows. What the trigger text does by its meaning alone.
    """

    model: str
    clean_accuracy: float
    triggered_target_rate: float | None


@dataclass(frozen=True)
class RowDetection:
    """How well a run found the poisoned rows; positive = poisoned, a rate is None where it is 0/0.

    Args:
        n_rows: rows that were scored, N.
        n_poisoned: positives among them.
        n_flagged: rows called an issue.
        prevalence: share of positives; precision and AUPRC cannot be compared across different ones.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: 2 TP / (2 TP + FP + FN).
        false_acceptance_rate: FN / (FN + TP), poisoned rows let through.
        false_rejection_rate: FP / (FP + TN), clean rows flagged.
        auroc: area under the ROC curve of the scores; like the three below None unless there are rows of both kinds.
        auprc: average precision of the scores.
        tpr_at_1_percent_fpr: highest recall of any threshold on the scores that flags at most 1 % of the clean rows.
        tpr_at_5_percent_fpr: the same for 5 %.
    """

    n_rows: int
    n_poisoned: int
    n_flagged: int
    prevalence: float
    precision: float | None
    recall: float | None
    f1: float | None
    false_acceptance_rate: float | None
    false_rejection_rate: float | None
    auroc: float | None
    auprc: float | None
    tpr_at_1_percent_fpr: float | None
    tpr_at_5_percent_fpr: float | None


@dataclass(frozen=True)
class PieceRanks:
    """Ranks of the best and the worst trigger piece in one round, 1 = first; None where that piece is not listed."""

    best: int | None
    worst: int | None


@dataclass(frozen=True)
class TokenDetection:
    """How well a run found the trigger's tokens.

    Args:
        n_trigger_tokens: token ids that the trigger strings break into.
        n_suspicious: tokens called suspicious.
        n_found: ids in both.
        precision: n_found / n_suspicious; None if nothing is suspicious.
        recall: n_found / n_trigger_tokens; None if the vocabulary has no token for the trigger.
        ranks: round name -> ranks among the tokens that the run lists.
    """

    n_trigger_tokens: int
    n_suspicious: int
    n_found: int
    precision: float | None
    recall: float | None
    ranks: Mapping[str, PieceRanks]


@dataclass(frozen=True)
class Evaluation:
    """All scores of one model.

    Args:
        model: as the user named it.
        n_rows: clean test rows, N.
        clean_accuracy: share of the N rows predicted as labelled.
        macro_f1: mean F1 over the classes, each counting the same.
        per_class: label -> its scores.
        attack: None without triggered rows.
        reference: None without a reference model.
        rows: None unless the model is a run folder with a detector's findings and a manifest tells the poisoned rows.
        tokens: the same; also None if the attack has no words of its own or poisoned no row.
    """

    model: str
    n_rows: int
    clean_accuracy: float
    macro_f1: float
    per_class: Mapping[str, ClassScore]
    attack: AttackScore | None = None
    reference: ReferenceScore | None = None
    rows: RowDetection | None = None
    tokens: TokenDetection | None = None
