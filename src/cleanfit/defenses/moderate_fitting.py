"""Moderate-fitting: learn the task and stop short of the trigger: less capacity, fewer epochs, a smaller rate, or a watch."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from transformers import PreTrainedModel

from cleanfit.capacity import Capacity, Restricted, restrict
from cleanfit.defenses.base import Defended, tune
from cleanfit.detectors.contradiction import MIN_DENIED, ContradictionCheck
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.detectors.watcher import GroupWatcher, PlateauWatcher, halving_steps
from cleanfit.results import Findings, Needs
from cleanfit.settings import TrainingSettings, check, check_choices, lookup
from cleanfit.task import Task
from cleanfit.training import n_steps

Stop = Literal["watch", "plateau", "end"]


@dataclass(frozen=True)
class ModerateFitting:
    """Keep the model in the stage in which it has learned the task and not yet the trigger.

    Args:
        capacity: what may move in the model.
        epochs: passes over the rows instead of the run's; None = the run's.
        learning_rate: instead of the run's; None = the run's.
        stop: ``watch`` looks for a group of rows that the model fits by a way of its own: the sign that the second stage has
            begun, if a token goes with it that turns other rows. The training starts again without the group, so that its
            first stage has no end; if that model, which has never seen the group, denies most of it their label, it is the
            result, else the rows are honest and the training is run as it would have been. ``plateau`` stops when accuracy
            on held-back untrusted rows no longer rises; ``end`` trains to the end, for the fixed levers.
        n_looks: looks at the model, the last one at its end, each other at half the step of the next, >= 2.
        n_looked_rows: untrusted rows that are looked at, drawn at random, >= 1.

    Source: Moderate-fitting, NeurIPS 2022. Its three levers are `capacity`, `epochs` and `learning_rate`; `preset` gives
    the published capacities. Deviation: the paper fixes them beforehand, and on small models the stage is too short for
    that; the default lets the model itself say whether it ends. Where nothing lies apart the training is, to the bit,
    the plain one. See docs/methods/moderate_fitting.md.
    """

    name: ClassVar[str] = "moderate"
    capacity: Capacity = field(default_factory=Capacity)
    epochs: float | None = None
    learning_rate: float | None = None
    stop: Stop = "watch"
    n_looks: int = 4
    n_looked_rows: int = 2000

    def __post_init__(self) -> None:
        check_choices(self)
        check(self, "epochs", self.epochs is None or self.epochs > 0, "more than 0, or none")
        check(self, "learning_rate", self.learning_rate is None or self.learning_rate > 0, "more than 0, or none")
        check(self, "n_looks", self.n_looks >= 2, "at least 2")
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
        task = self.adjusted(task)
        if self.stop == "watch":
            model, findings, passes = self._watched(task)
        elif self.stop == "plateau":
            model, findings, passes = self._until_plateau(task)
        else:
            module = self.module(task)
            task.train("trained", module)
            model, findings, passes = module.merged(), Findings(), 0.0
        task.on_stage("trained", model)
        return Defended(model, findings, Needs(trusted_rows=tune(task, model), extra_passes=round(passes, 3)))

    def adjusted(self, task: Task) -> Task:
        """Give the task with our own epochs and rate."""
        return dataclasses.replace(task, settings=self._settings(task.settings))

    def _settings(self, run: TrainingSettings) -> TrainingSettings:
        own = {"num_train_epochs": self.epochs, "learning_rate": self.learning_rate}
        changes = {key: value for key, value in own.items() if value is not None}
        if self.epochs is not None:
            changes["max_steps"] = -1
        return dataclasses.replace(run, **changes)  # type: ignore[arg-type]

    def module(self, task: Task) -> Restricted:
        """Load a fresh model of our capacity."""
        return restrict(task.load_model(), self.capacity, task.settings.seed)

    def _watched(self, task: Task) -> tuple[PreTrainedModel, Findings, float]:
        """Train and watch, and leave out the groups that lie apart, if there are any. Model, findings, extra passes."""
        steps = halving_steps(n_steps(len(task.rows), task.settings), self.n_looks)
        is_text = "input_ids" in task.rows.column_names  # images have no tokens, and any group of them may have a cause
        search = TriggerSearch(task, TriggerTokens()) if is_text else None
        watcher = GroupWatcher(task, steps, self.n_looked_rows, search.has_cause if search else lambda *_: True)
        module = self.module(task)
        task.train("trained", module, watch=watcher.watch)
        passes = watcher.passes + (search.content.passes if search and watcher.has_asked else 0.0)
        if not watcher.suspects:
            return module.merged(), Findings("moderate", verdict=watcher.verdict()), passes
        model, findings, more = self._without_groups(task, module, watcher)
        return model, findings, passes + more

    def _without_groups(
        self, task: Task, module: Restricted, watcher: GroupWatcher
    ) -> tuple[PreTrainedModel, Findings, float]:
        """Train again, without those groups whose label a model denies that has never seen them."""
        epochs, suspects, passes = task.settings.num_train_epochs, watcher.suspects, 0.0
        lost = watcher.last / watcher.steps[-1] * epochs
        for attempt in range(1, len(suspects) + 1):
            fresh, check = self.module(task), ContradictionCheck(task, suspects)
            task.train(f"without-{attempt}", fresh, check.kept, watch=check.watch)
            denied = check.denied(fresh)
            told = check.told(fresh, denied)
            contradicted = [suspect for suspect, share in zip(suspects, denied) if share >= MIN_DENIED]
            if len(contradicted) == len(suspects):
                return fresh.merged(), Findings("moderate", rows=check.findings(denied), verdict=told), passes + lost
            passes += epochs / 2
            suspects = contradicted
            if not suspects:
                break
        if watcher.last < watcher.steps[-1]:
            module, passes = self.module(task), passes + lost
            task.train("cleared", module)
        return module.merged(), Findings("moderate", verdict=f"{told} So these rows were kept."), passes

    def _until_plateau(self, task: Task) -> tuple[PreTrainedModel, Findings, float]:
        """Train on nine tenths and stop when accuracy on the rest no longer rises. Model, findings, extra passes."""
        watcher = PlateauWatcher(task)
        module = self.module(task)
        task.train("trained", module, watcher.kept, watch=watcher.watch)
        return module.merged(), Findings("moderate", verdict=watcher.verdict()), watcher.passes
