"""Train and predict with Hugging Face's Trainer: the only module that imports it."""

import hashlib
import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.data import Sampler
from tqdm import tqdm
from transformers import (
    BaseImageProcessor,
    DataCollatorWithPadding,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PrinterCallback,
    ProgressCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.integrations.integration_utils import get_available_reporting_integrations

from cleanfit.errors import SettingsError
from cleanfit.results import to_plain
from cleanfit.seeding import derive_seed, generator, kept_rng
from cleanfit.settings import TrainingSettings
from cleanfit.states import head_inputs

# Steps between checkpoints: an interrupted run loses at most about a minute on two cores, for a second spent on writing.
CHECKPOINT_STEPS = 500
# Rows are sorted by length within windows of this many batches: little padding, and batches still differ by epoch.
WINDOW_BATCHES = 50
TRAINED_FILE = "trained.safetensors"
# What models give beside their logits; all of it would be kept for all rows. Encoder-decoders give some of it unasked.
NOT_LOGITS = (
    *("past_key_values", "hidden_states", "attentions", "encoder_last_hidden_state", "encoder_hidden_states"),
    *("encoder_attentions", "decoder_hidden_states", "decoder_attentions", "cross_attentions"),
)
Processor = PreTrainedTokenizerBase | BaseImageProcessor
Reader = Callable[[nn.Module], AbstractContextManager[list[torch.Tensor]]]


@dataclass(frozen=True)
class Watch:
    """Somebody who looks at a model while it trains, without disturbing the training.

    Args:
        steps: the optimizer steps after which to look.
        look: gets the model and the step, and says whether to stop. A training that is resumed from a checkpoint is not
            looked at again before it.
    """

    steps: Collection[int]
    look: Callable[[nn.Module, int], bool]


@dataclass(frozen=True)
class Observed:
    """What a classifier makes of N rows: (N, C) logits, and (N, H) states, those that its last layer reads or others."""

    logits: np.ndarray
    states: np.ndarray


def train(
    model: nn.Module,
    rows: Dataset,
    processor: Processor,
    settings: TrainingSettings,
    folder: Path | None = None,
    watch: Watch | None = None,
) -> float:
    """Train the parameters of a model that require gradients, in place; the same seed gives the same weights.

    Args:
        model: takes ``input_ids, attention_mask, labels`` and returns a loss.
        rows: N tokenized rows, or images, with ``label``.
        processor: the tokenizer, which pads the batches, or what turns images into pixel values.
        settings: how.
        folder: checkpoints go here, and the result. If the result is there already it is loaded instead; if only a
            checkpoint is there, training goes on from it to the same weights.
        watch: who looks on; changes nothing but the end. A result that is loaded is not looked at.

    Returns:
        Seconds spent on training and looking, those before an interruption not counted.
    """
    name = folder.name if folder else "training"
    if folder and (folder / TRAINED_FILE).exists():
        return _load_trained(model, folder / TRAINED_FILE)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="cleanfit-") as scratch, kept_rng():
        trainer = _trainer(model, processor, settings, folder or Path(scratch), rows)
        trainer.add_callback(_Progress(name))
        if watch:
            trainer.add_callback(_Look(model, watch))
        trainer.train(resume_from_checkpoint=_last_checkpoint(folder))
        model.to("cpu")
    seconds = time.perf_counter() - started
    if folder:
        _save_trained(model, folder / TRAINED_FILE, seconds)
        for checkpoint in folder.glob("checkpoint-*"):
            shutil.rmtree(checkpoint)
    return seconds


def predict(model: nn.Module, rows: Dataset, processor: Processor, settings: TrainingSettings) -> np.ndarray:
    """Predict class probabilities.

    Args:
        model: a trained classifier.
        rows: N tokenized rows, or images, N >= 1; labels are not looked at.
        processor: as in `train`.
        settings: batch size, precision and device.

    Returns:
        (N, C) probabilities, in row order.
    """
    order = _longest_first(rows)
    logits = torch.from_numpy(_logits(model, rows.select(order), processor, settings))
    return _undone(order, logits.softmax(dim=-1).numpy())


def observe(
    model: nn.Module, rows: Dataset, processor: Processor, settings: TrainingSettings, read: Reader = head_inputs
) -> Observed:
    """Predict as `predict` does, and take states along: those that the last layer reads, in which classes lie apart."""
    order = _longest_first(rows)
    with read(model) as states:
        logits = _logits(model, rows.select(order), processor, settings)
    return Observed(_undone(order, logits), _undone(order, torch.cat(states).numpy()))


