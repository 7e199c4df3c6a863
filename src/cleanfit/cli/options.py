"""Options that several commands share, and how flags and a YAML file become settings."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cleanfit.errors import SettingsError
from cleanfit.settings import ALIASES, TrainingSettings, load_yaml, merge

Data = Annotated[
    Path, typer.Argument(help="Labelled rows: .csv, .tsv, .jsonl (also .gz), .parquet, or a saved dataset.")
]
TextColumn = Annotated[str | None, typer.Option(help="Column that holds the text; guessed if not given.")]
TextPairColumn = Annotated[str | None, typer.Option(help="Column that holds a second text, if the task has one.")]
LabelColumn = Annotated[str | None, typer.Option(help="Column that holds the label; guessed if not given.")]
Model = Annotated[str | None, typer.Option(help="A folder, a hub name, or 'minilm' (the embedded default).")]
Set = Annotated[list[str] | None, typer.Option("--set", help="A method's option as key=value; repeat for more.")]
BatchSize = Annotated[int | None, typer.Option(help="Rows per training step. [default: 32]")]
MaxLength = Annotated[int | None, typer.Option(help="Tokens kept per row. [default: 128]")]
Seed = Annotated[int | None, typer.Option(help="Decides everything random. [default: 0]")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32 or bf16; auto takes bf16 where it is fast.")]
Device = Annotated[str | None, typer.Option(help="auto (an accelerator if there is one) or cpu.")]
DropInvalid = Annotated[bool, typer.Option("--drop-invalid", help="Leave out unusable rows and list them.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output folder if it is there.")]
Oracle = Annotated[Path | None, typer.Option(help="Manifest of the attack on DATA: leave its rows out. For research.")]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings; flags win over it.")]

TRAINING = tuple(f.name for f in dataclasses.fields(TrainingSettings))


def flags_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Pick from a command's arguments those that a YAML file may give too; a switch that is off counts as not given."""
    own = ("data", "set_", "config", "resume", "overwrite", "fail_on")
    flags = {name: value or None if isinstance(value, bool) else value for name, value in arguments.items()}
    return {**{name: value for name, value in flags.items() if name not in own}, "set": None}


def resolve(config: Path | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Lay flags over a YAML file.

    Args:
        config: the file, or None.
        flags: flag -> value, None where it was not given; these are also the keys that the file may hold, beside the
            training settings.

    Returns:
        Setting -> value, with the training settings under their own names and unset ones absent.

    Raises:
        SettingsError: the file is not usable or holds an unknown key.
    """
    stored = load_yaml(config) if config else {}
    known = (*flags, *TRAINING)
    return merge(known, _long_names(merge(known, stored)), _long_names(flags))


def training_settings(resolved: Mapping[str, Any]) -> TrainingSettings:
    """Pick the training settings out of resolved settings.

    Raises:
        SettingsError: a value has the wrong type or is out of range.
    """
    from cleanfit.settings import configure

    return configure(TrainingSettings(), {name: resolved[name] for name in TRAINING if name in resolved})


def method_options(stored: object, pairs: list[str] | None) -> dict[str, Any]:
    """Lay ``--set`` pairs over the ``set:`` block of a YAML file; nested blocks are flattened to their innermost keys.

    Raises:
        SettingsError: the block is no mapping, or a pair has no ``=``.
    """
    from cleanfit.settings import parse_pairs

    if stored is not None and not isinstance(stored, Mapping):
        raise SettingsError(f"'set' in the settings file is {stored!r}; expected a block of 'option: value' lines.")
    return {**_flat(stored or {}), **parse_pairs(pairs or [])}


def _flat(block: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in block.items():
        flat.update(_flat(value) if isinstance(value, Mapping) else {key: value})
    return flat


def _long_names(values: Mapping[str, Any]) -> dict[str, Any]:
    return {ALIASES.get(name, name): value for name, value in values.items()}
