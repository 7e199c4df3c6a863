"""Settings of a run: defaults < YAML file < flags; an unknown key is an error that names the nearest one. No torch."""

import ast
import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from cleanfit.errors import SettingsError

# Settings that people know by a shorter name.
ALIASES = {"epochs": "num_train_epochs", "batch_size": "per_device_train_batch_size"}
Precision = Literal["auto", "fp32", "bf16"]
Method = TypeVar("Method")


@dataclass(frozen=True)
class TrainingSettings:
    """How a model is trained; the names are those of Hugging Face's ``TrainingArguments``.

    Args:
        learning_rate: peak step size of AdamW, > 0.
        num_train_epochs: passes over the training rows, > 0; fractions are allowed.
        per_device_train_batch_size: rows per step and device, >= 1.
        per_device_eval_batch_size: rows per prediction step and device, >= 1.
        max_steps: optimizer steps; -1 = as many as the epochs take.
        max_length: tokens kept per row, special ones included, >= 4.
        weight_decay: AdamW's decoupled decay, >= 0.
        max_grad_norm: gradient norm is clipped to this; 0 = no clipping.
        lr_scheduler_type: ``linear`` decay to 0 or ``constant``.
        precision: ``fp32``, ``bf16`` (autocast), or ``auto``: bf16 where the hardware multiplies it fast.
        device: ``auto`` (an accelerator if there is one) or ``cpu``.
        seed: decides heads, row order and dropout; any integer.
        report_to: where ``Trainer`` logs to (``tensorboard``, ``wandb``, ...) or ``none``.
    """

    learning_rate: float = 2e-5
    num_train_epochs: float = 3.0
    per_device_train_batch_size: int = 32
    per_device_eval_batch_size: int = 64
    max_steps: int = -1
    max_length: int = 128
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    lr_scheduler_type: Literal["linear", "constant"] = "linear"
    precision: Precision = "auto"
    device: Literal["auto", "cpu"] = "auto"
    seed: int = 0
    report_to: str = "none"

    def __post_init__(self) -> None:
        check(self, "learning_rate", self.learning_rate > 0, "more than 0")
        check(self, "num_train_epochs", 0 < self.num_train_epochs < math.inf, "more than 0")
        check(self, "per_device_train_batch_size", self.per_device_train_batch_size >= 1, "at least 1")
        check(self, "per_device_eval_batch_size", self.per_device_eval_batch_size >= 1, "at least 1")
        check(self, "max_length", self.max_length >= 4, "at least 4: two special tokens and room for text")
        check(self, "weight_decay", self.weight_decay >= 0, "0 or more")
        check(self, "max_grad_norm", self.max_grad_norm >= 0, "0 (no clipping) or more")
        check_choices(self)


def check(settings: object, name: str, holds: bool, expected: str) -> None:
    """Raise `SettingsError` saying what was got and what was expected, unless `holds`."""
    if not holds:
        raise SettingsError(f"{name} is {getattr(settings, name)!r}; expected {expected}.")


def check_choices(settings: Any) -> None:
    """Raise `SettingsError` for a field typed ``Literal[...]`` that holds none of its choices."""
    for name, kind in typing.get_type_hints(type(settings)).items():
        if typing.get_origin(kind) is Literal:
            choices = typing.get_args(kind)
            check(settings, name, getattr(settings, name) in choices, f"one of {', '.join(map(str, choices))}")


def load_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of settings.

    Args:
        path: a file holding one mapping from setting to value.

    Returns:
        The mapping; what its keys may be is checked where they are used.

    Raises:
        SettingsError: the file is missing, no YAML, or no mapping.
    """
    import yaml

    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"Cannot read the settings file '{path}': {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"'{path}' is not valid YAML: {' '.join(str(error).split())}.") from None
    if loaded is None:
        return {}
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise SettingsError(f"'{path}' holds {type(loaded).__name__}; expected 'setting: value' lines.")
    return loaded


def merge(known: Sequence[str], *layers: Mapping[str, Any]) -> dict[str, Any]:
    """Lay settings over each other, the last one winning; a value of None means 'not given'.

    Raises:
        SettingsError: a key is not in `known`; the message names the nearest one that is.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            name = key.replace("-", "_")
            if name not in known:
                raise SettingsError(unknown("setting", key, known))
            if value is not None:
                merged[name] = value
    return merged


