"""Look for groups of rows and for tokens, verify what was found, and train again without the rows that teach a trigger."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from torch import nn

from cleanfit.capacity import Restricted
from cleanfit.defenses.base import Defended, tune
from cleanfit.defenses.moderate_fitting import ModerateFitting
from cleanfit.detectors.triggers import Evidence, TriggerSearch, TriggerTokens, describe, named
from cleanfit.detectors.watcher import GroupWatcher
from cleanfit.results import Findings, Needs, RowFinding
from cleanfit.settings import check
from cleanfit.task import Task
from cleanfit.training import Watch, n_steps

# Trainings that are searched; what hides behind so many layers of triggers stays. One more, unwatched, may follow.
MAX_SEARCHED = 5
STILL_FOUND = f"Each of {MAX_SEARCHED} trainings showed another trigger: there may be more."


@dataclass(frozen=True)
class Auto:
    """Train as usual, verify what looks like a trigger, and if something is one, train again without its rows.

    Args:
        base: the training, watched for groups of rows that lie apart; its ``stop`` stays ``watch``, its ``n_looks`` is not
            used: there are two looks, after a third of the training and at its end.
        triggers: verifies tokens on the model as it is then.

    Source: ours; see docs/methods/auto.md. Where nothing is verified the model is plain fine-tuning's, to the bit. Tokens
    come before groups: a group seldom holds every row of four triggers, and what is left of them is too weak to be found.
    """

    name: ClassVar[str] = "auto"
    base: ModerateFitting = field(default_factory=ModerateFitting)
    triggers: TriggerTokens = field(default_factory=TriggerTokens)

    def __post_init__(self) -> None:
        check(self.base, "stop", self.base.stop == "watch", "watch: the others do not look for rows")

    def fit(self, task: Task) -> Defended:
        """Train, verify, train again; stages ``trained`` and, with trusted rows, ``tuned``."""
        search = TriggerSearch(task, self.triggers)  # refuses images before anything is trained
        task = self.base.adjusted(task)
        passes = search.content.passes
        for attempt in range(1, MAX_SEARCHED + 1):
            kept = np.flatnonzero(~search.left_out)
            rest = _rest(task, kept, attempt)
            module, watcher, found = self._searched(rest, search)
            share = len(kept) / len(task.rows)
            passes += share * watcher.passes
            if not found and not watcher.groups:
                model, groups = module.merged(), Findings(verdict=watcher.verdict())
                break
            passes += share * self.base.share_done(watcher) * task.settings.num_train_epochs
            if not found:
                model, groups, more = self.base.without_groups(rest, module, watcher)
                passes += share * more
                break
        else:
            kept = np.flatnonzero(~search.left_out)
            rest = _rest(task, kept, MAX_SEARCHED + 1)
            module = self.base.module(rest)
            rest.train("last", module)
            model, groups = module.merged(), Findings(verdict=STILL_FOUND)
        task.on_stage("trained", model)
        findings = Findings(
            self.name,
            tokens=describe(search),
            rows=_rows(task, kept, groups.rows, search.verified),
            verdict=" ".join(filter(None, (told(task, search), groups.verdict))),
        )
        return Defended(model, findings, Needs(trusted_rows=tune(task, model), extra_passes=round(passes, 3)))

    def _searched(self, task: Task, search: TriggerSearch) -> tuple[Restricted, GroupWatcher, bool]:
        """Train until something is found, or to the end. The model, who watched for groups, whether a token was verified."""
        total = n_steps(len(task.rows), task.settings)
        steps = tuple(sorted({max(total // 3, 1), total}))
        watcher = GroupWatcher(task, steps, self.base.n_looked_rows)
        answers: list[bool] = []

        def look(model: nn.Module, step: int) -> bool:
            is_apart = watcher.watch.look(model, step)
            answers.append(search.look(model))
            return answers[-1] or is_apart

        module = self.base.module(task)
        task.train("trained", module, watch=Watch(steps, look))
        if not answers:  # an interrupted run had finished this training
            answers.append(search.look(module))
        return module, watcher, answers[-1]


def told(task: Task, search: TriggerSearch) -> str:
    """Say in words what each token does that turns rows, and whether it was taken for a trigger."""
    names = task.source.label_names

    def one(each: Evidence) -> str:
        return (
            f"{named(task, each)} turns {each.flips:.0%} of other rows to '{names[each.label]}', and "
            f"{each.denial.share:.0%} of its {len(each.rows)} rows look like another label (usual: {each.denial.own:.0%})"
        )

    verified, honest = ("; ".join(map(one, each)) for each in (search.verified, search.honest))
    if not verified and not honest:
        return "No token turned rows of other labels, so none was taken for a trigger."
    parts = [
        f"Verified triggers, whose rows were left out: {verified}." if verified else "No trigger token was verified.",
        f"Left alone, since their rows have a reason for their label: {honest}." if honest else "",
        f"The average suspect turned {search.usual_flips:.0%} of other rows in the end.",
    ]
    return " ".join(filter(None, parts))


def _rest(task: Task, kept: np.ndarray, attempt: int) -> Task:
    """Give the task with the kept rows, and a folder of its own for another attempt."""
    if attempt == 1:
        return task
    return replace(task, rows=task.rows.select(kept), work=task.work / f"attempt-{attempt}" if task.work else None)


def _rows(
    task: Task, kept: np.ndarray, groups: tuple[RowFinding, ...], verified: list[Evidence]
) -> tuple[RowFinding, ...]:
    """Give a finding for each training row: those of the groups among the kept rows, and those of the verified tokens."""
    found = [RowFinding(int(row), 0.0, False, "") for row in task.rows.with_format(None)["row_id"]]
    for place, row in zip(kept, groups):
        found[place] = row
    for each in sorted(verified, key=lambda each: each.score):  # the strongest writes last
        reason = (
            f"contains {named(task, each)}, which turns {each.flips:.0%} of the rows of other labels to "
            f"'{task.source.label_names[each.label]}' with nothing else to say for it"
        )
        for place in each.rows:
            found[place] = RowFinding(found[place].row, each.score, True, reason)
    return tuple(found)
