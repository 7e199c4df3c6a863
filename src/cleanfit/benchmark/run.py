"""Run what is missing of a benchmark: here, or on a Ray cluster."""

import contextlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cleanfit.benchmark.cell import Cell
from cleanfit.benchmark.cluster import run_on_ray
from cleanfit.benchmark.local import Workers, alone_in_bench, run_local
from cleanfit.benchmark.reading import CELLS
from cleanfit.benchmark.work import WORK, cell_path
from cleanfit.errors import DataError, OutputError


@dataclass(frozen=True)
class Outcome:
    """How many cells a grid has, how many of them were there already, were run now, and (of both) have failed."""

    n_cells: int
    n_there: int
    n_run: int
    n_failed: int


def missing(cells: Sequence[Cell], out: Path, retry_failed: bool) -> list[Cell]:
    """List the cells that have no file yet or, if asked for, one that says that they failed."""
    return [cell for cell in cells if (status := _status(out, cell)) is None or (retry_failed and status == "failed")]


def run_bench(
    cells: Sequence[Cell],
    out: Path,
    workers: Workers,
    *,
    ray: str | None = None,
    retry_failed: bool = False,
    told: Callable[[Cell, str], None] = lambda cell, status: None,
) -> Outcome:
    """Run the cells of a grid that are not there yet.

    Args:
        cells: of the grid.
        out: folder; ``cells/`` holds a file for each cell, ``work/`` is there while something runs or was interrupted.
        workers: how many at a time, and on what.
        ray: address of a Ray cluster, or ``local``; None runs processes on this machine.
        retry_failed: run those that failed again.
        told: of every finished cell, and whether it is ``done`` or ``failed``.

    Returns:
        The counts.

    Raises:
        OutputError: the folder cannot be written, or another benchmark is running in it.
    """
    out = out.absolute()
    try:
        (out / CELLS).mkdir(parents=True, exist_ok=True)
        (out / WORK).mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot write '{out}': {error.strerror}.") from error
    with alone_in_bench(out):
        return _run(cells, out, workers, ray, retry_failed, told)


def _run(
    cells: Sequence[Cell],
    out: Path,
    workers: Workers,
    ray: str | None,
    retry_failed: bool,
    told: Callable[[Cell, str], None],
) -> Outcome:
    todo = missing(cells, out, retry_failed)
    left = Counter(cell.block for cell in todo)
    for cell in todo:
        if _status(out, cell) == "failed":  # begin anew
            cell_path(out, cell.name).unlink()
            shutil.rmtree(out / WORK / cell.block / "runs" / f"{cell.name}.partial", ignore_errors=True)

    def done(cell: Cell) -> None:
        left[cell.block] -= 1
        if not left[cell.block]:
            shutil.rmtree(out / WORK / cell.block, ignore_errors=True)
        told(cell, str(_status(out, cell)))

    if todo and ray is not None:
        run_on_ray(todo, out, ray, (workers.n_threads, workers.per_gpu if workers.n_gpus else 0), done)
    elif todo:
        run_local(todo, out, workers, done)
    shutil.rmtree(out / WORK, ignore_errors=True)
    n_failed = sum(_status(out, cell) == "failed" for cell in cells)
    return Outcome(len(cells), len(cells) - len(todo), len(todo), n_failed)


def _status(out: Path, cell: Cell) -> str | None:
    path = cell_path(out, cell.name)
    with contextlib.suppress(FileNotFoundError):
        try:
            return str(json.loads(path.read_text(encoding="utf-8"))["status"])
        except (ValueError, KeyError, TypeError):
            raise DataError(
                f"{path}: cannot be read as a cell of a benchmark; delete it to run the cell again."
            ) from None
    return None