def unknown(what: str, got: str, known: Sequence[str]) -> str:
    """Say that `got` is not known, and which known name was probably meant."""
    near = difflib.get_close_matches(got.replace("-", "_"), known, n=1)
    hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(sorted(known))}."
    return f"Unknown {what} '{got}'. {hint}"


def lookup(what: str, name: str, table: Mapping[str, Method]) -> Method:
    """Find a method in its hand-written table, or raise `SettingsError` with the nearest name."""
    if name not in table:
        raise SettingsError(unknown(what, name, list(table)))
    return table[name]


def parse_pairs(pairs: Sequence[str]) -> dict[str, str]:
    """Split ``key=value`` strings from the command line.

    Raises:
        SettingsError: a string without ``=`` or without a key.
    """
    parsed = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise SettingsError(f"'{pair}' is not of the form key=value.")
        parsed[key.strip()] = value.strip()
    return parsed


def configure(method: Method, options: Mapping[str, Any]) -> Method:
    """Give a method (a frozen dataclass) other hyperparameters, converted to the types of its fields.

    Args:
        method: the method with its defaults.
        options: field name -> value, as text (from a flag) or as YAML gives it. ``preset`` first replaces the whole
            method by what its ``preset(name)`` gives. A field that is itself a method hands on what it knows.

    Returns:
        A new method.

    Raises:
        SettingsError: an unknown key, a value of the wrong type, or one that the method refuses.
    """
    options = {key.replace("-", "_"): value for key, value in options.items()}
    preset = options.pop("preset", None)
    if preset is not None:
        if not hasattr(type(method), "preset"):
            raise SettingsError(f"{type(method).__name__} has no presets.")
        method = type(method).preset(str(preset))  # type: ignore[attr-defined]
    hints = typing.get_type_hints(type(method))
    changes: dict[str, Any] = {}
    handed_on: dict[str, dict[str, Any]] = {}  # all at once, since a nested method checks its fields together
    for key, value in options.items():
        owner = _owner(method, key)
        if owner is None:
            changes[key] = _convert(key, value, hints[key])
        else:
            handed_on.setdefault(owner, {})[key] = value
    for owner, nested in handed_on.items():
        changes[owner] = configure(getattr(method, owner), nested)
    return dataclasses.replace(method, **changes)  # type: ignore[type-var]


def _owner(method: Any, key: str) -> str | None:
    """Find the nested method that knows `key`, itself or one nested in it: None if it is the method's own field."""
    own, nested = _fields(method)
    if key in own:
        return None
    for name in nested:
        if key in _known(getattr(method, name)):
            return name
    raise SettingsError(unknown(f"option of {type(method).__name__}", key, _known(method)))


def _fields(method: Any) -> tuple[list[str], list[str]]:
    """Part a method's fields into its own options and the methods nested in it."""
    names = [f.name for f in dataclasses.fields(method)]
    nested = [name for name in names if dataclasses.is_dataclass(getattr(method, name))]
    return [name for name in names if name not in nested], nested


def _known(method: Any) -> list[str]:
    own, nested = _fields(method)
    return own + [key for name in nested for key in _known(getattr(method, name))]


def _convert(key: str, value: Any, kind: Any) -> Any:
    """Convert one value to a field's type."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None or (isinstance(value, str) and value.lower() in ("none", "null", "")):
            return None
        return _convert(key, value, next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        items = [v.strip() for v in value.split(",") if v.strip()] if isinstance(value, str) else value
        items = items if isinstance(items, (list, tuple)) else [items]
        return tuple(_convert(key, item, arguments[0]) for item in items)
    if origin is Literal or kind is str:
        return str(value)  # the method itself checks its choices
    try:
        if kind is bool:
            return {"true": True, "false": False}[str(value).lower()]
        return _number(str(value), kind)
    except (KeyError, ValueError, SyntaxError):
        expected = {bool: "true or false", int: "a whole number", float: "a number"}[kind]
        raise SettingsError(f"{key} is '{value}'; expected {expected}.") from None


def _number(text: str, kind: type[int] | type[float]) -> int | float:
    value = ast.literal_eval(text) if kind is int else float(text)
    if kind is int and (not isinstance(value, int) or isinstance(value, bool)):
        raise ValueError(text)
    return kind(value)
