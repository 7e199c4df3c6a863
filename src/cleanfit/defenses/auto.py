"""Look for triggers, verify them, and train without the rows that teach them, or without what these do not need."""

import json
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from torch import nn

from cleanfit.capacity import Restricted
from cleanfit.defenses.base import Defended, tune
from cleanfit.defenses.moderate_fitting import ModerateFitting
from cleanfit.detectors.phrases import all_without
from cleanfit.detectors.telling import WITHHELD_BECAUSE, describe, rows_told, told_one, unseen
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.results import Findings, Needs, write_json
from cleanfit.settings import check
from cleanfit.task import Task
from cleanfit.training import Watch, n_steps

# Trainings that are searched; what hides behind so many layers of triggers stays. One more, unwatched, may follow.
MAX_SEARCHED = 5
MAX_TOLD = 4  # honest tokens in the verdict; the tables have all
STILL_FOUND = f" Each of {MAX_SEARCHED} trainings showed another trigger: there may be more."


@dataclass(frozen=True)
class Auto:
    """Train as usual, verify what looks like a trigger, and if something is one, train again without its rows or without it.

    Args:
        base: the training; its ``stop`` stays ``end``.
        triggers: verifies openings and styles of rows before the training, and tokens on the model after a third of it and
            at its end.

    Source: ours; see docs/methods/auto.md. Where nothing is verified, cut out or withheld the model is plain
    fine-tuning's, to the bit.
    """

    name: ClassVar[str] = "auto"
    base: ModerateFitting = field(default_factory=lambda: ModerateFitting(stop="end"))
    triggers: TriggerTokens = field(default_factory=TriggerTokens)

    def __post_init__(self) -> None:
        check(
            self.base, "stop", self.base.stop == "end", "end: it is searched on the way, not stopped for something else"
        )

    def fit(self, task: Task) -> Defended:
        """Train, verify, train again; stages ``trained`` and, with trusted rows, ``tuned``."""
        search = TriggerSearch(task, self.triggers)  # refuses images before anything is trained
        task = self.base.adjusted(task)
        search.read_rows()
        passes = search.content.passes
        for attempt in range(1, MAX_SEARCHED + 2):
            kept = np.flatnonzero(~search.left_out)
            rest = _rest(task, kept, search, attempt)
            module, share_done = self._trained(rest, search if attempt <= MAX_SEARCHED else None)
            if share_done is None and (attempt > MAX_SEARCHED or not search.read_silent()):
                break
            passes += len(kept) / len(task.rows) * (share_done or 1) * task.settings.num_train_epochs
        model = module.merged()
        task.on_stage("trained", model)
        findings = Findings(
            self.name,
            tokens=describe(search),
            rows=rows_told(task, search.verified, search.shortcuts, search.withheld),
            verdict=told(search) + (STILL_FOUND if attempt > MAX_SEARCHED else ""),
        )
        return Defended(model, findings, Needs(trusted_rows=tune(task, model), extra_passes=round(passes, 3)))

    def _trained(self, task: Task, search: TriggerSearch | None) -> tuple[Restricted, float | None]:
        """Train until a trigger is verified, or to the end. The model, and the share of the training that one took."""
        total = n_steps(len(task.rows), task.settings)
        steps = tuple(sorted({max(total // 3, 1), total})) if search else ()
        looked: dict[int, bool] = {}
        last_look = task.work / "last_look.json" if task.work else None

        def look(model: nn.Module, step: int) -> bool:
            if last_look:
                last_look.parent.mkdir(parents=True, exist_ok=True)
                write_json(last_look, step)
            looked[step] = search is not None and search.look(model, is_early=step < total)
            return looked[step]

        module = self.base.module(task)
        task.train("trained", module, watch=Watch(steps, look))
        if search and not looked:  # an interrupted run had finished this training
            step = json.loads(last_look.read_text(encoding="utf-8")) if last_look and last_look.exists() else total
            looked[step] = search.look(module, is_early=step < total)
        found = [step for step, is_verified in looked.items() if is_verified]
        return module, max(found) / total if found else None


def told(search: TriggerSearch) -> str:
    """Say in words what each token does that turns rows, and whether it was taken for a trigger."""
    task = search.task
    verified, cut, withheld = (
        "; ".join(told_one(task, each) for each in part)
        for part in (search.verified, search.shortcuts, search.withheld)
    )
    n_more = len(search.honest) - MAX_TOLD
    shown = "; ".join(told_one(task, each) for each in search.honest[:MAX_TOLD])
    honest = shown + (f"; and {n_more} more" if n_more > 0 else "")
    if not (verified or cut or withheld or honest):
        nothing = (
            "No token turned rows of other labels, and no opening or mark stood out: none was taken for a trigger."
        )
        return f"{nothing} {unseen(search)}"
    parts = [
        f"Verified triggers, whose rows were left out: {verified}." if verified else "No trigger token was verified.",
        f"Cut out of rows that were kept, since it is no reason for their label: {cut}." if cut else "",
        f"Left out {WITHHELD_BECAUSE}: {withheld}." if withheld else "",
        f"Left alone, since their rows prove nothing against them: {honest}." if honest else "",
        f"The average suspect turned {search.usual_flips:.0%} of other rows in the end. {unseen(search)}",
    ]
    return " ".join(filter(None, parts))


def _rest(task: Task, kept: np.ndarray, search: TriggerSearch, attempt: int) -> Task:
    """Give the task with what is left of the kept rows, and a folder of its own for another attempt."""
    work = task.work / f"attempt-{attempt}" if task.work and attempt > 1 else task.work
    rows = task.rows.select(kept) if len(kept) < len(task.rows) else task.rows
    return replace(task, rows=all_without(rows, [each.pieces for each in search.shortcuts]), work=work)
