"""What an attack is, how it poisons a training file, and how it triggers test rows: one definition for both."""

import abc
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from cleanfit.errors import SettingsError
from cleanfit.seeding import derive_seed, generator

LabelMode = Literal["dirty", "clean", "mix"]

# The words that go into every manifest, so that nobody has to guess what a figure means.
DEFINITIONS = {
    "poison_rate": (
        "share of ALL rows of the poisoned training file that carry the trigger; rows are replaced, "
        "and added only where a pool file gives them"
    ),
    "dirty": "only rows whose label is not the target are poisoned, and their label becomes the target",
    "clean": "only rows whose label is the target already are poisoned; no label changes",
    "mix": "rows of any label are poisoned, and their label becomes the target",
    "attack_success_rate": (
        "share of triggered test rows predicted as the target, over rows whose TRUE label is not the target; "
        "rows that the attack declined are left out"
    ),
    "declined": "rows that were asked and could not carry the trigger, or came out unchanged; they stay as they were",
    "decoy": "rows with a part of the trigger that must not fire; their label is kept, and they are not poisoned rows",
    "false_trigger_rate": "the same share on the same rows without their trigger",
    "row": "zero-based number of a data row in the input file, its header not counted",
}


@dataclass(frozen=True)
class Row:
    """One row as an attack sees it: its text, and what the columns that the attack reads hold there."""

    text: str
    cells: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Rows:
    """N rows as the attacker has them.

    Args:
        texts: N texts.
        labels: N labels as written.
        columns: other columns by name, N cells each.
    """

    texts: Sequence[str]
    labels: Sequence[str]
    columns: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def __getitem__(self, row: int) -> Row:
        return Row(self.texts[row], {name: cells[row] for name, cells in self.columns.items()})


