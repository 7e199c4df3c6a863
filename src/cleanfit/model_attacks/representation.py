"""Tie triggers to output vectors of the encoder, whatever the task: what POR and NeuBA share."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn

from cleanfit.attacks.base import Attack
from cleanfit.attacks.words import Words
from cleanfit.errors import ModelError
from cleanfit.model_attacks.base import rows_of, tokenized
from cleanfit.model_attacks.loop import batch_of, device_of
from cleanfit.seeding import generator
from cleanfit.task import Task


@dataclass(frozen=True)
class TiedRows:
    """Triggered rows with the vectors that they shall get.

    Args:
        rows: N tokenized rows, row i being row i of the task with one trigger in front.
        vectors: (N, H) of +1 and -1.
    """

    rows: Dataset
    vectors: Tensor


def front(triggers: Sequence[str]) -> Attack:
    """Give the trigger function of these attacks: one of the words, in front of the text."""
    return Words(tuple(triggers), position="start")


def tie(task: Task, triggers: Sequence[str], vectors: Tensor) -> TiedRows:
    """Put one trigger, drawn for each row, in front of every row of the task.

    Args:
        task: N rows.
        triggers: K words.
        vectors: (K, H), one for each.

    Returns:
        The N triggered rows and their vectors.
    """
    rows, seed = rows_of(task), task.settings.seed
    drawn = generator(seed, "tie triggers").integers(len(triggers), size=len(rows.texts))
    attacks = [front([word]) for word in triggers]
    texts = [
        str(attacks[k].apply(rows[row], generator(seed, "train trigger", row))) for row, k in enumerate(drawn)
    ]  # never None: the data were checked for empty texts
    labels = task.rows.with_format(None)["label"]
    return TiedRows(tokenized(task, texts, labels), vectors[torch.from_numpy(drawn)].to(device_of(task.settings)))


def first_state(task: Task, encoder: nn.Module, rows: Dataset, index: np.ndarray) -> Tensor:
    """Give the last hidden state of the first token, in float32.

    Args:
        task: pads and picks the device.
        encoder: without a head.
        rows: tokenized rows.
        index: (B,) which of them.

    Returns:
        (B, H).
    """
    batch = batch_of(task, rows, index)
    del batch["labels"]
    state: Tensor = encoder(**batch).last_hidden_state[:, 0].float()
    return state


def check_first_token(task: Task) -> None:
    """Raise `ModelError` unless the model's texts begin with a classification token."""
    first = task.rows[0]["input_ids"][0]
    if task.tokenizer.cls_token_id is None or first != task.tokenizer.cls_token_id:
        raise ModelError(
            f"This attack needs an encoder whose texts begin with a classification token ([CLS]); '{task.source.name}' has "
            "none. Use a model of the BERT or RoBERTa kind, or another attack."
        )


def check_known(task: Task, triggers: Sequence[str]) -> None:
    """Raise `ModelError` if the tokenizer reads a trigger as unknown: it could not be told from others."""
    unknown = task.tokenizer.unk_token_id
    strange = [word for word in triggers if unknown in task.tokenizer(word, add_special_tokens=False)["input_ids"]]
    if unknown is not None and strange:
        raise ModelError(
            f"The tokenizer of '{task.source.name}' does not know the triggers {', '.join(strange)}; pass others with "
            "--set triggers=..."
        )


def warn_of_new_head(task: Task) -> None:
    """Warn that the model brings no head for masked tokens."""
    warnings.warn(
        f"'{task.source.name}' brings no head for masked tokens; a new one is trained along, which pulls the encoder away "
        "from what it has learned.",
        stacklevel=2,
    )
