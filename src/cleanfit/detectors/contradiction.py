"""Ask a model that has never seen a group of rows whether it agrees with their label: do the other rows contradict them?"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from torch import nn

from cleanfit.detectors.groups import Group
from cleanfit.results import RowFinding
from cleanfit.seeding import generator
from cleanfit.task import Task
from cleanfit.training import Watch, n_steps

# The other rows contradict a group if a model made of them denies the majority of it their label.
MIN_DENIED = 0.5
N_ASKED = 500  # rows of a group, and others of its label, that are asked


# Asked with a model, a label and (N,) rows of it: can anything be the cause that the model fits them by a way of their own?
Cause = Callable[[nn.Module, int, np.ndarray], bool]


@dataclass(frozen=True)
class Suspect:
    """A group of rows of one label that lies apart.

    Args:
        label: the class whose label the rows carry.
        ambiguity: how far the group runs into the rest of its class, in [0, 1].
        membership: (N,) probability of each training row to be in it.
    """

    label: int
    ambiguity: float
    membership: np.ndarray

    @property
    def inside(self) -> np.ndarray:
        """(N,) which rows are in it."""
        return self.membership > 0.5


@dataclass(frozen=True)
class Look:
    """What one look at a model showed: groups that have a cause, and how many rows are in groups that have none."""

    suspects: list[Suspect]
    n_uncaused: int

    def as_dict(self) -> dict[str, Any]:
        """Give it in a form that can be written down."""
        suspects = [{**asdict(each), "membership": each.membership.tolist()} for each in self.suspects]
        return {"suspects": suspects, "n_uncaused": self.n_uncaused}

    @classmethod
    def from_dict(cls, kept: dict[str, Any]) -> "Look":
        """Read it again."""
        suspects = [Suspect(**{**each, "membership": np.array(each["membership"])}) for each in kept["suspects"]]
        return cls(suspects, kept["n_uncaused"])


def suspects_of(task: Task, module: nn.Module, groups: list[Group], is_caused: Cause) -> Look:
    """Tell for all training rows whether they are in a group, and keep the clearest group of each class that has a cause.

    Args:
        task: N training rows.
        module: the model to which the groups lie apart.
        groups: the clearest first.
        is_caused: asked of one group of a class after the other, until one is; not of what is mostly a group asked before.
    """
    labels = np.asarray(task.rows.with_format(None)["label"])
    suspects: list[Suspect] = []
    uncaused = np.zeros(len(labels), dtype=bool)
    for label in sorted({group.label for group in groups}):
        own = np.flatnonzero(labels == label)
        states = task.observe(module, task.rows.select(own)).states
        asked: list[np.ndarray] = []
        for group in (group for group in groups if group.label == label):
            membership = np.zeros(len(labels))
            membership[own] = group.membership(states)
            suspect = Suspect(label, group.ambiguity, membership)
            if not suspect.inside.any() or any(_is_mostly(suspect.inside, other) for other in asked):
                continue
            if is_caused(module, label, suspect.inside):
                suspects.append(suspect)
                break
            asked.append(suspect.inside)
            uncaused |= suspect.inside
    return Look(suspects, int(uncaused.sum()))


def _is_mostly(inside: np.ndarray, other: np.ndarray) -> bool:
    return bool((inside & other).sum() > (inside | other).sum() / 2)


class ContradictionCheck:
    """Watches a training on the rows outside some groups; stops it half-way if one of the groups is not contradicted.

    Args:
        task: its rows include the groups.
        suspects: the groups.

    Source: ours. A trigger's rows in dirty-label poison are honest rows of another class but for the trigger, so whoever
    has not learned the trigger sees the other class. Rows poisoned without a wrong label are not contradicted.
    """

    def __init__(self, task: Task, suspects: list[Suspect]) -> None:
        self.task, self.suspects = task, suspects
        labels = np.asarray(task.rows.with_format(None)["label"])
        is_left_out = np.any([suspect.inside for suspect in suspects], axis=0)
        random = generator(task.settings.seed, "asked rows")
        self.kept = task.rows.select(np.flatnonzero(~is_left_out))
        self.watch = Watch((max(n_steps(len(self.kept), task.settings) // 2, 1),), self._look)
        parts = [(s.inside, ~is_left_out & (labels == s.label)) for s in suspects]
        self._asked = [tuple(np.sort(random.permutation(np.flatnonzero(p))[:N_ASKED]) for p in pair) for pair in parts]

    def denied(self, model: nn.Module) -> list[float]:
        """Give for each group the share of it whose label a model denies."""
        return [self._share(model, inside, suspect) for (inside, _), suspect in zip(self._asked, self.suspects)]

    def told(self, model: nn.Module, denied: list[float]) -> str:
        """Say in words what the groups are, and what share of them, and of the others of their label, a model denies."""
        names = self.task.source.label_names
        return " ".join(
            f"{suspect.inside.sum()} rows labelled '{names[suspect.label]}' came to lie apart from the others "
            f"({suspect.ambiguity:.1%} of the group is ambiguous); a model trained without them denies "
            f"{share:.0%} of them that label, and {self._share(model, others, suspect):.0%} of the others."
            for suspect, (_, others), share in zip(self.suspects, self._asked, denied)
        )

    def findings(self, denied: list[float]) -> tuple[RowFinding, ...]:
        """Give a finding for each training row: flagged are the rows of the groups, of which these shares are denied."""
        found = []
        for index, row_id in enumerate(self.task.rows.with_format(None)["row_id"]):
            score, share = max((s.membership[index], share) for s, share in zip(self.suspects, denied))
            reason = (
                "in a group that the model fits by a way of its own; a model trained without the group denies "
                f"{share:.0%} of it this label"
            )
            found.append(
                RowFinding(int(row_id), round(float(score), 6), bool(score > 0.5), reason if score > 0.5 else "")
            )
        return tuple(found)

    def _look(self, model: nn.Module, step: int) -> bool:
        return min(self.denied(model)) < MIN_DENIED

    def _share(self, model: nn.Module, rows: np.ndarray, suspect: Suspect) -> float:
        predicted = self.task.predict(model, self.task.rows.select(rows)).argmax(axis=1)
        return float((predicted != suspect.label).mean())
