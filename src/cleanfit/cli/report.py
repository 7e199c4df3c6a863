"""`cleanfit report`: rebuild the HTML report of a run from its audit alone."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.errors import DataError


def report(run: Annotated[Path, typer.Argument(help="A folder written by fit.")]) -> None:
    """Rebuild RUN/report.html from RUN/audit.json."""
    from cleanfit.report import write_report

    audit = run / "audit.json"
    if not audit.is_file():
        raise DataError(f"'{run}' holds no audit.json; expected a folder written by 'cleanfit fit --out'.")
    write_report(audit, run / "report.html")
    typer.echo(f"Report: {run / 'report.html'}")
