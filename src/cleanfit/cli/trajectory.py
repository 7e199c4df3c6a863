"""`cleanfit trajectory`: one training, looked at step by step; and the options that all studies share."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import typer

from cleanfit.cli import options

if TYPE_CHECKING:
    from cleanfit.trajectory import Point, Recipe, Summary

Test = Annotated[Path, typer.Option(help="Clean rows to score on; with a manifest the very file that was triggered.")]
Capacity = Annotated[
    list[str] | None, typer.Option("--capacity", help="What of the model is trained, as key=value; repeat for more.")
]
Epochs = Annotated[float | None, typer.Option(help="Passes over the rows. [default: 3]")]
LearningRate = Annotated[float | None, typer.Option(help="Peak learning rate. [default: 2e-5]")]
Points = Annotated[int | None, typer.Option(help="Looks after the one before training. [default: 24]")]
Rows = Annotated[int | None, typer.Option(help="Rows of each kind that a look scores; 0 = all. [default: 1000]")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with what was interrupted.")]
SCORES = ("clean accuracy", "attack success rate", "false-trigger rate")


def trajectory(
    data: options.Data,
    test: Test,
    out: Annotated[Path, typer.Option(help="Folder for trajectory.json and the figures.")],
    manifest: Annotated[Path | None, typer.Option(help="manifest.json of the attack on DATA. For research.")] = None,
    text_column: options.TextColumn = None,
    text_pair_column: options.TextPairColumn = None,
    label_column: options.LabelColumn = None,
    model: options.Model = None,
    capacity: Capacity = None,
    points: Points = None,
    rows: Rows = None,
    states: Annotated[
        str | None, typer.Option(help="Keep hidden states and map them: none, pca or umap. [default: none]")
    ] = None,
    epochs: Epochs = None,
    learning_rate: LearningRate = None,
    batch_size: options.BatchSize = None,
    max_length: options.MaxLength = None,
    precision: options.Precision = None,
    seed: options.Seed = None,
    device: options.Device = None,
    config: options.Config = None,
    resume: Resume = False,
    overwrite: options.Overwrite = False,
) -> None:
    """Follow one training: accuracy, and with --manifest attack success and the losses of clean and poisoned rows."""
    resolved = resolve(config, locals())

    from cleanfit.data import Columns
    from cleanfit.run_folder import RunFolder
    from cleanfit.trajectory import Subject
    from cleanfit.trajectory import trajectory as run

    subject = Subject(data, test, manifest, Columns(text_column, text_pair_column, label_column))
    done = run(subject, recipe(resolved, capacity), out=RunFolder(out, resume, overwrite))
    show(done.summary)
    typer.echo(f"Looks: {out}/trajectory.json   Figure: {out}/stages.png")


def resolve(config: Path | None, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the flags of a study over a YAML file; lists of pairs are laid over its blocks later."""
    return options.resolve(config, {**options.flags_of(arguments), "capacity": None})


def recipe(resolved: Mapping[str, Any], capacity: list[str] | None) -> "Recipe":
    """Make the recipe of a study from its resolved settings.

    Raises:
        SettingsError: a value has the wrong type or is out of range.
    """
    from cleanfit.models import DEFAULT_MODEL
    from cleanfit.settings import configure
    from cleanfit.trajectory import Looks, Recipe

    default = Looks()
    n_rows = int(resolved.get("rows", default.n_rows))
    looks = Looks(
        int(resolved.get("points", default.n_points)),
        n_rows or None,
        cast("Literal['none', 'pca', 'umap']", str(resolved.get("states", default.states))),  # Looks checks it
    )
    return Recipe(
        str(resolved.get("model", DEFAULT_MODEL)),
        options.training_settings(resolved),
        configure(Recipe().capacity, options.method_options(resolved.get("capacity"), capacity)),
        looks,
    )


def scores(look: "Point") -> tuple[str, str, str]:
    """Write the scores of a look for a table, in the order of `SCORES`."""
    from cleanfit.cli.tables import share

    return share(look.clean_accuracy), share(look.attack_success_rate), share(look.false_trigger_rate)


def show(summary: "Summary") -> None:
    """Print the last look, the best one, and when accuracy and attack success came."""
    from cleanfit.cli.tables import print_table

    looks = {"last": summary.last, "best accuracy": summary.best}
    lines = [(name, str(look.step), f"{look.epoch:.2f}", *scores(look)) for name, look in looks.items()]
    print_table(("look", "step", "epoch", *SCORES), lines)
    attack = "never took hold" if summary.attack_half_step is None else f"at step {summary.attack_half_step}"
    attack = "" if summary.last.attack_success_rate is None else f"; of net attack success: {attack}"
    typer.echo(f"Half of the accuracy: at step {summary.accuracy_half_step}{attack}.")
