"""Look at a model while it trains: scores and losses of fixed rows, one file a look, so that none is lost or doubled."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from cleanfit.metrics import clean_accuracy, target_rate
from cleanfit.results import write_json
from cleanfit.settings import TrainingSettings
from cleanfit.training import n_steps, observe, predict, steps_per_epoch
from cleanfit.trajectory.scene import Recipe, Scene
from cleanfit.trajectory.states import save_states, separation

POINTS, STATES = "points", "states"
# A net attack success below this is no attack that took hold, so nothing is said of when it did.
TAKEN = 0.1
ROUNDING = 1e-9  # shares that are equal by hand may differ in their last bit


@dataclass(frozen=True)
class Point:
    """What one look saw.

    Args:
        step: optimizer steps done; 0 = before training.
        epoch: passes over the training rows done.
        learning_rate: of the next step.
        clean_accuracy: share of the test rows predicted as labelled, in [0, 1].
        train_loss: mean cross entropy of the training rows, in nats, the model in evaluation mode.
        clean_loss: the same of the clean ones; None where nothing tells which they are.
        poisoned_loss: the same of the poisoned ones.
        attack_success_rate: share of triggered rows of other classes predicted as the target; None if not measured.
        false_trigger_rate: the same share on the same rows without their trigger.
        davies_bouldin: of poisoned against clean training rows in the full hidden space, lower = further apart; None
            without states.
    """

    step: int
    epoch: float
    learning_rate: float
    clean_accuracy: float
    train_loss: float
    clean_loss: float | None = None
    poisoned_loss: float | None = None
    attack_success_rate: float | None = None
    false_trigger_rate: float | None = None
    davies_bouldin: float | None = None


@dataclass(frozen=True)
class Summary:
    """A trajectory in a few figures.

    Args:
        last: the last look.
        best: the look of the highest clean accuracy, the earliest of equals; it was chosen on the rows it is scored on.
        accuracy_area: mean clean accuracy over the steps, in [0, 1].
        attack_area: mean attack success rate over the steps.
        accuracy_half_step: first look at which clean accuracy made half its way from before training to its highest.
        attack_half_step: first look at which the net attack success (less the false-trigger rate) reached half its
            highest; None if that stays below `TAKEN`. Two stages show as an `attack_half_step` behind the other.
    """

    last: Point
    best: Point
    accuracy_area: float
    attack_area: float | None
    accuracy_half_step: int
    attack_half_step: int | None


class Looker:
    """Looks at a model at given steps and writes each look down at once.

    Args:
        scene: the rows.
        recipe: how the model is trained and looked at.
        work: the folder that looks are written to.
    """

    def __init__(self, scene: Scene, recipe: Recipe, work: Path) -> None:
        self.scene, self.recipe, self.work = scene, recipe, work
        for name in (POINTS, STATES):
            (work / name).mkdir(exist_ok=True)
        self.steps = look_steps(n_steps(len(scene.rows), recipe.settings), recipe.looks.n_points)

    def look(self, model: nn.Module, step: int) -> bool:
        """Score the rows and write a `Point`; one written before an interruption stands. Never stops the training."""
        path = self.work / POINTS / f"{step:08d}.json"
        if path.exists():
            return False
        settings, scene = self.recipe.settings, self.scene
        values = self._scores(model)
        if self.recipe.looks.states != "none":
            values["davies_bouldin"] = self._keep_states(model, step)
        epoch = step / steps_per_epoch(len(scene.rows), settings)
        rate = learning_rate(step, n_steps(len(scene.rows), settings), settings)
        write_json(path, Point(step, epoch, rate, **values))  # last: a point says that its look is whole
        return False

    def points(self) -> tuple[Point, ...]:
        """Read back all looks, in order."""
        return tuple(Point(**json.loads(path.read_text())) for path in sorted((self.work / POINTS).glob("*.json")))

    def _scores(self, model: nn.Module) -> dict[str, Any]:
        scene = self.scene
        probabilities = predict(model, scene.looked, scene.tokenizer, self.recipe.settings)
        labels = scene.looked.with_format("numpy")["label"][:]
        seen = {name: (probabilities[part], labels[part]) for name, part in scene.parts.items()}
        losses = {name: cross_entropy(*seen[name]) for name in scene.train_parts}
        shares = np.array([scene.counts[name] for name in losses]) / len(scene.rows)
        values: dict[str, Any] = {
            "clean_accuracy": clean_accuracy(*seen["test"]),
            "train_loss": float(shares @ np.array([*losses.values()])),
            "clean_loss": losses.get("clean"),
            "poisoned_loss": losses.get("poisoned"),
        }
        if scene.target is not None:
            values["attack_success_rate"] = target_rate(*seen["triggered"], scene.target)
            values["false_trigger_rate"] = target_rate(*seen["untriggered"], scene.target)
        return values

    def _keep_states(self, model: nn.Module, step: int) -> float | None:
        scene = self.scene
        states = observe(model, scene.train_looked(), scene.tokenizer, self.recipe.settings).states
        save_states(self.work / STATES / f"step-{step:08d}.npz", states)
        return separation(states, scene.is_poisoned())


def look_steps(n_all: int, n_points: int) -> tuple[int, ...]:
    """Choose the steps to look at: 0, the last one, and between them dense at first, as the squares of 1, 2, 3, ...

    Args:
        n_all: optimizer steps of the training, >= 1.
        n_points: looks wanted behind step 0; fewer where squares round to the same step.

    Returns:
        Ascending steps from 0 to `n_all`.
    """
    return tuple(sorted({-(-n_all * place**2 // n_points**2) for place in range(n_points + 1)}))


def learning_rate(step: int, n_all: int, settings: TrainingSettings) -> float:
    """Give the learning rate after `step` of `n_all` steps."""
    left = 1.0 if settings.lr_scheduler_type == "constant" else (n_all - step) / n_all
    return settings.learning_rate * left


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Give the mean cross entropy in nats of (N, C) probabilities and (N,) labels; 87 at most a row, by float32."""
    of_label = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return float(-np.log(np.maximum(of_label, np.finfo(np.float32).tiny)).mean())


def summarize(points: tuple[Point, ...]) -> Summary:
    """Put a trajectory of two or more looks into a few figures."""
    accuracies = np.array([point.clean_accuracy for point in points])
    steps = np.array([point.step for point in points])
    measured = [
        (point.attack_success_rate, point.false_trigger_rate)
        for point in points
        if point.attack_success_rate is not None and point.false_trigger_rate is not None
    ]
    attack_area = attack_half = None
    if measured:
        success, false = np.array(measured).T
        attack_area, net = _area(steps, success), success - false
        attack_half = _first_half(steps, net) if net.max() >= TAKEN - ROUNDING else None
    return Summary(
        points[-1],
        points[int(accuracies.argmax())],
        _area(steps, accuracies),
        attack_area,
        _first_half(steps, accuracies - accuracies[0]),
        attack_half,
    )


def _first_half(steps: np.ndarray, values: np.ndarray) -> int:
    """Find the first step at which a curve reaches half its highest value."""
    return int(steps[np.argmax(values >= values.max() / 2 - ROUNDING)])


def _area(steps: np.ndarray, values: np.ndarray) -> float:
    """Give the mean of a curve over its steps, straight between looks."""
    return float(((values[1:] + values[:-1]) / 2 * np.diff(steps)).sum() / (steps[-1] - steps[0]))
