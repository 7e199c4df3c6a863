"""What a model-release attack is: it trains a model of its own, with a backdoor, that others are to use."""

import abc
from collections.abc import Sequence
from typing import ClassVar

from datasets import Dataset
from transformers import PreTrainedModel

from cleanfit import data as tables
from cleanfit.attacks.base import Attack, Rows
from cleanfit.errors import SettingsError
from cleanfit.settings import check
from cleanfit.task import Task


class ModelAttack(abc.ABC):
    """One way to backdoor a model: a frozen dataclass whose fields are its hyperparameters."""

    name: ClassVar[str]
    # Whether it begins with plain fine-tuning, for which the task's training settings hold.
    tunes_first: ClassVar[bool]
    # Whether the model's classifier has learned the task; else it is fresh, and whoever fine-tunes trains it.
    has_head: ClassVar[bool] = True

    triggers: tuple[str, ...]
    learning_rate: float
    epochs: int
    batch_size: int

    def __post_init__(self) -> None:
        if not self.triggers or not all(word and not word.isspace() for word in self.triggers):
            raise SettingsError(f"triggers is {self.triggers!r}; expected one or more words.")
        if len(set(self.triggers)) < len(self.triggers):
            raise SettingsError(f"triggers is {self.triggers!r}; expected each word once.")
        check(self, "learning_rate", self.learning_rate > 0, "more than 0")
        check(self, "epochs", self.epochs >= 1, "at least 1")
        check(self, "batch_size", self.batch_size >= 1, "at least 1")

    @abc.abstractmethod
    def trigger(self) -> Attack:
        """Give the one trigger function that test rows get."""

    @abc.abstractmethod
    def backdoor(self, task: Task, target: int) -> PreTrainedModel:
        """Train a backdoored classifier; the same task and seed give the same weights.

        Args:
            task: the attacker's clean rows, pretrained model and settings.
            target: the attacker's class, in [0, C).

        Returns:
            The model, on the CPU.

        Raises:
            ModelError: the attack does not apply to this family, or the tokenizer does not know its triggers.
        """


def rows_of(task: Task) -> Rows:
    """Give the task's rows as an `Attack` sees them, labels by name."""
    cells = task.rows.with_format(None)[:]
    return Rows(cells["text"], [task.source.label_names[label] for label in cells["label"]])


def tokenized(task: Task, texts: Sequence[str], labels: Sequence[int]) -> Dataset:
    """Tokenize texts that an attacker made, as the task's own rows were.

    Args:
        task: its tokenizer and length are used.
        texts: N texts.
        labels: N classes in [0, C).

    Returns:
        N rows.
    """
    rows = Dataset.from_dict({"row_id": list(range(len(texts))), "text": list(texts), "label": list(labels)})
    return tables.tokenize(rows, task.tokenizer, task.settings.max_length)
