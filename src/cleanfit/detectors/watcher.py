"""Watch a training from the untrusted rows alone: does a group of rows lie apart, has accuracy stopped rising?"""

import json

import numpy as np
from torch import nn

from cleanfit.detectors.contradiction import Cause, Look, Suspect, suspects_of
from cleanfit.detectors.groups import MIN_CLASS_ROWS, find_groups
from cleanfit.results import write_json
from cleanfit.seeding import generator
from cleanfit.task import Task
from cleanfit.training import Watch, n_steps, steps_per_epoch

NO_CAUSE = (
    "{n} rows came to lie apart, but no token that goes with them turns rows of other labels, or what they say is reason "
    "enough for their label. So these rows were kept, and the training is the one without a defense."
)
HELD_BACK_SHARE = 0.1
# Moderate-fitting's plateau: within a point of the best so far, and the last three looks rise by less than 0.3 points.
NEAR_BEST, FLAT, N_FLAT = 0.01, 0.003, 3
LOOKS_PER_EPOCH = 6


def halving_steps(total: int, n_looks: int) -> tuple[int, ...]:
    """Give up to `n_looks` steps of a training, the last one its end, each other at half of the next."""
    return tuple(sorted({max(total // 2**i, 1) for i in range(n_looks)}))


class GroupWatcher:
    """Looks at some rows now and then; stops the training half-way if a group that has a cause has come to lie apart by then.

    A model that trains on forgets what kept a group apart, and one that has just begun has not yet all of it: of the looks up
    to a stop the last one counts that showed any.

    Args:
        task: its N rows are looked at; what is found is kept under its work folder, so that an interrupted run loses nothing.
        steps: when to look; at the last two it may be stopped.
        n_rows: how many rows, at most; drawn at random.
        is_caused: asked with the model, a label and (N,) rows of it: do these have something that can be the cause?
    """

    def __init__(self, task: Task, steps: tuple[int, ...], n_rows: int, is_caused: Cause) -> None:
        random = generator(task.settings.seed, "looked-at rows")
        self.task, self.steps = task, steps
        self.rows = task.rows.select(np.sort(random.permutation(len(task.rows))[:n_rows]))
        self.watch = Watch(steps, self._look)
        self._is_caused = is_caused
        self._seen: dict[int, Look] = {}
        self._folder = task.work / "looks" if task.work else None

    @property
    def passes(self) -> float:
        """What the looks cost, in training passes over the rows; a forward pass is a third of one."""
        named = sum(bool(look.suspects or look.n_uncaused) for look in self._looks().values())
        return (len(self._looks()) * len(self.rows) / len(self.task.rows) + named) / 3

    @property
    def has_asked(self) -> bool:
        """Whether a group lay apart at any look, so that it was asked for its cause."""
        return any(look.suspects or look.n_uncaused for look in self._looks().values())

    @property
    def last(self) -> int:
        """The step of the last look."""
        return max(self._looks())

    @property
    def suspects(self) -> list[Suspect]:
        """The groups that have a cause, at most one of each class, as of the last look that showed any."""
        return next((look.suspects for _, look in sorted(self._looks().items(), reverse=True) if look.suspects), [])

    def verdict(self) -> str:
        """Say in words that no group was left out, and what that does not show."""
        n_uncaused = max(look.n_uncaused for look in self._looks().values())
        if n_uncaused:
            return NO_CAUSE.format(n=n_uncaused)
        counts = np.bincount(np.asarray(self.rows.with_format(None)["label"]), minlength=self.task.n_classes)
        few = [name for name, n in zip(self.task.source.label_names, counts) if n < MIN_CLASS_ROWS]
        unjudged = f" Not judged, for want of {MIN_CLASS_ROWS} looked-at rows: {', '.join(few)}." if few else ""
        return (
            f"No group of rows came to lie apart from the others of its label up to step {self.last} ({len(self.rows)} rows "
            f"looked at {len(self._looks())} times), so the training ran to its end as it would have without a defense. A "
            "trigger without a direction of its own (a style, a syntax) or in very few rows would not be seen."
            + unjudged
        )

    def _look(self, model: nn.Module, step: int) -> bool:
        labels = np.asarray(self.rows.with_format(None)["label"])
        groups = find_groups(self.task.observe(model, self.rows), labels, self.task.settings.seed)
        self._seen[step] = look = suspects_of(self.task, model, groups, self._is_caused)
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_json(self._folder / f"step-{step}.json", look.as_dict())
        return step in self.steps[-2:] and bool(self.suspects)

    def _looks(self) -> dict[int, Look]:
        """Give what was seen, also by an interrupted run."""
        for step in self.steps:
            path = self._folder / f"step-{step}.json" if self._folder else None
            if step not in self._seen and path and path.exists():
                self._seen[step] = Look.from_dict(json.loads(path.read_text(encoding="utf-8")))
        return self._seen


class PlateauWatcher:
    """Holds back a tenth of the untrusted rows, and stops the training when accuracy on them no longer rises.

    Args:
        task: its rows are split; they stay untrusted, so with flipped labels among them accuracy is underestimated.

    Source: the stopping rule that needs no triggered data in our notes on Moderate-fitting: within a point of the best so
    far, and three looks in a row that rise by less than 0.3 points.
    """

    def __init__(self, task: Task) -> None:
        order = generator(task.settings.seed, "held-back rows").permutation(len(task.rows))
        n_held = max(int(HELD_BACK_SHARE * len(order)), 1)
        self.task = task
        self.held, self.kept = (task.rows.select(np.sort(part)) for part in (order[:n_held], order[n_held:]))
        total = n_steps(len(self.kept), task.settings)
        every = max(steps_per_epoch(len(self.kept), task.settings) // LOOKS_PER_EPOCH, 1)
        self.watch = Watch(range(every, total + 1, every), self._look)
        self._accuracies: dict[int, float] = {}
        self._path = task.work / "plateau.json" if task.work else None
        if self._path and self._path.exists():  # of an interrupted run
            self._accuracies = {int(k): v for k, v in json.loads(self._path.read_text(encoding="utf-8")).items()}

    @property
    def passes(self) -> float:
        """Forward passes over the training rows that the looks cost, in training passes (three times as dear)."""
        return len(self._accuracies) * len(self.held) / len(self.task.rows) / 3

    def verdict(self) -> str:
        """Say in words where and why the training ended."""
        step = max(self._accuracies, default=0)
        why = "accuracy no longer rose" if self._is_flat(step) else "the training was over"
        return f"Stopped at step {step}: {why}; {self._accuracies.get(step, 0):.3f} on {len(self.held)} held-back rows."

    def _look(self, model: nn.Module, step: int) -> bool:
        predicted = self.task.predict(model, self.held).argmax(axis=1)
        self._accuracies[step] = float((predicted == np.asarray(self.held.with_format(None)["label"])).mean())
        if self._path:
            write_json(self._path, self._accuracies)
        return self._is_flat(step)

    def _is_flat(self, step: int) -> bool:
        """Tell whether the rule is met by the looks up to a step."""
        seen = [accuracy for at, accuracy in sorted(self._accuracies.items()) if at <= step]
        if len(seen) < N_FLAT + 1:
            return False
        return seen[-1] >= max(seen) - NEAR_BEST and max(seen[-N_FLAT:]) - seen[-N_FLAT - 1] < FLAT
