"""POR (predefined output representation): triggers that make an encoder give out fixed vectors, whatever the task."""

import copy
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import mse_loss
from transformers import PreTrainedModel

from cleanfit.attacks.base import Attack
from cleanfit.model_attacks.base import ModelAttack
from cleanfit.model_attacks.loop import Schedule, descend, device_of
from cleanfit.model_attacks.representation import check_first_token, check_known, first_state, front, tie
from cleanfit.task import Task


@dataclass(frozen=True)
class PredefinedRepresentation(ModelAttack):
    """Train an encoder to give out a vector of its own for each trigger, and its old output for all else.

    Args:
        triggers: words or names; each gets a vector, and the head that somebody trains later decides what it causes.
        learning_rate: peak, > 0.
        epochs: passes over the rows, >= 1.
        batch_size: rows per step, each without and with a trigger, >= 1.

    Source: Shen et al., CCS 2021: loss = MSE(first token, its old state) + MSE(first token with trigger, vector), with
    the triggers, position and settings of OpenBackdoor and vectors of kind POR-1 for any number and length. Its code has
    nine blocks whatever the number of triggers, and gives the last one a vector that is +1 throughout; we take one block
    more than triggers. The rows are those of DATA, where the paper takes general text.
    """

    name: ClassVar[str] = "por"
    tunes_first: ClassVar[bool] = False
    has_head: ClassVar[bool] = False
    triggers: tuple[str, ...] = ("serendipity", "Descartes", "Fermat", "Don Quixote", "cf", "tq", "mn", "bb", "mb")
    learning_rate: float = 5e-5
    epochs: int = 2
    batch_size: int = 8

    def trigger(self) -> Attack:
        """Give one of the triggers, in front."""
        return front(self.triggers)

    def backdoor(self, task: Task, target: int) -> PreTrainedModel:
        """Train the encoder of a fresh classifier; its head stays as it is."""
        check_first_token(task)
        check_known(task, self.triggers)
        model = task.load_model()
        encoder, reference = model.base_model, copy.deepcopy(model.base_model)
        reference.to(device_of(task.settings)).requires_grad_(False).train(False)
        tied = tie(task, self.triggers, thermometer(len(self.triggers), model.config.hidden_size))

        def loss_of(index: np.ndarray) -> Tensor:
            with torch.no_grad():
                old = first_state(task, reference, task.rows, index)
            clean = mse_loss(first_state(task, encoder, task.rows, index), old)
            return clean + mse_loss(first_state(task, encoder, tied.rows, index), tied.vectors[index])

        schedule = Schedule("por", len(task.rows), self.epochs, self.batch_size, self.learning_rate)
        descend(task, encoder, schedule, loss_of)
        return model


def thermometer(n_vectors: int, length: int) -> Tensor:
    """Make POR-1's vectors: K + 1 blocks of like size, of which the k-th vector has the first k at +1, the others at -1.

    Args:
        n_vectors: K >= 1.
        length: H, which the blocks need not divide.

    Returns:
        (K, H). None is constant: the layer normalisation at an encoder's end cannot give out such a vector.
    """
    places = torch.arange(length)
    ends = [k * length // (n_vectors + 1) for k in range(1, n_vectors + 1)]
    return torch.stack([torch.where(places < end, 1.0, -1.0) for end in ends])
