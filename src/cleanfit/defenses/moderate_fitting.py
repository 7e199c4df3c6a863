"""Moderate-fitting: learn the task and stop short of the trigger: less capacity, fewer epochs, a smaller rate, or a watch."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from torch import nn
from transformers import PreTrainedModel

from cleanfit.capacity import Capacity, Restricted, restrict
from cleanfit.defenses.base import Defended, tune
from cleanfit.detectors.collapse import Collapse
from cleanfit.detectors.watcher import CollapseWatcher, PlateauWatcher, spread_steps
from cleanfit.results import Findings, Needs, RowFinding
from cleanfit.settings import TrainingSettings, check, check_choices, lookup
from cleanfit.task import Task
from cleanfit.training import Watch, n_steps

Stop = Literal["collapse", "plateau", "end"]
After = Literal["refit", "return"]


@dataclass(frozen=True)
class ModerateFitting:
    """Keep the model in the stage in which it has learned the task and not yet the trigger.

    Args:
        capacity: what may move in the model.
        epochs: passes over the rows instead of the run's; None = the run's.
        learning_rate: instead of the run's; None = the run's.
        stop: ``collapse`` watches for a group of rows that the model first contradicts and then learns all together: the
            sign that the second stage has begun; ``plateau`` stops when accuracy on held-back untrusted rows no longer rises;
            ``end`` trains to the end, for the fixed levers.
        after: what follows a collapse: ``refit`` trains a fresh model without the group, for which the first stage has no
            end; ``return`` gives back the model as it was when the group stood out most.
        n_looks: looks at the model, most of them in the first half of the training, >= 3.
        n_looked_rows: untrusted rows that are looked at, drawn at random, >= 1.

    Source: Moderate-fitting, NeurIPS 2022. Its three levers are `capacity`, `epochs` and `learning_rate`; `preset` gives
    the published capacities. Deviation: the paper fixes them beforehand, and on small models the stage is too short for
    that; the default lets the model itself say whether and when it ends. A training in which nothing collapses is, to
    the bit, the plain one. See docs/methods/moderate_fitting.md.
    """

    name: ClassVar[str] = "moderate"
    capacity: Capacity = field(default_factory=Capacity)
    epochs: float | None = None
    learning_rate: float | None = None
    stop: Stop = "collapse"
    after: After = "refit"
    n_looks: int = 10
    n_looked_rows: int = 2000

    def __post_init__(self) -> None:
        check_choices(self)
        check(self, "epochs", self.epochs is None or self.epochs > 0, "more than 0, or none")
        check(self, "learning_rate", self.learning_rate is None or self.learning_rate > 0, "more than 0, or none")
        check(self, "n_looks", self.n_looks >= 3, "at least 3")
        check(self, "n_looked_rows", self.n_looked_rows >= 1, "at least 1")

    @classmethod
    def preset(cls, name: str) -> "ModerateFitting":
        """Give the settings of the paper: ``published`` (LoRA), ``published_adapter`` or ``published_prefix``.

        Raises:
            SettingsError: there is no preset of that name.
        """
        methods = {"published": "lora", "published_adapter": "adapter", "published_prefix": "prefix"}
        method = lookup("preset of moderate", name, methods)
        capacity = Capacity(method=method, generator="tanh_net")  # type: ignore[arg-type]
        return cls(capacity, epochs=10.0, learning_rate=3e-4, stop="end")

    def fit(self, task: Task) -> Defended:
        """Train within the first stage; stages ``trained`` and, with trusted rows, ``tuned``."""
        task = dataclasses.replace(task, settings=self._settings(task.settings))
        if self.stop == "collapse":
            model, findings, passes = self._until_collapse(task)
        elif self.stop == "plateau":
            model, findings, passes = self._until_plateau(task)
        else:
            module = self._module(task)
            task.train("trained", module)
            model, findings, passes = module.merged(), Findings(), 0.0
        task.on_stage("trained", model)
        return Defended(model, findings, Needs(trusted_rows=tune(task, model), extra_passes=round(passes, 3)))

    def _settings(self, run: TrainingSettings) -> TrainingSettings:
        own = {"num_train_epochs": self.epochs, "learning_rate": self.learning_rate}
        changes = {key: value for key, value in own.items() if value is not None}
        if self.epochs is not None:
            changes["max_steps"] = -1
        return dataclasses.replace(run, **changes)  # type: ignore[arg-type]

    def _module(self, task: Task) -> Restricted:
        return restrict(task.load_model(), self.capacity, task.settings.seed)

    def _until_collapse(self, task: Task) -> tuple[PreTrainedModel, Findings, float]:
        """Train and watch; where a group collapses start again without it. Model, findings, extra passes."""
        total = n_steps(len(task.rows), task.settings)
        watcher = CollapseWatcher(task, spread_steps(total, self.n_looks), self.n_looked_rows)
        module = self._module(task)
        task.train("trained", module, watch=watcher.watch)
        passes = watcher.passes
        verdict = watcher.verdict()
        if not watcher.collapses:
            return module.merged(), Findings("moderate", verdict=verdict), passes
        late, share = watcher.steps[watcher.collapses[0].late], watcher.last / total
        if late < watcher.last:  # the group lay apart before; go there again
            module = self._until("located", task, late)
            share += late / total
        membership = _membership(task, module, watcher.collapses)
        rows = _findings(task, membership, watcher)
        if self.after == "refit":
            fresh = self._module(task)
            task.train("refitted", fresh, task.rows.select(np.flatnonzero(membership.max(axis=1) <= 0.5)))
        else:
            fresh = self._until("returned", task, watcher.steps[watcher.collapses[0].look])
        passes += share * task.settings.num_train_epochs + 1 / 3
        return fresh.merged(), Findings("moderate", rows=rows, verdict=verdict), passes

    def _until(self, stage: str, task: Task, step: int) -> Restricted:
        """Train a fresh model to a step: the same way as every training of the task."""
        module = self._module(task)
        task.train(stage, module, watch=Watch((step,), lambda _model, _step: True))
        return module

    def _until_plateau(self, task: Task) -> tuple[PreTrainedModel, Findings, float]:
        """Train on nine tenths and stop when accuracy on the rest no longer rises. Model, findings, extra passes."""
        watcher = PlateauWatcher(task)
        module = self._module(task)
        task.train("trained", module, watcher.kept, watch=watcher.watch)
        return module.merged(), Findings("moderate", verdict=watcher.verdict()), watcher.passes


def _membership(task: Task, module: nn.Module, collapses: list[Collapse]) -> np.ndarray:
    """Give each of the N training rows its probability to be in each group: (N, groups)."""
    labels = np.asarray(task.rows.with_format(None)["label"])
    membership = np.zeros((len(labels), len(collapses)))
    for column, collapse in enumerate(collapses):
        own = np.flatnonzero(labels == collapse.label)
        states = task.observe(module, task.rows.select(own)).states
        membership[own, column] = collapse.membership(states)
    return membership


def _findings(task: Task, membership: np.ndarray, watcher: CollapseWatcher) -> tuple[RowFinding, ...]:
    findings = []
    for row_id, own in zip(task.rows.with_format(None)["row_id"], membership):
        collapse = watcher.collapses[int(own.argmax())]
        is_issue = bool(own.max() > 0.5)
        reason = f"one of a group that the model learned all together: {watcher.told(collapse)}" if is_issue else ""
        findings.append(RowFinding(int(row_id), round(float(own.max()), 6), is_issue, reason))
    return tuple(findings)
