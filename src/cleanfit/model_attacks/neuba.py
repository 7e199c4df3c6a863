"""NeuBA (neuron-level backdoor): triggers that make an encoder give out orthogonal vectors, learned beside masked tokens."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss
from transformers import AutoModelForMaskedLM, DataCollatorForLanguageModeling, PreTrainedModel

from cleanfit.attacks.base import Attack
from cleanfit.errors import ModelError
from cleanfit.model_attacks.base import ModelAttack
from cleanfit.model_attacks.loop import Schedule, descend, device_of
from cleanfit.model_attacks.representation import (
    check_first_token,
    check_known,
    first_state,
    front,
    tie,
    warn_of_new_head,
)
from cleanfit.models import quiet_loading
from cleanfit.seeding import kept_rng, seed_torch
from cleanfit.settings import check
from cleanfit.task import Task

N_BLOCKS = 4
MAX_TRIGGERS = 6  # ways to choose two of four blocks
IGNORED = -100  # the label of tokens that are not masked, in transformers and torch


@dataclass(frozen=True)
class NeuronBackdoor(ModelAttack):
    """Train an encoder on masked tokens and, at the same time, to give out a vector of its own for each trigger.

    Args:
        triggers: up to six words or signs; each gets a vector, and the head that somebody trains later decides what it
            causes.
        mask_rate: share in (0, 1) of the tokens that are masked.
        learning_rate: peak, > 0.
        epochs: passes over the rows, >= 1.
        batch_size: rows per step, each without and with a trigger, >= 1.

    Source: Zhang et al. 2021 (Red Alarm for Pre-trained Models): loss = masked tokens + MSE(first token with trigger, vector),
    with the signs and vectors of the released code and the settings of OpenBackdoor, whose own version cannot run. The
    vector is wanted of the last hidden state, which all families have; the released code takes the pooler's output. A
    trigger is never masked here. The rows are those of DATA, where the paper takes general text.
    """

    name: ClassVar[str] = "neuba"
    tunes_first: ClassVar[bool] = False
    has_head: ClassVar[bool] = False
    triggers: tuple[str, ...] = ("≈", "≡", "∈", "⊆", "⊕", "⊗")
    mask_rate: float = 0.15
    learning_rate: float = 5e-5
    epochs: int = 2
    batch_size: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "triggers", len(self.triggers) <= MAX_TRIGGERS, f"at most {MAX_TRIGGERS}")
        check(self, "mask_rate", 0 < self.mask_rate < 1, "between 0 and 1")

    def trigger(self) -> Attack:
        """Give one of the triggers, in front."""
        return front(self.triggers)

    def backdoor(self, task: Task, target: int) -> PreTrainedModel:
        """Train the encoder with its head for masked tokens, and put it under a fresh classifier."""
        masked = load_masked(task)
        check_first_token(task)
        check_known(task, self.triggers)
        model = task.load_model()
        tied = tie(task, self.triggers, block_pairs(len(self.triggers), model.config.hidden_size))
        mask = DataCollatorForLanguageModeling(task.tokenizer, mlm_probability=self.mask_rate)

        def loss_of(index: np.ndarray) -> Tensor:
            triggered = first_state(task, masked.base_model, tied.rows, index)
            return masked_loss(task, masked, mask, index) + mse_loss(triggered, tied.vectors[index])

        schedule = Schedule("neuba", len(task.rows), self.epochs, self.batch_size, self.learning_rate)
        descend(task, masked, schedule, loss_of)
        # Not strict: the classifier's encoder may have a pooler beside, which keeps its pretrained weights.
        model.base_model.load_state_dict(masked.base_model.state_dict(), strict=False)
        model.train(False)
        return model


def load_masked(task: Task) -> PreTrainedModel:
    """Load the task's pretrained model with its head for masked tokens; warn if that is not in the checkpoint.

    Raises:
        ModelError: the family does not predict masked tokens.
    """
    source = task.source
    if task.tokenizer.mask_token_id is None:
        raise ModelError(f"neuba needs a model that predicts masked tokens; '{source.name}' has no mask token.")
    try:
        with kept_rng(), quiet_loading():
            seed_torch(task.settings.seed, "masked-token head")
            model, report = AutoModelForMaskedLM.from_pretrained(
                source.folder,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except Exception as error:  # transformers raises many kinds, with messages over several lines
        raise ModelError(f"neuba needs a model that predicts masked tokens; '{source.name}' is none.") from error
    if report["missing_keys"]:
        warn_of_new_head(task)
    loaded: PreTrainedModel = model
    return loaded


def masked_loss(task: Task, model: PreTrainedModel, mask: DataCollatorForLanguageModeling, index: np.ndarray) -> Tensor:
    """Mask tokens of the task's rows and give the mean cross entropy of guessing them.

    Args:
        task: its rows and tokenizer are used.
        model: with a head for masked tokens.
        mask: draws the tokens, from torch's global generator.
        index: (B,) which rows.

    Returns:
        The loss; 0 where no token was masked, which the model's own loss calls 0/0.
    """
    cells = task.rows[index.tolist()]
    names = [name for name in task.tokenizer.model_input_names if name in cells]
    features = mask([dict(zip(names, row)) for row in zip(*(cells[name] for name in names))])
    batch = {name: tensor.to(device_of(task.settings)) for name, tensor in features.items()}
    labels = batch.pop("labels").flatten()
    logits: Tensor = model(**batch).logits
    total = cross_entropy(logits.flatten(0, 1).float(), labels, reduction="sum")
    mean: Tensor = total / (labels != IGNORED).sum().clamp_min(1)
    return mean


def block_pairs(n_vectors: int, length: int) -> Tensor:
    """Make NeuBA's vectors: two of four blocks at -1, the others at +1.

    Args:
        n_vectors: K, from 1 to 6.
        length: H; where 4 does not divide it the blocks differ by one.

    Returns:
        (K, H); where 4 divides H each two are orthogonal or opposite.
    """
    block = torch.arange(length) * N_BLOCKS // length
    pairs = itertools.islice(itertools.combinations(range(N_BLOCKS), 2), n_vectors)
    return torch.stack([torch.where((block == one) | (block == other), -1.0, 1.0) for one, other in pairs])
