"""`cleanfit bench`: run a grid of data sets, attacks and defenses, one file a cell; what is there is not run again."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cleanfit.errors import SettingsError

if TYPE_CHECKING:
    from cleanfit.benchmark.cell import Cell


def bench(
    grid: Annotated[Path, typer.Argument(help="YAML file: data, attacks, rates, defenses, seeds, settings.")],
    out: Annotated[Path, typer.Option(help="Folder for the cells; one that is there is gone on with.")],
    data: Annotated[
        Path | None, typer.Option(envvar="CLEANFIT_DATA", help="Folder of the data sets. [default: beside GRID]")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Cells at a time. [default: 1, or as many as the GPUs take]")] = None,
    per_gpu: Annotated[int, typer.Option(help="Cells that share a GPU.")] = 1,
    ray: Annotated[str | None, typer.Option(help="Run on a Ray cluster: its address, or 'local'.")] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run failed cells again.")] = False,
    only: Annotated[
        list[str] | None, typer.Option("--only", help="A part of the grid, as axis=value,value; repeat for more axes.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list the cells that would be run.")] = False,
) -> None:
    """Run the missing cells of a benchmark; 'cleanfit table' makes tables of them."""
    if (jobs is not None and jobs < 1) or per_gpu < 1:
        raise SettingsError(f"--jobs is {jobs}, --per-gpu {per_gpu}; expected at least 1.")

    import torch

    from cleanfit.benchmark.grid import fits, pattern, read_grid
    from cleanfit.benchmark.local import Workers
    from cleanfit.benchmark.run import missing, run_bench
    from cleanfit.settings import parse_pairs

    cells = read_grid(grid, data).cells()
    if only:
        part = pattern({axis: values.split(",") for axis, values in parse_pairs(only).items()})
        cells = [cell for cell in cells if fits(cell, part)]
    todo = missing(cells, out, retry_failed)
    if dry_run:
        for cell in todo:
            typer.echo(f"{cell.name}  {cell.title}")
        typer.echo(f"{len(todo)} of {len(cells)} cells to run.")
        return
    n_gpus = torch.cuda.device_count()
    workers = Workers(jobs or max(n_gpus * per_gpu, 1), per_gpu, n_gpus)
    with _progress(len(todo)) as told:
        outcome = run_bench(cells, out, workers, ray=ray, retry_failed=retry_failed, told=told)
    typer.echo(
        f"{outcome.n_cells} cells: {outcome.n_there} were there, {outcome.n_run} run, {outcome.n_failed} failed."
    )
    if outcome.n_failed:
        typer.echo(f"Why: the 'error' in {out}/cells/*.json. To run them again: --retry-failed.", err=True)
        raise typer.Exit(1)


@contextlib.contextmanager
def _progress(n_cells: int) -> Iterator[Callable[["Cell", str], None]]:
    """Show a bar with the time left where somebody looks on, else a line per cell; yields whom to tell of each cell."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (BarColumn(), MofNCompleteColumn(), *times, TextColumn("{task.description}"))
    with Progress(*columns, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("", total=n_cells)

        def told(cell: "Cell", status: str) -> None:
            bar.update(task, advance=1, description=cell.title)
            if bar.disable or status == "failed":
                bar.console.print(f"{status}: {cell.title}", markup=False, highlight=False)

        yield told
