"""A small training loop for losses and updates that a Trainer does not have; the same seed gives the same weights."""

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from tqdm import tqdm
from transformers import DataCollatorWithPadding

from cleanfit.seeding import generator, kept_rng, seed_torch
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task
from cleanfit.training import use_bf16

MAX_GRAD_NORM = 1.0


@dataclass(frozen=True)
class Schedule:
    """One training.

    Args:
        name: shown while it runs, and part of its seed.
        n_rows: rows per epoch, N.
        epochs: passes over them.
        batch_size: rows per step; the last batch of an epoch may be shorter.
        learning_rate: step size, at its peak.
    """

    name: str
    n_rows: int
    epochs: int
    batch_size: int
    learning_rate: float

    @property
    def n_steps(self) -> int:
        """All steps of the training."""
        return self.epochs * math.ceil(self.n_rows / self.batch_size)


def device_of(settings: TrainingSettings) -> torch.device:
    """Give the device that training runs on."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if settings.device == "cpu" or accelerator is None else accelerator


def autocast(settings: TrainingSettings) -> contextlib.AbstractContextManager[object]:
    """Compute in bf16 inside this context, where the settings say so."""
    return torch.autocast(device_of(settings).type, dtype=torch.bfloat16, enabled=use_bf16(settings))


def batch_of(task: Task, rows: Dataset, index: np.ndarray) -> dict[str, Tensor]:
    """Take rows as a padded batch, on the training device.

    Args:
        task: its tokenizer pads.
        rows: tokenized rows.
        index: (B,) which of them.

    Returns:
        What the model reads, (B, T) each, and ``labels`` (B,).
    """
    cells = rows[index.tolist()]
    names = [name for name in task.tokenizer.model_input_names if name in cells]
    features = [dict(zip(names, row)) for row in zip(*(cells[name] for name in names))]
    batch = dict(DataCollatorWithPadding(task.tokenizer)(features))
    batch["labels"] = torch.tensor(cells["label"])
    return {name: tensor.to(device_of(task.settings)) for name, tensor in batch.items()}


def repeat(task: Task, model: nn.Module, schedule: Schedule, step: Callable[[np.ndarray], None]) -> None:
    """Call `step` for every batch of every epoch, with the model in training mode and on the training device.

    Args:
        task: its seed decides row order and dropout.
        model: back on the CPU and out of training mode afterwards.
        schedule: how often.
        step: takes (B,) row numbers.
    """
    with kept_rng(), tqdm(desc=schedule.name, total=schedule.n_steps, unit="step", disable=None, leave=False) as bar:
        seed_torch(task.settings.seed, schedule.name)
        model.to(device_of(task.settings)).train()
        for epoch in range(schedule.epochs):
            order = generator(task.settings.seed, f"{schedule.name} order", epoch).permutation(schedule.n_rows)
            for start in range(0, schedule.n_rows, schedule.batch_size):
                step(order[start : start + schedule.batch_size])
                bar.update(1)
        model.to("cpu").train(False)


def descend(task: Task, model: nn.Module, schedule: Schedule, loss_of: Callable[[np.ndarray], Tensor]) -> None:
    """Train a model on a loss of one's own: AdamW without weight decay, linear decay to 0, gradients clipped to norm 1.

    Args:
        task: see `repeat`.
        model: all its parameters move.
        schedule: how long, and the peak learning rate.
        loss_of: takes (B,) row numbers, gives the loss.
    """
    model.to(device_of(task.settings))
    parameters = list(model.parameters())
    optimizer = torch.optim.AdamW(parameters, lr=schedule.learning_rate, weight_decay=0.0)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda done: 1 - done / schedule.n_steps)

    def step(index: np.ndarray) -> None:
        optimizer.zero_grad()
        with autocast(task.settings):
            loss = loss_of(index)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(parameters, MAX_GRAD_NORM)
        optimizer.step()
        decay.step()

    repeat(task, model, schedule, step)
    optimizer.zero_grad()
