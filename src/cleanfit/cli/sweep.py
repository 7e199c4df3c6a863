"""`cleanfit sweep`: one training for each combination of settings, as a heat map and a Pareto front."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cleanfit.cli import options
from cleanfit.cli.trajectory import (
    SCORES,
    Capacity,
    Epochs,
    LearningRate,
    Points,
    Resume,
    Rows,
    Test,
    recipe,
    resolve,
    scores,
)
from cleanfit.errors import SettingsError
from cleanfit.settings import ALIASES


def sweep(
    data: options.Data,
    test: Test,
    manifest: Annotated[Path, typer.Option(help="manifest.json of the attack on DATA, of 'poison --test'.")],
    out: Annotated[Path, typer.Option(help="Folder for the cells, study.json and the figures.")],
    over: Annotated[
        list[str] | None, typer.Option("--over", help="setting=value,value,...; repeat for more settings.")
    ] = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    model: options.Model = None,
    capacity: Capacity = None,
    points: Points = None,
    rows: Rows = None,
    epochs: Epochs = None,
    learning_rate: LearningRate = None,
    batch_size: options.BatchSize = None,
    max_length: options.MaxLength = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    config: options.Config = None,
    resume: Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Train once for each combination of settings, for research: accuracy against attack success."""
    resolved = resolve(config, {**locals(), "over": None})
    grid = _grid(resolved.get("over"), over)

    from cleanfit.cli.tables import print_table
    from cleanfit.data import Columns
    from cleanfit.run_folder import RunFolder
    from cleanfit.trajectory import Subject
    from cleanfit.trajectory import sweep as run

    subject = Subject(data, test, manifest, Columns(text_column, text_pair_column, label_column))
    cells, front = run(subject, recipe(resolved, capacity), grid, RunFolder(out, resume, overwrite))
    lines = [
        (*map(str, cell.over.values()), *scores(cell.summary.last), "yes" if place in front else "")
        for place, cell in enumerate(cells)
    ]
    print_table((*grid, *SCORES, "on the front"), lines)
    typer.echo(f"Cells: {out}/study.json   Figures: {out}/heat.png, {out}/pareto.png")


def _grid(stored: object, pairs: list[str] | None) -> dict[str, list[Any]]:
    """Read settings and their values from a YAML block and from flags, which win; short names become long ones.

    Raises:
        SettingsError: the block is no mapping, a pair has no ``=``, or a setting has no value.
    """
    grid: dict[str, list[Any]] = {}
    for name, given in options.method_options(stored, pairs).items():
        values = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
        values = [value for value in values if str(value).strip()]
        if not values:
            raise SettingsError(f"--over {name} has no value; expected {name}=value,value.")
        key = name.replace("-", "_")
        grid[ALIASES.get(key, key)] = values
    if not grid:
        raise SettingsError("Nothing to sweep over: pass --over setting=value,value.")
    return grid
