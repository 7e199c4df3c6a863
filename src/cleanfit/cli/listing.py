"""`cleanfit list`: the attacks, model attacks, defenses and detectors with their options."""

import dataclasses
from typing import Annotated, Any

import typer

from cleanfit.errors import SettingsError


def listing(
    kind: Annotated[str, typer.Argument(help="attacks, model-attacks, image-attacks, defenses or detectors")],
) -> None:
    """List the methods of one kind with what each does and its options (for --set)."""
    for name, method in sorted(_table(kind).items()):
        summary = (method.__doc__ or "").strip().splitlines()[0]
        typer.echo(f"{name}: {summary}")
        for option, default in _options(method()):
            typer.echo(f"    {option}={default}")


def _table(kind: str) -> dict[str, Any]:
    if kind == "attacks":
        from cleanfit.attacks import ATTACKS

        return dict(ATTACKS)
    if kind == "model-attacks":
        from cleanfit.model_attacks import MODEL_ATTACKS

        return dict(MODEL_ATTACKS)
    if kind == "image-attacks":
        from cleanfit.vision.attacks import IMAGE_ATTACKS

        return dict(IMAGE_ATTACKS)
    if kind == "defenses":
        from cleanfit.defenses import DEFENSES

        return dict(DEFENSES)
    if kind == "detectors":
        from cleanfit.detectors import DETECTORS

        return dict(DETECTORS)
    raise SettingsError(
        f"'{kind}' is no kind of method; expected attacks, model-attacks, image-attacks, defenses or detectors."
    )


def _options(method: Any) -> list[tuple[str, str]]:
    options: list[tuple[str, str]] = []
    for field in dataclasses.fields(method):
        value = getattr(method, field.name)
        if dataclasses.is_dataclass(value):
            options += _options(value)
        else:
            options.append((field.name, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)))
    return options
