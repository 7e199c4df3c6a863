"""The model-release attacks by their names on the command line; a new one is a file here and a line below."""

from cleanfit.model_attacks.base import ModelAttack
from cleanfit.model_attacks.ep import EmbeddingPoisoning
from cleanfit.model_attacks.lwp import LayerwisePoisoning
from cleanfit.model_attacks.neuba import NeuronBackdoor
from cleanfit.model_attacks.por import PredefinedRepresentation
from cleanfit.model_attacks.ripple import Ripple
from cleanfit.model_attacks.sos import StealthyBackdoor

__all__ = [
    "MODEL_ATTACKS",
    "EmbeddingPoisoning",
    "LayerwisePoisoning",
    "NeuronBackdoor",
    "PredefinedRepresentation",
    "Ripple",
    "StealthyBackdoor",
]

MODEL_ATTACKS: dict[str, type[ModelAttack]] = {
    "ep": EmbeddingPoisoning,
    "lwp": LayerwisePoisoning,
    "neuba": NeuronBackdoor,
    "por": PredefinedRepresentation,
    "ripple": Ripple,
    "sos": StealthyBackdoor,
}
