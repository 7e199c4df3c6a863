"""Fine-tune a text classifier on data that may be poisoned, and get back a clean model and an audit."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cleanfit.data import Columns
    from cleanfit.defenses import Auto, ModerateFitting, PlainFineTuning, TokenUnlearning
    from cleanfit.detectors import EmbeddingDrift, Reading
    from cleanfit.fitting import FitResult, Inputs, fit, scan
    from cleanfit.run_folder import RunFolder
    from cleanfit.settings import TrainingSettings

__all__ = [
    "Auto",
    "Columns",
    "EmbeddingDrift",
    "FitResult",
    "Inputs",
    "ModerateFitting",
    "PlainFineTuning",
    "Reading",
    "RunFolder",
    "TokenUnlearning",
    "TrainingSettings",
    "fit",
    "scan",
]

_HOMES = {
    "Auto": "cleanfit.defenses",
    "Columns": "cleanfit.data",
    "EmbeddingDrift": "cleanfit.detectors",
    "FitResult": "cleanfit.fitting",
    "Inputs": "cleanfit.fitting",
    "ModerateFitting": "cleanfit.defenses",
    "PlainFineTuning": "cleanfit.defenses",
    "Reading": "cleanfit.detectors",
    "RunFolder": "cleanfit.run_folder",
    "TokenUnlearning": "cleanfit.defenses",
    "TrainingSettings": "cleanfit.settings",
    "fit": "cleanfit.fitting",
    "scan": "cleanfit.fitting",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used: `import cleanfit` alone costs nothing and loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'cleanfit' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)
