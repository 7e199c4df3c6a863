"""The defenses by their names on the command line; a new one is a file here and a line below."""

from cleanfit.defenses.auto import Auto
from cleanfit.defenses.base import Defense
from cleanfit.defenses.moderate_fitting import ModerateFitting
from cleanfit.defenses.plain import PlainFineTuning
from cleanfit.defenses.token_unlearning import TokenUnlearning

__all__ = ["DEFENSES", "Auto", "ModerateFitting", "PlainFineTuning", "TokenUnlearning"]

DEFENSES: dict[str, type[Defense]] = {
    "auto": Auto,
    "btu": TokenUnlearning,
    "moderate": ModerateFitting,
    "plain": PlainFineTuning,
}
