"""`cleanfit evaluate`: clean accuracy, attack success and its baselines, and detection scores of a saved model."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.cli import options


def evaluate(
    model: Annotated[str, typer.Argument(help="A run folder of fit, or any transformers classifier.")],
    clean: Annotated[Path, typer.Option(help="Rows without triggers; with --manifest its test file.")],
    triggered: Annotated[Path | None, typer.Option(help="Triggered rows with their TRUE labels.")] = None,
    target: Annotated[str | None, typer.Option(help="The attacker's label, with --triggered.")] = None,
    manifest: Annotated[
        Path | None, typer.Option(help="manifest.json of poison, instead of --triggered and --target.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="A clean model, such as an oracle's run; the baseline of attack success.")
    ] = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    max_length: Annotated[int, typer.Option(help="Tokens kept per row.")] = 128,
    precision: options.Precision = None,
    device: options.Device = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Score a saved model; attack success needs --manifest, or --triggered and --target; detection a run folder too."""
    import json

    from cleanfit.cli.tables import print_evaluation
    from cleanfit.data import Columns
    from cleanfit.evaluate import evaluate as run
    from cleanfit.results import to_plain

    given = {"max_length": max_length, "precision": precision, "device": device}
    result = run(
        model,
        clean,
        triggered=triggered,
        target=target,
        manifest=manifest,
        reference=reference,
        columns=Columns(text_column, text_pair_column, label_column),
        settings=options.training_settings({key: value for key, value in given.items() if value is not None}),
    )
    if json_:
        typer.echo(json.dumps(to_plain(result)))
    else:
        print_evaluation(result)
