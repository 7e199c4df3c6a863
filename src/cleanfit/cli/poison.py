"""`cleanfit poison`: make a poisoned training file, triggered test files and the manifest with the ground truth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cleanfit.cli import options
from cleanfit.errors import SettingsError

if TYPE_CHECKING:
    from cleanfit.attacks.base import LabelMode
    from cleanfit.attacks.files import PoisonedFiles


def poison(
    data: options.Data,
    out: Annotated[Path, typer.Option(help="Folder for train, manifest.json and triggered.")],
    attack: Annotated[str | None, typer.Option(help="See 'cleanfit list attacks'.")] = None,
    target: Annotated[str | None, typer.Option(help="The label that the trigger shall cause.")] = None,
    rate: Annotated[float | None, typer.Option(help="Share of ALL rows to poison, 0 to 1. [default: 0.1]")] = None,
    label_mode: Annotated[
        str | None, typer.Option(help="dirty, clean or mix; the manifest says what they mean. [default: dirty]")
    ] = None,
    set_: options.Set = None,
    test: Annotated[Path | None, typer.Option(help="Also trigger these rows, those of other labels.")] = None,
    seed: Annotated[int | None, typer.Option(help="Decides rows, triggers and places. [default: 0]")] = None,
    aligned: Annotated[
        Path | None, typer.Option(help="Row i of this file has the paraphrase of row i of DATA.")
    ] = None,
    test_aligned: Annotated[Path | None, typer.Option(help="The same for --test.")] = None,
    pool: Annotated[Path | None, typer.Option(help="Add texts from this file instead of replacing rows.")] = None,
    from_manifest: Annotated[
        Path | None, typer.Option(help="Make the files of this manifest.json again, bit by bit.")
    ] = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Poison a training file, for research; the same trigger function serves training and test rows."""
    told = {
        "attack": attack,
        "target": target,
        "rate": rate,
        "label-mode": label_mode,
        "set": set_ or None,
        "seed": seed,
        "text-column": text_column,
        "label-column": label_column,
    }
    given = [f"--{name}" for name, value in told.items() if value is not None]
    if from_manifest and given:
        raise SettingsError(f"--from-manifest says it all; leave {', '.join(given)} out.")

    from cleanfit.attacks import ATTACKS
    from cleanfit.attacks.base import PoisonPlan
    from cleanfit.attacks.files import Sources, poison_files
    from cleanfit.attacks.rebuild import rebuild
    from cleanfit.data import Columns
    from cleanfit.settings import configure, lookup, parse_pairs

    sources = Sources(data, test, Columns(text_column, None, label_column), aligned, test_aligned, pool)
    if from_manifest:
        show(rebuild(from_manifest, sources, out, overwrite=overwrite))
        return
    if attack is None or target is None:
        raise SettingsError("Pass --attack and --target, or --from-manifest.")
    method = configure(lookup("attack", attack, ATTACKS)(), parse_pairs(set_ or []))
    mode = cast("LabelMode", label_mode or "dirty")  # the plan checks it
    plan = PoisonPlan(target, 0.1 if rate is None else rate, mode, seed or 0)
    show(poison_files(sources, method, plan, out, overwrite=overwrite))


def show(written: "PoisonedFiles") -> None:
    """Print how many rows were poisoned and where everything is."""
    typer.echo(f"{written.n_poisoned} of {written.n_rows} rows poisoned: {written.train}")
    if written.n_declined:
        typer.echo(
            f"{written.n_declined} rows could not carry the trigger; others took their place where there were any."
        )
    typer.echo(f"Ground truth: {written.manifest}")
    if written.triggered:
        typer.echo(f"Triggered rows: {written.triggered}")
