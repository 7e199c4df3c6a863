"""One trajectory: an ordinary fine-tuning, the looks on its way, and what they give in one folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cleanfit.audit import versions
from cleanfit.capacity import ParameterCounts, restrict
from cleanfit.errors import DataError
from cleanfit.models import check_length
from cleanfit.results import to_plain, write_json
from cleanfit.run_folder import RunFolder
from cleanfit.seeding import kept_rng
from cleanfit.task import Task
from cleanfit.training import Watch
from cleanfit.trajectory.looks import STATES, Looker, Point, Summary, summarize
from cleanfit.trajectory.plots import save_figure, stage_figure, state_figure
from cleanfit.trajectory.scene import Recipe, Scene, Subject, set_scene
from cleanfit.trajectory.states import StateMaps, map_states, read_states

SCHEMA_VERSION = 1
RESULT = "trajectory.json"


@dataclass(frozen=True)
class Trajectory:
    """What the looks at one training saw.

    Args:
        points: one per look, in order of steps, the first one before training.
        summary: the same in a few figures.
        facts: what trajectory.json holds.
        folder: where everything is.
    """

    points: tuple[Point, ...]
    summary: Summary
    facts: dict[str, Any]
    folder: Path


def trajectory(subject: Subject, recipe: Recipe = Recipe(), *, out: str | Path | RunFolder) -> Trajectory:
    """Fine-tune a model once and look at it on the way.

    Args:
        subject: the files.
        recipe: model, settings, capacity, and how to look.
        out: folder for ``trajectory.json``, ``stages.png``, and with states ``states/`` and their maps. A `RunFolder` with
            ``resume`` goes on with an interrupted run to the same result.

    Returns:
        The looks. They change nothing: the training is that of the same settings without them.

    Raises:
        CleanfitError: bad data, model, settings or output folder, or a manifest of other files.

    Source: the stages of fitting of Moderate-fitting, NeurIPS 2022. Its code scores attack success at the end only.
    """
    run = out if isinstance(out, RunFolder) else RunFolder(Path(out))
    run.check()
    return run_scene(set_scene(subject, recipe), recipe, run)


def run_scene(scene: Scene, recipe: Recipe, run: RunFolder) -> Trajectory:
    """Train, look and draw; see `trajectory`."""
    with run.open({**fingerprint(scene, recipe), "versions": versions()}) as (folder, work):
        looker = Looker(scene, recipe, work)
        parameters = _train(scene, recipe, looker)
        points = looker.points()
        facts = _facts(scene, recipe, points, parameters)
        write_json(folder / RESULT, facts)
        save_figure(folder / "stages.png", stage_figure(points))
        if recipe.looks.states != "none":
            _draw_states(scene, recipe, work / STATES, folder)
    return Trajectory(points, summarize(points), facts, run.path)


def load_trajectory(folder: Path) -> Trajectory:
    """Read back what `trajectory` wrote.

    Raises:
        DataError: the folder holds no trajectory, or one of another version.
    """
    path = folder / RESULT
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
        points = tuple(Point(**point) for point in facts["points"])
        version = facts["schema_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: cannot be read as a trajectory ({error!r}).") from error
    if version != SCHEMA_VERSION:
        raise DataError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; run the trajectory again.")
    return Trajectory(points, summarize(points), facts, folder)


def fingerprint(scene: Scene, recipe: Recipe) -> dict[str, Any]:
    """Give all that decides a trajectory, the versions of the packages aside."""
    settings = {name: value for name, value in to_plain(recipe.settings).items() if name != "report_to"}
    return {
        "files": dict(scene.hashes),
        "labels": list(scene.source.label_names),
        "model": scene.source.sha256,
        "settings": settings,
        "capacity": to_plain(recipe.capacity),
        "looks": to_plain(recipe.looks),
    }


def _train(scene: Scene, recipe: Recipe, looker: Looker) -> ParameterCounts:
    """Train a fresh model under the looker's eyes; count what may move."""
    task = Task(scene.source, scene.tokenizer, scene.rows, recipe.settings, work=looker.work)
    classifier = task.load_model()
    check_length(classifier, scene.tokenizer, recipe.settings.max_length)
    with kept_rng():
        model = restrict(classifier, recipe.capacity, recipe.settings.seed)
        looker.look(model, 0)
    task.train("trained", model, watch=Watch(looker.steps, looker.look))
    return model.counts


def _facts(scene: Scene, recipe: Recipe, points: tuple[Point, ...], parameters: ParameterCounts) -> dict[str, Any]:
    names = scene.source.label_names
    return {
        "schema_version": SCHEMA_VERSION,
        **fingerprint(scene, recipe),
        "model": {"name": scene.source.name, "sha256": scene.source.sha256, "parameters": to_plain(parameters)},
        "target": None if scene.target is None else names[scene.target],
        "rows": {"training": len(scene.rows), **scene.counts},
        "rows_looked_at": {name: part.stop - part.start for name, part in scene.parts.items()},
        "versions": versions(),
        "summary": to_plain(summarize(points)),
        "points": to_plain(points),
    }


def _draw_states(scene: Scene, recipe: Recipe, kept: Path, folder: Path) -> None:
    """Move the states into the result, with what they are of, and draw their maps."""
    rows, is_poisoned = scene.train_looked().with_format("numpy"), scene.is_poisoned()
    columns = {"row": rows["row_id"][:], "label": rows["label"][:]}
    known = columns if is_poisoned is None else columns | {"is_poisoned": is_poisoned}
    np.savez(kept / "rows.npz", **known)
    steps, states = read_states(kept)
    for kind in dict.fromkeys(("pca", recipe.looks.states)):
        maps = StateMaps(steps, map_states(states, kind), columns["label"], is_poisoned)
        save_figure(folder / f"states_{kind}.png", state_figure(maps, scene.source.label_names))
    kept.rename(folder / STATES)