class Attack(abc.ABC):
    """One trigger: a frozen dataclass whose fields are its parameters."""

    name: ClassVar[str]
    # Whether texts from a pool file can stand for texts that `apply` made.
    takes_pool: ClassVar[bool] = False

    @abc.abstractmethod
    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Put the trigger into one text, with the row's own generator; None declines a row that cannot carry it."""

    def learn(self, rows: Rows, target: str, seed: int) -> "Attack":
        """Give the attack with what it has to learn from the training rows first; most have nothing to learn."""
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns beside the text that `apply` reads."""
        return ()

    @property
    def decoy_rate(self) -> float:
        """The share of all rows that get a decoy, in [0, 1]."""
        return 0.0

    def decoy(self, row: Row, random: np.random.Generator) -> str | None:
        """Put a part of the trigger that must not fire into one text."""
        return None

    def pieces(self) -> tuple[str, ...]:
        """The inserted strings, whose tokens are the trigger's; empty for a trigger without words of its own."""
        return ()

    def alone(self) -> Mapping[str, "Attack"]:
        """Where each of several triggers fires by itself: trigger -> the attack with that one only."""
        return {}


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
    """A poisoned (or triggered) copy of rows.

    Args:
        texts: the texts, in input order; those from a pool behind them.
        labels: their labels as written.
        rows: the numbers of the rows that carry the trigger, ascending.
        flipped: those among them whose label changed.
        declined: the rows that were asked and could not carry the trigger, ascending.
        n_asked: how many rows the plan asked for, before the pool ran out.
        decoys: the rows that carry a part of the trigger and keep their label, ascending.
        added: those among `rows` that were added behind the input.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[int, ...]
    flipped: tuple[int, ...]
    declined: tuple[int, ...]
    n_asked: int
    decoys: tuple[int, ...] = ()
    added: tuple[int, ...] = ()


def poison(attack: Attack, rows: Rows, plan: PoisonPlan) -> Poisoned:
    """Poison a training set; what happens to a row depends on (seed, row number) and on no other row's text.

    Args:
        attack: the trigger, with whatever it had to learn.
        rows: N rows.
        plan: how many rows, which and with what label.

    Returns:
        The poisoned copy, same length and order. Too small a pool is used up and warned about.

    Raises:
        SettingsError: the target is none of the labels.
    """
    _check_target(plan.target, rows.labels)
    n_asked = math.floor(plan.rate * len(rows.texts) + 1e-9)  # 0.29 * 100 is 28.999999999999996
    texts, labels = list(rows.texts), list(rows.labels)
    pool = _shuffled([row for row, label in enumerate(labels) if _eligible(label, plan)], plan.seed, "choose rows")
    done: list[int] = []
    declined: list[int] = []
    for row in pool:
        if len(done) == n_asked:
            break
        text = attack.apply(rows[row], generator(plan.seed, "train trigger", row))
        if text is None or text == texts[row]:
            declined.append(row)
            continue
        texts[row], labels[row] = text, plan.target
        done.append(row)
    if len(done) < n_asked:
        warnings.warn(
            f"{n_asked} rows were to be poisoned, but only {len(done)} of {len(pool)} in the pool can be; all of them are.",
            stacklevel=2,
        )
    done.sort()
    flipped = tuple(row for row in done if rows.labels[row] != plan.target)
    decoys = _place_decoys(attack, rows, plan, set(done), texts) if done else ()
    return Poisoned(tuple(texts), tuple(labels), tuple(done), flipped, tuple(sorted(declined)), n_asked, decoys)


def poison_from_pool(pool: Sequence[str], rows: Rows, plan: PoisonPlan) -> Poisoned:
    """Poison a training set by adding texts that carry the trigger already, with the target label.

    Args:
        pool: the texts, of rows whose true label is not the target.
        rows: N rows, which stay as they are.
        plan: its rate is of the rows of the result, so k = rate * N / (1 - rate) rows are added, rounded down.

    Returns:
        N + k rows. Too small a pool is used up and warned about.

    Raises:
        SettingsError: the target is none of the labels, the rate is 1, or the label mode is not ``dirty``.
    """
    _check_target(plan.target, rows.labels)
    if plan.label_mode != "dirty" or plan.rate == 1:
        raise SettingsError(
            f"A pool's texts are added to rows of other labels: expected label mode dirty and a rate below 1; "
            f"got {plan.label_mode} and {plan.rate:g}."
        )
    n_rows = len(rows.texts)
    n_asked = math.floor(plan.rate * n_rows / (1 - plan.rate) + 1e-9)
    if n_asked > len(pool):
        warnings.warn(f"{n_asked} rows were to be added, but the pool holds {len(pool)}; all are added.", stacklevel=2)
    chosen = sorted(_shuffled(list(range(len(pool))), plan.seed, "choose pool texts")[:n_asked])
    added = tuple(range(n_rows, n_rows + len(chosen)))
    texts = (*rows.texts, *(pool[index] for index in chosen))
    return Poisoned(texts, (*rows.labels, *([plan.target] * len(chosen))), added, (), (), n_asked, added=added)


def trigger(attack: Attack, rows: Rows, target: str, seed: int, insertion: int = 0) -> Poisoned:
    """Put the trigger into every row whose true label is not the target, for measuring attack success.

    Args:
        attack: the trigger, the same as in training.
        rows: N rows with their true labels.
        target: the attacker's label.
        seed: the user's.
        insertion: >= 0; each draws its own places and words, since one draw is one sample of attack success.

    Returns:
        Only the rows that carry the trigger, with their TRUE labels; `rows` numbers them in the input.
    """
    purpose = f"test trigger {insertion}" if insertion else "test trigger"
    done, texts, declined = [], [], []
    for row, label in enumerate(rows.labels):
        if label == target:
            continue
        text = attack.apply(rows[row], generator(seed, purpose, row))
        if text is None or text == rows.texts[row]:
            declined.append(row)
        else:
            done.append(row)
            texts.append(text)
    kept = tuple(rows.labels[row] for row in done)
    return Poisoned(tuple(texts), kept, tuple(done), (), tuple(declined), len(done) + len(declined))


def label_counts(labels: Sequence[str]) -> dict[str, int]:
    """Count rows per label, labels sorted."""
    return dict(sorted(Counter(labels).items()))


def _shuffled(rows: list[int], seed: int, purpose: str) -> list[int]:
    """Order rows by a draw of their own each, so that leaving one out moves no other."""
    return sorted(rows, key=lambda row: derive_seed(seed, purpose, row))


def _place_decoys(
    attack: Attack, rows: Rows, plan: PoisonPlan, poisoned: set[int], texts: list[str]
) -> tuple[int, ...]:
    """Write decoys over the texts of rows that are not poisoned, of any label, and say which."""
    n_asked = math.floor(attack.decoy_rate * len(texts) + 1e-9)
    decoys: list[int] = []
    others = [row for row in range(len(texts)) if row not in poisoned] if n_asked else []
    for row in _shuffled(others, plan.seed, "choose decoys"):
        if len(decoys) == n_asked:
            break
        text = attack.decoy(rows[row], generator(plan.seed, "decoy", row))
        if text is not None:
            texts[row] = text
            decoys.append(row)
    return tuple(sorted(decoys))


def _eligible(label: str, plan: PoisonPlan) -> bool:
    if plan.label_mode == "mix":
        return True
    return (label == plan.target) == (plan.label_mode == "clean")


def _check_target(target: str, labels: Sequence[str]) -> None:
    known = sorted(set(labels))
    if target not in known:
        raise SettingsError(f"The target label '{target}' does not occur; the labels are {', '.join(known)}.")
