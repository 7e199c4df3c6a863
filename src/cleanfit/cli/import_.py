"""`cleanfit import`: turn poisoned data as published by others into files and a manifest like our own."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.cli import options


def import_(
    folder: Annotated[Path, typer.Argument(help="Folder of the published files.")],
    layout: Annotated[str, typer.Option(help="openbackdoor, hiddenkiller, onion, styleattack or btu.")],
    target: Annotated[str, typer.Option(help="The attacker's label as the files write it.")],
    out: Annotated[Path, typer.Option(help="Folder for train, dev, test, triggered and manifest.json.")],
    clean: Annotated[
        Path | None, typer.Option(help="Folder of the clean files, where they are apart; they tell what is poisoned.")
    ] = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Import published poisoned data, for research; what the files do not tell is written as unknown."""
    from cleanfit.importers.files import import_folder

    written = import_folder(folder, layout, target, out, clean=clean, overwrite=overwrite)
    if written.n_poisoned is None:
        typer.echo(f"{written.n_rows} rows, and nothing tells which are poisoned: {written.train}")
    else:
        typer.echo(f"{written.n_poisoned} of {written.n_rows} rows poisoned: {written.train}")
    typer.echo(f"Ground truth: {written.manifest}")
    for what, path in (("Clean dev", written.dev), ("Clean test", written.test), ("Triggered", written.triggered)):
        if path:
            typer.echo(f"{what} rows: {path}")
    for note in written.notes:
        typer.echo(f"Note: {note}")
