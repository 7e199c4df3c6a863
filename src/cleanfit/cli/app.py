"""The typer application: its commands, its exit codes, and how an error is told."""

import os
import sys
import warnings
from typing import TextIO

import typer

from cleanfit.cli import (
    bench,
    demo,
    evaluate,
    fit,
    fit_images,
    import_,
    listing,
    poison,
    poison_images,
    poison_model,
    poison_rates,
    report,
    scan,
    stealth,
    sweep,
    table,
    trajectory,
)
from cleanfit.errors import CleanfitError, SettingsError

EXIT_ERROR, EXIT_USAGE = 1, 2

app = typer.Typer(
    name="cleanfit",
    help="Fine-tune a text classifier on data that may be poisoned, and get back a clean model and an audit.",
    epilog="Exit codes: 0 fine, 1 error, 2 wrong usage, 3 the --fail-on gate. Any command takes --debug for the traceback.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("fit")(fit.fit)
app.command("scan")(scan.scan)
app.command("poison")(poison.poison)
app.command("poison-model")(poison_model.poison_model)
app.command("fit-images")(fit_images.fit_images)
app.command("poison-images")(poison_images.poison_images)
app.command("import")(import_.import_)
app.command("evaluate")(evaluate.evaluate)
app.command("stealth")(stealth.stealth)
app.command("trajectory")(trajectory.trajectory)
app.command("poison-rates")(poison_rates.poison_rates)
app.command("sweep")(sweep.sweep)
app.command("bench")(bench.bench)
app.command("table")(table.table)
app.command("report")(report.report)
app.command("demo")(demo.demo)
app.command("list")(listing.listing)


def main() -> None:
    """Run the command line; an error is one red line on standard error, never a traceback, unless --debug is given."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if not debug:
        _quieten()
    try:
        app(args=arguments)
    except Exception as error:
        if debug:
            raise
        known = isinstance(error, CleanfitError)
        where = "" if known else f"internal error, please report it (--debug shows where): {type(error).__name__}: "
        tell(f"Error: {where}{error}", typer.colors.RED)
        sys.exit(EXIT_USAGE if isinstance(error, SettingsError) else EXIT_ERROR)


def tell(message: str, color: str) -> None:
    """Print one line on standard error; what the data smuggled into it cannot steer the terminal."""
    line = " ".join(message.split())
    typer.secho("".join(c if c.isprintable() else repr(c)[1:-1] for c in line), fg=color, err=True)


def _quieten() -> None:
    """Show our own warnings as yellow lines, and nothing of the libraries' chatter."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if f"{os.sep}cleanfit{os.sep}" in filename:
            tell(f"Warning: {message}", typer.colors.YELLOW)

    warnings.showwarning = show


if __name__ == "__main__":
    main()
