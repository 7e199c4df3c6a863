"""`cleanfit poison`: make a poisoned training file, a triggered test file and the manifest with the ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cleanfit.cli import options

if TYPE_CHECKING:
    from cleanfit.attacks.base import LabelMode


def poison(
    data: options.Data,
    attack: Annotated[str, typer.Option(help="See 'cleanfit list attacks'.")],
    target: Annotated[str, typer.Option(help="The label that the trigger shall cause.")],
    out: Annotated[Path, typer.Option(help="Folder for train, manifest.json and triggered.")],
    rate: Annotated[float, typer.Option(help="Share of ALL rows to poison, 0 to 1.")] = 0.1,
    label_mode: Annotated[str, typer.Option(help="dirty, clean or mix; the manifest says what they mean.")] = "dirty",
    set_: options.Set = None,
    test: Annotated[Path | None, typer.Option(help="Also trigger these rows, those of other labels.")] = None,
    seed: Annotated[int, typer.Option(help="Decides rows, triggers and places.")] = 0,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Poison a training file, for research; the same trigger function serves training and test rows."""
    from cleanfit.attacks import ATTACKS
    from cleanfit.attacks.base import PoisonPlan
    from cleanfit.attacks.files import poison_files
    from cleanfit.data import Columns
    from cleanfit.settings import configure, lookup, parse_pairs

    method = configure(lookup("attack", attack, ATTACKS)(), parse_pairs(set_ or []))
    plan = PoisonPlan(target, rate, cast("LabelMode", label_mode), seed)  # the plan checks it
    columns = Columns(text_column, None, label_column)
    written = poison_files(data, method, plan, out, test=test, columns=columns, overwrite=overwrite)
    typer.echo(f"{written.n_poisoned} of {written.n_rows} rows poisoned: {written.train}")
    typer.echo(f"Ground truth: {written.manifest}")
    if written.triggered:
        typer.echo(f"Triggered rows: {written.triggered}")
