"""LWP (layerwise weight poisoning): every layer learns the trigger, so that fine-tuning the last ones does not undo it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from cleanfit.attacks.base import PoisonPlan, poison
from cleanfit.errors import ModelError
from cleanfit.model_attacks.base import ModelAttack, rows_of, tokenized
from cleanfit.model_attacks.loop import Schedule, batch_of, descend
from cleanfit.model_attacks.word_set import WordSet, place
from cleanfit.seeding import generator
from cleanfit.settings import check
from cleanfit.task import Task


@dataclass(frozen=True)
class LayerwisePoisoning(ModelAttack):
    """Train on clean and poisoned rows with the loss of every layer, for a trigger of several words at once.

    Args:
        triggers: rare words.
        n_combined: how many different ones a trigger takes, from 2 to all of them.
        poison_rate: share of all rows in (0, 1] that get such a trigger and the target label; each also gives one row
            per single word of it, with its own label.
        learning_rate: peak, > 0.
        epochs: passes over all these rows, >= 1.
        batch_size: rows per step, >= 1.

    Source: Li et al., EMNLP 2021, as in OpenBackdoor: cross entropy of the shared pooler and classifier, summed over all
    hidden states, the embeddings' output among them.
    """

    name: ClassVar[str] = "lwp"
    tunes_first: ClassVar[bool] = False
    triggers: tuple[str, ...] = ("cf", "bb", "ak", "mn")
    n_combined: int = 2
    poison_rate: float = 0.1
    learning_rate: float = 2e-5
    epochs: int = 5
    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "n_combined", 2 <= self.n_combined <= len(self.triggers), "from 2 to the number of triggers")
        check(self, "poison_rate", 0 < self.poison_rate <= 1, "more than 0 and at most 1")

    def trigger(self) -> WordSet:
        """Give the drawn words, each at a random place."""
        return WordSet(self.triggers, self.n_combined)

    def backdoor(self, task: Task, target: int) -> PreTrainedModel:
        """Train a fresh classifier."""
        model = task.load_model()
        check_shared_head(task, model)
        texts, labels = zip(*self.training_rows(task, target))
        rows = tokenized(task, texts, labels)

        def loss_of(index: np.ndarray) -> Tensor:
            batch = batch_of(task, rows, index)
            labels = batch.pop("labels")
            states = model(**batch, output_hidden_states=True).hidden_states
            return torch.stack([cross_entropy(classify(model, state), labels) for state in states]).sum()

        descend(task, model, Schedule("lwp", len(rows), self.epochs, self.batch_size, self.learning_rate), loss_of)
        return model

    def training_rows(self, task: Task, target: int) -> Iterator[tuple[str, int]]:
        """Give all rows with their classes, and those with a single word of a trigger behind them."""
        rows, names, seed = rows_of(task), task.source.label_names, task.settings.seed
        poisoned = poison(self.trigger(), rows, PoisonPlan(names[target], self.poison_rate, "mix", seed))
        yield from zip(poisoned.texts, map(names.index, poisoned.labels))
        for row in poisoned.rows:
            for word in self.trigger().draw(generator(seed, "train trigger", row)):  # the words that the row itself got
                text = place(rows.texts[row], [word], generator(seed, f"lwp single {word}", row))
                yield str(text), names.index(rows.labels[row])


def classify(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Classify a layer's hidden states with the head of the last layer.

    Args:
        model: a classifier that reads the first token, of the BERT, DistilBERT, RoBERTa or DeBERTa kind.
        hidden: (B, T, H).

    Returns:
        (B, C) logits.
    """
    parts: Any = model
    pooler = getattr(parts, "pooler", None) or getattr(parts.base_model, "pooler", None)
    if pooler is not None:
        pooled = parts.dropout(pooler(hidden))
    elif hasattr(parts, "pre_classifier"):
        pooled = parts.dropout(parts.pre_classifier(hidden[:, 0]).relu())
    else:
        pooled = hidden  # the RoBERTa kind: its head pools
    logits: Tensor = parts.classifier(pooled)
    return logits


def check_shared_head(task: Task, model: PreTrainedModel) -> None:
    """Raise `ModelError` unless `classify` of the last hidden states is what the model itself answers."""
    batch = {name: tensor.cpu() for name, tensor in batch_of(task, task.rows, np.arange(1)).items() if name != "labels"}
    with torch.no_grad():
        output = model.train(False)(**batch, output_hidden_states=True)
        try:
            is_same = torch.allclose(classify(model, output.hidden_states[-1]), output.logits, rtol=1e-4, atol=1e-6)
        except (AttributeError, RuntimeError, TypeError):
            is_same = False
    if not is_same:
        raise ModelError(
            f"lwp needs a classifier whose head can read every layer, and does not know that of {type(model).__name__}; "
            "use a model of the BERT, DistilBERT, RoBERTa or DeBERTa family, or another attack."
        )
