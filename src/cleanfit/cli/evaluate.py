"""`cleanfit evaluate`: clean accuracy, attack success rate and the false-trigger baseline of a saved model."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.cli import options


def evaluate(
    model: Annotated[str, typer.Argument(help="A folder saved by fit (RUN/model) or any transformers classifier.")],
    clean: Annotated[Path, typer.Option(help="Rows without triggers.")],
    triggered: Annotated[Path | None, typer.Option(help="Triggered rows with their TRUE labels.")] = None,
    target: Annotated[str | None, typer.Option(help="The attacker's label, with --triggered.")] = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    max_length: Annotated[int, typer.Option(help="Tokens kept per row.")] = 128,
    precision: options.Precision = None,
    device: options.Device = None,
    json_: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score a saved model; attack success needs --triggered and --target."""
    import json

    from cleanfit.cli.tables import print_scores
    from cleanfit.data import Columns
    from cleanfit.evaluate import evaluate as run
    from cleanfit.results import to_plain

    given = {"max_length": max_length, "precision": precision, "device": device}
    settings = options.training_settings({key: value for key, value in given.items() if value is not None})
    columns = Columns(text_column, text_pair_column, label_column)
    score = run(model, clean, triggered=triggered, target=target, columns=columns, settings=settings)
    if json_:
        typer.echo(json.dumps(to_plain(score)))
    else:
        print_scores([score])
