"""`cleanfit poison-rates`: poison a clean file at several rates and follow a training on each."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

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

if TYPE_CHECKING:
    from cleanfit.attacks.base import LabelMode


def poison_rates(
    data: options.Data,
    attack: Annotated[str, typer.Option(help="See 'cleanfit list attacks'.")],
    target: Annotated[str, typer.Option(help="The label that the trigger shall cause.")],
    test: Test,
    out: Annotated[Path, typer.Option(help="Folder for the data, the cells, study.json and the figure.")],
    rates: Annotated[
        str | None, typer.Option(help="Shares of ALL rows. [default: 0.01,0.03,0.05,0.1,0.2,0.3,0.4]")
    ] = None,
    label_mode: Annotated[str | None, typer.Option(help="dirty, clean or mix. [default: dirty]")] = None,
    set_: options.Set = None,
    text_column: options.TextColumn = None,
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
    """Follow a training at each poison rate of a clean DATA, for research; the seed decides poison and training."""
    resolved = resolve(config, locals())

    from cleanfit.attacks import ATTACKS
    from cleanfit.attacks.base import PoisonPlan
    from cleanfit.attacks.files import Sources
    from cleanfit.cli.tables import print_table
    from cleanfit.data import Columns
    from cleanfit.run_folder import RunFolder
    from cleanfit.settings import configure, lookup
    from cleanfit.trajectory import POISON_RATES
    from cleanfit.trajectory import poison_rates as run

    chosen = recipe(resolved, capacity)
    method = configure(lookup("attack", attack, ATTACKS)(), options.method_options(resolved.get("set"), set_))
    plan = PoisonPlan(
        target, 0.0, cast("LabelMode", str(resolved.get("label_mode", "dirty"))), chosen.settings.seed
    )  # the plan checks the mode
    wanted = _numbers(resolved["rates"]) if "rates" in resolved else POISON_RATES
    sources = Sources(data, test, Columns(text_column, None, label_column))
    cells = run(sources, method, plan, wanted, chosen, RunFolder(out, resume, overwrite))
    lines = [
        (f"{cell.over['poison_rate']:g}", f"{cell.over['effective_rate']:.4f}", *scores(cell.summary.last))
        for cell in cells
    ]
    print_table(("poison rate", "effective", *SCORES), lines)
    typer.echo(f"Cells: {out}/study.json   Figure: {out}/rates.png")


def _numbers(given: Any) -> list[float]:
    items = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else [given]
    try:
        return [float(item) for item in items]
    except (TypeError, ValueError):
        raise SettingsError(f"--rates is '{given}'; expected numbers like 0.01,0.1.") from None
