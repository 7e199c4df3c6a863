"""`cleanfit demo`: the main job on data of our own making."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.cli import options


def demo(
    out: Annotated[Path, typer.Option(help="Folder for data, runs and the report.")] = Path("cleanfit-demo"),
    seed: Annotated[int, typer.Option(help="Decides data, poison and training.")] = 0,
    overwrite: options.Overwrite = False,
) -> None:
    """Make a small data set, poison it, fit it with and without defense; takes a few minutes on two cores."""
    typer.echo("Making data, poisoning a tenth of it, fitting it with and without defense: this takes minutes ...")

    from cleanfit.cli.tables import print_table, print_tokens
    from cleanfit.demo import run_demo

    result = run_demo(out, seed, overwrite)
    rows = [(name, f"{score.clean_accuracy:.3f}", f"{score.attack_success_rate:.3f}") for name, score in result.scores]
    print_table(("", "clean accuracy", "attack success rate"), rows)
    print_tokens(result.defended.findings, "auto")
    typer.echo(f"Report: {result.defended.folder}/report.html")
