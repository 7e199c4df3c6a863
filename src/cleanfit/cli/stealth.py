"""`cleanfit stealth`: how much the triggered texts of an attack show, beside the clean texts they were made of."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cleanfit.cli import options

if TYPE_CHECKING:
    from typing import Literal

    from cleanfit.stealth import Stealth


def stealth(
    clean: Annotated[Path, typer.Argument(help="The clean test (or training) file that the attack was given.")],
    manifest: Annotated[Path, typer.Option(help="The manifest.json that 'cleanfit poison' wrote.")],
    part: Annotated[str, typer.Option(help="test (triggered rows) or train (poisoned rows).")] = "test",
    lm: Annotated[
        str | None,
        typer.Option(help="Causal language model for perplexity: a folder or a hub name, such as gpt2-large."),
    ] = None,
    similarity_model: Annotated[str, typer.Option(help="A folder, a hub name, or 'minilm' (embedded).")] = "minilm",
    grammar: Annotated[
        bool, typer.Option("--grammar", help="Count LanguageTool matches; needs cleanfit[grammar] and Java.")
    ] = False,
    max_rows: Annotated[int | None, typer.Option(help="Measure so many rows, always the same ones.")] = None,
    max_length: Annotated[int, typer.Option(help="Tokens read of a text.")] = 512,
    text_column: Annotated[str | None, typer.Option(help="Column with the text; the manifest's if not given.")] = None,
    device: options.Device = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Compare triggered with clean texts: perplexity, similarity, grammar, edits."""
    import json

    from cleanfit.results import to_plain
    from cleanfit.stealth import StealthSettings
    from cleanfit.stealth import stealth as run

    chosen = cast("Literal['auto', 'cpu']", device or "auto")  # the settings check it
    settings = StealthSettings(lm, similarity_model, grammar, max_rows, max_length, device=chosen)
    measured = run(
        clean, manifest, part=cast("Literal['test', 'train']", part), text_column=text_column, settings=settings
    )
    if json_:
        typer.echo(json.dumps(to_plain(measured)))
    else:
        show(measured)


def show(measured: "Stealth") -> None:
    """Print a line per figure, then with what it was measured and what was skipped."""
    from cleanfit.cli.tables import print_table

    typer.echo(f"{measured.n_rows} {measured.part} rows, {measured.n_pairs} pairs of a clean and a triggered text.")
    rows = [
        [metric.name, statistic, f"{value:.4g}", metric.unit, str(metric.n_pairs)]
        for metric in measured.metrics
        for statistic, value in metric.values.items()
    ]
    print_table(["metric", "statistic", "value", "unit", "pairs"], rows)
    for metric in measured.metrics:
        if metric.note:
            typer.echo(f"{metric.name}: {metric.note}.")
        if metric.skipped:
            typer.echo(f"{metric.name}: skipped, {metric.skipped}.")
