"""One cell of a study: a trajectory in a folder named by all that decides it, so that it is never run twice."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanfit.errors import OutputError
from cleanfit.results import short_hash
from cleanfit.run_folder import RunFolder
from cleanfit.trajectory.looks import Summary
from cleanfit.trajectory.run import RESULT, fingerprint, load_trajectory, run_scene
from cleanfit.trajectory.scene import Recipe, Subject, set_scene

CELLS = "cells"


@dataclass(frozen=True)
class Cell:
    """What one training of a study gave.

    Args:
        name: of its folder in ``cells``: a hash of files, model, settings, capacity and looks.
        over: the settings that make it differ from the other cells.
        n_steps: optimizer steps.
        n_trainable: parameters that moved.
        summary: of its trajectory.
    """

    name: str
    over: Mapping[str, Any]
    n_steps: int
    n_trainable: int
    summary: Summary


def open_study(out: RunFolder) -> Path:
    """Make the folder of a study, or go on in it.

    Returns:
        The folder.

    Raises:
        OutputError: it is there and neither to be gone on with nor to be replaced.
    """
    if out.path.exists() and not out.resume:
        if not out.overwrite:
            raise OutputError(
                f"'{out.path}' exists already. Pass --resume to go on with the study (new values may be added, finished "
                "cells are kept), --overwrite to begin anew, or another --out."
            )
        shutil.rmtree(out.path)
    try:
        (out.path / CELLS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write '{out.path}': {error.strerror}.") from error
    return out.path


def run_cell(subject: Subject, recipe: Recipe, study: Path, over: Mapping[str, Any]) -> Cell:
    """Run one cell of a study, or read it back if it is finished; an interrupted one is gone on with."""
    scene = set_scene(subject, recipe)
    name = short_hash(fingerprint(scene, recipe))
    folder = study / CELLS / name
    is_finished = (folder / RESULT).exists()
    done = load_trajectory(folder) if is_finished else run_scene(scene, recipe, RunFolder(folder, resume=True))
    return Cell(name, over, done.points[-1].step, done.facts["model"]["parameters"]["trainable"], done.summary)
