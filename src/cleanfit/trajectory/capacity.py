"""How much of a model a training may move: for now everything."""

from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel


@dataclass(frozen=True)
class Capacity:
    """What of the model is trained; without fields, all of it."""


def restrict(model: PreTrainedModel, capacity: Capacity, seed: int) -> nn.Module:
    """Give the model that is trained instead of a classifier: with full capacity the classifier itself."""
    return model
