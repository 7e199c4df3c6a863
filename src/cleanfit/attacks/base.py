"""What an attack is, how it poisons a training file, and how it triggers test rows: one definition for both."""

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

import numpy as np

from cleanfit.errors import SettingsError
from cleanfit.seeding import derive_seed, generator

LabelMode = Literal["dirty", "clean", "mix"]

# The words that go into every manifest, so that nobody has to guess what a figure means.
DEFINITIONS = {
    "poison_rate": "share of ALL rows of the training file that carry the trigger; rows are replaced, never added",
    "dirty": "only rows whose label is not the target are poisoned, and their label becomes the target",
    "clean": "only rows whose label is the target already are poisoned; no label changes",
    "mix": "rows of any label are poisoned, and their label becomes the target",
    "attack_success_rate": (
        "share of triggered test rows predicted as the target, over rows whose TRUE label is not the target; "
        "rows that the attack declined are left out"
    ),
    "false_trigger_rate": "the same share on the same rows without their trigger",
    "row": "zero-based number of a data row in the input file, its header not counted",
}


class Attack(Protocol):
    """One trigger: a frozen dataclass whose fields are its parameters."""

    name: ClassVar[str]

    def apply(self, text: str, random: np.random.Generator) -> str | None:
        """Put the trigger into one text, with the row's own generator; None declines a row that cannot carry it."""
        ...


@dataclass(frozen=True)
class PoisonPlan:
    """What to poison: target label as written, rate in [0, 1] of all rows, label mode, seed."""

    target: str
    rate: float
    label_mode: LabelMode = "dirty"
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.rate <= 1:
            raise SettingsError(f"The poison rate is {self.rate}; expected a share of all rows, from 0 to 1.")
        if self.label_mode not in get_args(LabelMode):
            raise SettingsError(
                f"The label mode is '{self.label_mode}'; expected one of {', '.join(get_args(LabelMode))}."
            )


@dataclass(frozen=True)
class Poisoned:
    """A poisoned (or triggered) copy of N rows.

    Args:
        texts: the N texts, in input order.
        labels: the N labels as written.
        rows: the numbers of the rows that carry the trigger, ascending.
        flipped: those among them whose label changed.
        declined: the rows that were asked first and could not carry the trigger.
        n_asked: how many rows the plan asked for, before the pool ran out.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[int, ...]
    flipped: tuple[int, ...]
    declined: tuple[int, ...]
    n_asked: int


def poison(attack: Attack, texts: Sequence[str], labels: Sequence[str], plan: PoisonPlan) -> Poisoned:
    """Poison a training set; what happens to a row depends on (seed, row number) and on no other row's text.

    Args:
        attack: the trigger.
        texts: N texts.
        labels: N labels as written.
        plan: how many rows, which and with what label.

    Returns:
        The poisoned copy, same length and order. Too small a pool is used up and warned about.

    Raises:
        SettingsError: the target is none of the labels.
    """
    _check_target(plan.target, labels)
    pool = [row for row, label in enumerate(labels) if _eligible(label, plan)]
    pool.sort(key=lambda row: derive_seed(plan.seed, "choose rows", row))
    n_asked = math.floor(plan.rate * len(texts) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    new_texts, new_labels = list(texts), list(labels)
    done: list[int] = []
    declined: list[int] = []
    for row in pool:
        if len(done) == n_asked:
            break
        text = attack.apply(texts[row], generator(plan.seed, "train trigger", row))
        if text is None or text == texts[row]:
            declined.append(row)
            continue
        new_texts[row], new_labels[row] = text, plan.target
        done.append(row)
    if len(done) < n_asked:
        warnings.warn(
            f"{n_asked} rows were to be poisoned, but only {len(done)} of {len(pool)} in the pool can be; all of them are.",
            stacklevel=2,
        )
    flipped = (row for row in sorted(done) if labels[row] != plan.target)
    return Poisoned(
        tuple(new_texts), tuple(new_labels), tuple(sorted(done)), tuple(flipped), tuple(sorted(declined)), n_asked
    )


def trigger(attack: Attack, texts: Sequence[str], labels: Sequence[str], target: str, seed: int) -> Poisoned:
    """Put the trigger into every row whose true label is not the target, for measuring attack success.

    Args:
        attack: the trigger, the same as in training.
        texts: N texts.
        labels: N true labels as written.
        target: the attacker's label.
        seed: of the insertion.

    Returns:
        Only the rows that carry the trigger, with their TRUE labels; `rows` numbers them in the input.
    """
    rows, new_texts, declined = [], [], []
    for row, label in enumerate(labels):
        if label == target:
            continue
        text = attack.apply(texts[row], generator(seed, "test trigger", row))
        if text is None or text == texts[row]:
            declined.append(row)
        else:
            rows.append(row)
            new_texts.append(text)
    kept = tuple(labels[row] for row in rows)
    return Poisoned(tuple(new_texts), kept, tuple(rows), (), tuple(declined), len(rows) + len(declined))


def label_counts(labels: Sequence[str]) -> dict[str, int]:
    """Count rows per label, labels sorted."""
    return dict(sorted(Counter(labels).items()))


def _eligible(label: str, plan: PoisonPlan) -> bool:
    if plan.label_mode == "mix":
        return True
    return (label == plan.target) == (plan.label_mode == "clean")


def _check_target(target: str, labels: Sequence[str]) -> None:
    known = sorted(set(labels))
    if target not in known:
        raise SettingsError(f"The target label '{target}' does not occur; the labels are {', '.join(known)}.")
