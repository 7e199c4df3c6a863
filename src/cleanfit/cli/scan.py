"""`cleanfit scan`: look for suspicious tokens and rows without fine-tuning; a gate for CI."""

from pathlib import Path
from typing import Annotated

import typer

from cleanfit.cli import options
from cleanfit.errors import OutputError

EXIT_GATE = 3


def scan(
    data: options.Data,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    model: options.Model = None,
    detector: Annotated[str | None, typer.Option(help="See 'cleanfit list detectors'. [default: reading]")] = None,
    set_: options.Set = None,
    max_length: options.MaxLength = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    config: options.Config = None,
    drop_invalid: options.DropInvalid = False,
    out: Annotated[Path | None, typer.Option(help="Folder for tokens.csv and rows.csv.")] = None,
    overwrite: options.Overwrite = False,
    fail_on: Annotated[
        int | None, typer.Option(min=1, help="Exit with 3 if so many tokens or more are suspicious.")
    ] = None,
) -> None:
    """List the tokens that look like triggers and the rows that contain them; nothing is fine-tuned."""
    flags = options.flags_of(locals())
    del flags["out"]  # a settings file does not say where findings go
    if out and out.exists() and not overwrite:
        raise OutputError(f"'{out}' exists already. Pass --overwrite to replace it, or another --out.")
    resolved = options.resolve(config, flags)
    settings = options.training_settings(resolved)
    given = options.method_options(resolved.get("set"), set_)

    from cleanfit.cli.tables import print_tokens
    from cleanfit.data import Columns
    from cleanfit.detectors import DETECTORS
    from cleanfit.fitting import Inputs
    from cleanfit.fitting import scan as run
    from cleanfit.models import DEFAULT_MODEL
    from cleanfit.run_folder import RunFolder
    from cleanfit.save import write_findings
    from cleanfit.settings import configure, lookup

    method = configure(lookup("detector", str(resolved.get("detector", "reading")), DETECTORS)(), given)
    columns = Columns(resolved.get("text_column"), resolved.get("text_pair_column"), resolved.get("label_column"))
    inputs = Inputs(data, columns, drop_invalid=bool(resolved.get("drop_invalid", False)))
    findings = run(inputs, model=str(resolved.get("model", DEFAULT_MODEL)), detector=method, settings=settings)
    if out:
        names = list(findings.tokens[0].label_counts) if findings.tokens else []
        with RunFolder(out, overwrite=overwrite).open({"scan": str(data)}) as (folder, _):
            write_findings(findings, names, folder)
    print_tokens(findings, "scan")
    if fail_on is not None and len(findings.suspicious) >= fail_on:
        typer.secho(f"Gate: {len(findings.suspicious)} suspicious tokens, --fail-on {fail_on}.", fg="red", err=True)
        raise typer.Exit(EXIT_GATE)
