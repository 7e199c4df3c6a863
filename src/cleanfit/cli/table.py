"""`cleanfit table`: the cells of a benchmark as Markdown, CSV, JSON and one HTML page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cleanfit.benchmark.summary import Line


def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder written by bench.")],
    out: Annotated[Path | None, typer.Option(help="Folder for table.md, .csv, .json and .html. [default: DIR]")] = None,
) -> None:
    """Turn the cells of a benchmark into tables and one page, each line compared with plain and with the oracle."""
    from cleanfit.benchmark.reading import read_cells
    from cleanfit.benchmark.summary import summarize
    from cleanfit.benchmark.tables import write_tables
    from cleanfit.benchmark.wording import failed
    from cleanfit.report.plots import visible

    summary = summarize(*read_cells(folder))
    written = write_tables(summary, out or folder)
    show(summary.lines)
    for failure in summary.failures:
        typer.secho(f"Failed: {visible(failed(failure))}", fg=typer.colors.YELLOW, err=True)
    typer.echo(f"{summary.measured.n_cells} finished cells; failed: {len(summary.failures)}.")
    typer.echo(
        f"Page: {written.html}   Also: {', '.join(p.name for p in (written.markdown, written.csv, written.json))}"
    )


def show(lines: "tuple[Line, ...]") -> None:
    """Print mean accuracy and attack success of each line, and what the comparison with plain shows."""
    from cleanfit.benchmark import wording
    from cleanfit.cli.tables import print_table
    from cleanfit.report.plots import visible

    columns = ("attack", "defense", "seeds", "accuracy", "against plain", "attack success", "against plain")
    for group in wording.tables(lines):
        rows = []
        for line, told in zip(group, wording.varying(group)):
            found = line.to_plain.accuracy, line.to_plain.attack_success
            verdicts = [one.verdict.replace("no difference", "not") if one else wording.NONE for one in found]
            accuracy, attack = line.clean_accuracy.mean, line.attack_success_rate
            labels = line.attack or "none", f"{line.defense}, {told}" if told else line.defense, str(len(line.seeds))
            shares = wording.share(accuracy), wording.share(attack.mean if attack else None)
            rows.append((*labels, shares[0], verdicts[0], shares[1], verdicts[1]))
        typer.echo(f"{visible(wording.title(group[0]))}:")
        print_table(columns, rows)
