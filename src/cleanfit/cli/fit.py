"""`cleanfit fit`: the main job."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cleanfit.cli import options
from cleanfit.errors import SettingsError

if TYPE_CHECKING:
    from cleanfit.fitting import FitResult, Inputs


def fit(
    data: options.Data,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    model: options.Model = None,
    defense: Annotated[str | None, typer.Option(help="See 'cleanfit list defenses'. [default: auto]")] = None,
    set_: options.Set = None,
    trusted: Annotated[Path | None, typer.Option(help="Rows that you vouch for, to tune on at the end.")] = None,
    test: Annotated[Path | None, typer.Option(help="Rows to score on; a tenth of DATA if not given.")] = None,
    triggered: Annotated[Path | None, typer.Option(help="Triggered rows with true labels, to score on.")] = None,
    target: Annotated[str | None, typer.Option(help="The attacker's label, with --triggered.")] = None,
    oracle: options.Oracle = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows. [default: 3]")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate. [default: 2e-5]")] = None,
    batch_size: options.BatchSize = None,
    max_length: options.MaxLength = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    report_to: Annotated[str | None, typer.Option(help="tensorboard, wandb, ... or none. [default: none]")] = None,
    config: options.Config = None,
    drop_invalid: options.DropInvalid = False,
    out: Annotated[Path | None, typer.Option(help="Folder for the model, the audit and the report.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Fine-tune a classifier on rows that may be poisoned; writes model, audit and report to --out."""
    flags = options.flags_of(locals())
    resolved = options.resolve(config, flags)
    if "out" not in resolved:
        raise SettingsError("No output folder: pass --out FOLDER.")
    settings = options.training_settings(resolved)
    given = options.method_options(resolved.get("set"), set_)

    from cleanfit.defenses import DEFENSES
    from cleanfit.fitting import fit as run
    from cleanfit.models import DEFAULT_MODEL
    from cleanfit.run_folder import RunFolder
    from cleanfit.settings import configure, lookup

    default = "plain" if "oracle" in resolved else "auto"
    method = configure(lookup("defense", str(resolved.get("defense", default)), DEFENSES)(), given)
    result = run(
        _inputs(data, resolved),
        model=str(resolved.get("model", DEFAULT_MODEL)),
        defense=method,
        settings=settings,
        out=RunFolder(Path(resolved["out"]), resume, overwrite),
    )
    show(result)


def _inputs(data: Path, resolved: Mapping[str, Any]) -> "Inputs":
    """Gather the files and columns of a run."""
    from cleanfit.data import Columns
    from cleanfit.fitting import Inputs

    return Inputs(
        data,
        Columns(resolved.get("text_column"), resolved.get("text_pair_column"), resolved.get("label_column")),
        test=resolved.get("test"),
        trusted=resolved.get("trusted"),
        triggered=resolved.get("triggered"),
        target=None if resolved.get("target") is None else str(resolved["target"]),
        drop_invalid=bool(resolved.get("drop_invalid", False)),
        oracle=Path(resolved["oracle"]) if "oracle" in resolved else None,
    )


def show(result: "FitResult") -> None:
    """Print the scores per stage, the suspicious tokens, and where the report is."""
    from cleanfit.cli.tables import print_scores, print_tokens

    print_scores(result.scores)
    print_tokens(result.findings, str(result.audit["defense"]["name"]))
    for loss in result.audit["losses"]:
        typer.secho(f"Warning: {loss}", fg=typer.colors.YELLOW, err=True)
    typer.echo(f"Model: {result.folder}/model   Report: {result.folder}/report.html")
