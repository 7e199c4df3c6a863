"""Run cells on a Ray cluster, one task a cell; Ray itself tries a task again whose worker died."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cleanfit.benchmark.cell import Cell
from cleanfit.benchmark.work import cell_path, failed_cell, run_cell
from cleanfit.errors import SettingsError
from cleanfit.results import write_json

N_RETRIES = 2


def run_on_ray(
    cells: Sequence[Cell], out: Path, address: str, needs: tuple[int, int], done: Callable[[Cell], None]
) -> None:
    """Run cells as tasks of a Ray cluster.

    Args:
        cells: to run.
        out: the benchmark's folder, absolute; every machine of the cluster sees it, and the data sets, under this path.
        address: of the cluster, or ``local`` for one on this machine.
        needs: CPU threads of a cell, and how many cells share a GPU (0: none needs one).
        done: told of every cell whose file is written.

    Raises:
        SettingsError: Ray is not installed.
    """
    try:
        import ray
    except ImportError:
        raise SettingsError("Ray is not installed: pip install 'cleanfit[cluster]'.") from None
    n_threads, per_gpu = needs
    ray.init(
        address=None if address == "local" else address,
        include_dashboard=False if address == "local" else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        remote = ray.remote(
            num_cpus=n_threads,
            num_gpus=1 / per_gpu if per_gpu else 0,
            max_retries=N_RETRIES,
            max_calls=1,  # a fresh process a cell, as on one machine: its memory is its own
        )(run_missing)
        pending: dict[Any, Cell] = {remote.remote(cell, out, n_threads): cell for cell in cells}
        while pending:
            (ended, *_), _ = ray.wait(list(pending), num_returns=1)
            cell = pending.pop(ended)
            try:
                ray.get(ended)
            except ray.exceptions.RayError as error:
                write_json(cell_path(out, cell.name), failed_cell(cell, f"{type(error).__name__}: {error}"))
            done(cell)
    finally:
        ray.shutdown()


def run_missing(cell: Cell, out: Path, n_threads: int) -> None:
    """Run a cell unless it is there: Ray tries a task again as well whose worker died after the cell was written."""
    if not cell_path(out, cell.name).exists():
        run_cell(cell, out, n_threads)
