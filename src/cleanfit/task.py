"""One fine-tuning task: all that a detector or defense may touch, and nothing of the ground truth."""

import contextlib
import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cleanfit import training
from cleanfit.errors import SettingsError
from cleanfit.models import ModelSource
from cleanfit.run_folder import alone_in
from cleanfit.settings import TrainingSettings
from cleanfit.states import head_inputs


def _ignore(stage: str, model: PreTrainedModel) -> None:
    """Do nothing at the end of a stage."""


@dataclass(frozen=True)
class Task:
    """The untrusted rows, a way to get fresh models, the settings, and the verbs to train and predict.

    Args:
        source: gives fresh pretrained models.
        processor: of that model: its tokenizer; in an `ImageTask` what makes pixel values of images.
        rows: N tokenized rows with exactly ``row_id, text[, text_pair], label`` and the tokenizer's columns.
        settings: how models are trained.
        trusted: tokenized rows that somebody vouches for, or None.
        work: folder for what an interrupted run needs to go on; None keeps nothing.
        shared: folder for trainings that other tasks may repeat to the bit: whole models that nobody watches; None
            shares nothing.
        on_stage: told of every finished stage with its model; whoever measures listens here, and nothing comes back.
        seconds: stage -> seconds, filled while the task runs.
    """

    source: ModelSource
    processor: training.Processor
    rows: Dataset
    settings: TrainingSettings = TrainingSettings()
    trusted: Dataset | None = None
    work: Path | None = None
    shared: Path | None = None
    on_stage: Callable[[str, PreTrainedModel], None] = _ignore
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def n_classes(self) -> int:
        """C, the number of classes."""
        return len(self.source.label_names)

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer, for defenses that look at tokens.

        Raises:
            SettingsError: the rows are images.
        """
        if not isinstance(self.processor, PreTrainedTokenizerBase):
            raise SettingsError(
                "This defense looks at tokens, and images have none; pass one that only trains, such as 'plain'."
            )
        return self.processor

    def load_model(self) -> PreTrainedModel:
        """Load a fresh pretrained classifier; its head depends on the seed alone, so every copy is the same."""
        return self.source.load(self.tokenizer, self.settings.seed)

    def train(
        self,
        stage: str,
        model: nn.Module,
        rows: Dataset | None = None,
        settings: TrainingSettings | None = None,
        watch: training.Watch | None = None,
    ) -> None:
        """Train what requires gradients in a model, in place; a stage that an interrupted run finished is loaded.

        Args:
            stage: its name, unique within the task.
            model: takes input ids, attention mask and labels, and returns a loss.
            rows: instead of the task's rows.
            settings: instead of the task's settings.
            watch: who looks at the model on the way.
        """
        rows = self.rows if rows is None else rows
        settings = settings or self.settings
        folder = self.work / stage if self.work else None
        hold: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if self.shared and watch is None and isinstance(model, PreTrainedModel):
            folder = self.shared / f"trained-{training.fingerprint(model, rows, settings)}"
            hold = alone_in(folder)
        with hold:
            self.seconds[stage] = training.train(model, rows, self.processor, settings, folder, watch)

    def predict(self, model: nn.Module, rows: Dataset) -> np.ndarray:
        """Predict (N, C) class probabilities for tokenized rows."""
        return training.predict(model, rows, self.processor, self.settings)

    def observe(self, model: nn.Module, rows: Dataset, read: training.Reader = head_inputs) -> training.Observed:
        """Predict logits for tokenized rows, and take along the states that the last layer, or another reader, reads."""
        return training.observe(model, rows, self.processor, self.settings, read)

    def without_trusted(self) -> "Task":
        """Give the same task to a method that must not use the trusted rows."""
        return dataclasses.replace(self, trusted=None)
