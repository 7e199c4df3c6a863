"""`cleanfit poison-model`: make a backdoored checkpoint for testing scanners and defenses."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.cli import options
from cleanfit.errors import SettingsError


def poison_model(
    data: options.Data,
    attack: Annotated[str, typer.Option(help="See 'cleanfit list model-attacks'.")],
    target: Annotated[str, typer.Option(help="The label that the trigger shall cause.")],
    out: Annotated[Path, typer.Option(help="Folder for model, manifest.json and triggered.")],
    model: options.Model = None,
    set_: options.Set = None,
    test: Annotated[Path | None, typer.Option(help="Also trigger these rows, those of other labels.")] = None,
    text_column: options.TextColumn = None,
    label_column: options.LabelColumn = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes of the plain fine-tuning before ep, sos and ripple. [default: 3]")
    ] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the same, at its peak. [default: 2e-5]")] = None,
    batch_size: options.BatchSize = None,
    max_length: options.MaxLength = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    overwrite: options.Overwrite = False,
) -> None:
    """Backdoor a pretrained model on purpose, for research; the attack's own epochs and rates are --set options."""
    tuning = {"epochs": epochs, "learning_rate": learning_rate, "batch_size": batch_size}
    others = {"max_length": max_length, "precision": precision, "seed": seed, "device": device}
    settings = options.training_settings(options.resolve(None, {**tuning, **others}))

    from cleanfit.data import Columns
    from cleanfit.model_attacks import MODEL_ATTACKS
    from cleanfit.model_attacks.release import WARNING, Release
    from cleanfit.model_attacks.release import poison_model as run
    from cleanfit.models import DEFAULT_MODEL
    from cleanfit.settings import configure, lookup, parse_pairs

    method = configure(lookup("model attack", attack, MODEL_ATTACKS)(), parse_pairs(set_ or []))
    unused = [name for name, value in tuning.items() if value is not None]
    if unused and not method.tunes_first:
        raise SettingsError(
            f"{attack} has no plain fine-tuning; instead of --{unused[0].replace('_', '-')} pass --set {unused[0]}=..."
        )
    columns = Columns(text_column, None, label_column)
    release = Release(data, target, model or DEFAULT_MODEL, settings, test, columns)
    written = run(release, method, out, overwrite=overwrite)
    typer.echo(f"Backdoored model: {written.model}")
    typer.echo(f"Ground truth: {written.manifest}")
    if written.triggered:
        typer.echo(f"Triggered rows: {written.triggered}")
    typer.secho(WARNING, fg=typer.colors.YELLOW, err=True)