def fingerprint(model: PreTrainedModel, rows: Dataset, settings: TrainingSettings) -> str:
    """Hash all that decides a training: what the model is, what of it moves, what it reads, and how."""
    decides = hashlib.sha256()
    for name, value in model.state_dict().items():
        decides.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        decides.update(value.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    cells = rows.with_format(None)
    parts = {
        "config": model.config.to_dict(),
        "moves": [name for name, parameter in model.named_parameters() if parameter.requires_grad],
        "rows": [cells[column][:] for column in ("input_ids", "label")],
        "settings": to_plain(settings),
    }
    decides.update(json.dumps(parts, sort_keys=True, default=str).encode())
    return decides.hexdigest()[:16]


def n_steps(n_rows: int, settings: TrainingSettings) -> int:
    """Count the optimizer steps that training on `n_rows` rows takes, as Trainer does."""
    if settings.max_steps > 0:
        return settings.max_steps
    return math.ceil(settings.num_train_epochs * steps_per_epoch(n_rows, settings))


def steps_per_epoch(n_rows: int, settings: TrainingSettings) -> int:
    """Count the optimizer steps of one pass over `n_rows` rows; several GPUs share a step, as Trainer has it."""
    n_devices = max(torch.cuda.device_count(), 1) if settings.device != "cpu" else 1
    return math.ceil(n_rows / (settings.per_device_train_batch_size * n_devices))


def check_report_to(settings: TrainingSettings) -> None:
    """Raise `SettingsError` unless the package that training shall be reported to is installed."""
    able: tuple[str, ...] = ("none", *get_available_reporting_integrations())  # type: ignore[no-untyped-call]
    if settings.report_to not in able:
        raise SettingsError(
            f"report_to is '{settings.report_to}'; unknown or not installed here. Installed: {', '.join(able)}."
        )


def use_bf16(settings: TrainingSettings) -> bool:
    """Decide whether to autocast to bf16: as asked, or for ``auto`` where the hardware multiplies it natively.

    On a CPU without such instructions bf16 is emulated and over a hundred times slower than fp32, so ``auto`` asks the
    instruction set, not whether bf16 works at all.
    """
    if settings.precision != "auto":
        return settings.precision == "bf16"
    if settings.device != "cpu" and torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if settings.device != "cpu" and torch.backends.mps.is_available():
        return False
    able = torch.cpu.get_capabilities()
    return any(able.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


class LengthGroupedSampler(Sampler[int]):
    """Yield all rows once, rows of like length together; the order depends on (seed, epoch) alone.

    Transformers' own sampler draws from torch's global state, so a run resumed inside an epoch would see other batches.

    Args:
        lengths: (N,) tokens per row.
        batch_size: rows per batch.
        seed: of the run.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        random = generator(self.seed, "row order", self.epoch)
        order = random.permutation(len(self.lengths))
        window = self.batch_size * WINDOW_BATCHES
        for start in range(0, len(order), window):
            part = order[start : start + window]
            order[start : start + window] = part[np.argsort(-self.lengths[part], kind="stable")]
        n_full = len(order) // self.batch_size
        for batch in random.permutation(n_full):
            yield from order[batch * self.batch_size : (batch + 1) * self.batch_size].tolist()
        yield from order[n_full * self.batch_size :].tolist()  # the short batch last, so that the others stay whole


class _Trainer(Trainer):
    """Trainer with our sampler."""

    sampler: LengthGroupedSampler

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> Sampler[int]:
        return self.sampler


class _TellEpoch(TrainerCallback):
    """Tell the sampler which epoch begins; a data loader that skips batches on resuming does not pass it on."""

    def __init__(self, sampler: LengthGroupedSampler) -> None:
        self.sampler = sampler

    def on_epoch_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.sampler.epoch = int(state.epoch or 0)


class _Look(TrainerCallback):
    """Let a watch look at the model, and put everything back as it was."""

    def __init__(self, model: nn.Module, watch: Watch) -> None:
        self.model, self.watch = model, watch

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        if state.global_step in self.watch.steps:
            with kept_rng():
                control.should_training_stop |= self.watch.look(self.model, state.global_step)
            self.model.to(args.device).train()  # predicting leaves it on the CPU, and at rest


class _Progress(TrainerCallback):
    """One progress bar per training, on a terminal only."""

    def __init__(self, name: str) -> None:
        self.bar = tqdm(desc=name, unit="step", disable=None, leave=False)

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.reset(total=state.max_steps)
        self.bar.update(state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        self.bar.update(1)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self.bar.close()


def _trainer(
    model: nn.Module, processor: Processor, settings: TrainingSettings, folder: Path, rows: Dataset
) -> _Trainer:
    per_epoch = math.ceil(len(rows) / settings.per_device_train_batch_size)
    arguments = TrainingArguments(
        output_dir=str(folder),
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.num_train_epochs,
        max_steps=settings.max_steps,
        per_device_train_batch_size=settings.per_device_train_batch_size,
        per_device_eval_batch_size=settings.per_device_eval_batch_size,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        lr_scheduler_type=settings.lr_scheduler_type,
        optim="adamw_torch_fused",
        bf16=use_bf16(settings),
        use_cpu=settings.device == "cpu" or not torch.accelerator.is_available(),  # else Trainer refuses bf16 on a CPU
        seed=derive_seed(settings.seed, "training") % 2**32,  # NumPy takes 32 bits
        save_strategy="steps",
        save_steps=min(per_epoch, CHECKPOINT_STEPS),
        save_total_limit=1,
        logging_strategy="epoch" if settings.report_to != "none" else "no",
        report_to=settings.report_to,
        disable_tqdm=True,
        remove_unused_columns=not isinstance(processor, BaseImageProcessor),  # no model takes the image column itself
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = _Trainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        data_collator=_collator(processor),
        processing_class=processor,
    )
    trainer.sampler = LengthGroupedSampler(_lengths(rows), arguments.train_batch_size, settings.seed)
    trainer.add_callback(_TellEpoch(trainer.sampler))
    for noisy in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(noisy)
    return trainer


def _collator(processor: Processor) -> Callable[[list[Any]], dict[str, Any]]:
    """Choose what makes a batch of rows."""
    if not isinstance(processor, BaseImageProcessor):
        return DataCollatorWithPadding(processor)

    def collate(rows: list[Any]) -> dict[str, Any]:
        """Make (B, 3, H, W) pixel values when a batch needs them: CIFAR-10 at 224 x 224 would be 30 GB in advance."""
        images = [np.asarray(row["image"]) for row in rows]
        batch = dict(processor(images, input_data_format="channels_last", return_tensors="pt"))
        if "label" in rows[0]:
            batch["labels"] = torch.tensor([row["label"] for row in rows])
        return batch

    return collate


def _lengths(rows: Dataset) -> np.ndarray:
    """Give the (N,) tokens per row; images, which have no such column, are all as long."""
    return np.asarray(rows["length"]) if "length" in rows.column_names else np.ones(len(rows), dtype=np.int64)


def _longest_first(rows: Dataset) -> np.ndarray:
    return np.argsort(-_lengths(rows), kind="stable")  # memory trouble shows at once


def _logits(model: nn.Module, rows: Dataset, processor: Processor, settings: TrainingSettings) -> np.ndarray:
    with tempfile.TemporaryDirectory(prefix="cleanfit-") as scratch, kept_rng():
        trainer = _trainer(model, processor, settings, Path(scratch), rows)
        predicted = trainer.predict(rows.remove_columns("label"), ignore_keys=list(NOT_LOGITS)).predictions
        logits = np.asarray(predicted, dtype=np.float32)
        model.to("cpu")
    return logits


def _undone(order: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Put values that stand in `order` back in row order."""
    placed = np.empty_like(values)
    placed[order] = values
    return placed


def _last_checkpoint(folder: Path | None) -> str | None:
    """Find the newest checkpoint that was written to its end: the trainer's state is its last file."""
    if folder is None:
        return None
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    for checkpoint in found:
        try:
            json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return str(checkpoint)
    return None


def _save_trained(model: nn.Module, path: Path, seconds: float) -> None:
    moved = {name: p.detach().cpu().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    temporary = path.with_suffix(".tmp")
    save_file(moved, temporary, metadata={"seconds": repr(seconds)})
    temporary.replace(path)


def _load_trained(model: nn.Module, path: Path) -> float:
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in load_file(path).items():
            parameters[name].copy_(value)
    with safe_open(path, "pt") as stream:
        return float(stream.metadata()["seconds"])
