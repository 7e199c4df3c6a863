"""Read what a trajectory is about: the training rows, and the fixed rows of every kind that each look scores."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from cleanfit import data as tables
from cleanfit.capacity import Capacity
from cleanfit.data import Columns, LabeledData
from cleanfit.errors import DataError
from cleanfit.manifest import load_manifest
from cleanfit.models import DEFAULT_MODEL, ModelSource, find_model, load_tokenizer
from cleanfit.seeding import generator
from cleanfit.settings import TrainingSettings, check, check_choices
from cleanfit.training import check_report_to
from cleanfit.trajectory.states import check_umap
from cleanfit.triggered import manifest_columns, named_files

# Rows are drawn for looking by this seed, whatever the training's: runs with different seeds are looked at alike.
LOOK_SEED = 0


@dataclass(frozen=True)
class Subject:
    """The files of a trajectory.

    Args:
        data: the training rows, poisoned or not.
        test: clean rows to score on; with a manifest the very file that was triggered.
        manifest: of the attack on `data`, for research; None measures neither attack success nor poisoned rows.
        columns: which columns hold text and label; None means as the manifest says, or else guessed.
    """

    data: Path
    test: Path
    manifest: Path | None = None
    columns: Columns = Columns()


@dataclass(frozen=True)
class Looks:
    """How often and at how much a trajectory looks.

    Args:
        n_points: looks after the one before training, >= 1; they grow rarer, since most happens early.
        n_rows: rows of each kind that a look scores, >= 2, the same at each; None = all.
        states: also keep the hidden states of the training rows and draw their ``pca`` or ``umap`` maps; or ``none``.
    """

    n_points: int = 24
    n_rows: int | None = 1000
    states: Literal["none", "pca", "umap"] = "none"

    def __post_init__(self) -> None:
        check(self, "n_points", self.n_points >= 1, "at least 1")
        check(self, "n_rows", self.n_rows is None or self.n_rows >= 2, "at least 2, or none for all rows")
        check_choices(self)


@dataclass(frozen=True)
class Recipe:
    """How a model is trained and looked at."""

    model: str = DEFAULT_MODEL
    settings: TrainingSettings = TrainingSettings()
    capacity: Capacity = Capacity()
    looks: Looks = Looks()


@dataclass(frozen=True)
class Scene:
    """Everything that was read before anything is trained.

    Args:
        source: of the model.
        tokenizer: of the model.
        rows: N tokenized training rows.
        looked: the tokenized rows that a look predicts, part after part.
        parts: where each part stands in `looked`: ``test``; with triggered files ``triggered`` and ``untriggered`` (the
            same rows without their trigger); and of the training rows ``clean`` and ``poisoned``, or ``train`` where
            nothing tells them apart.
        counts: rows of each part before the drawing.
        target: the attacker's class, with triggered rows.
        hashes: name of a file -> sha256.
    """

    source: ModelSource
    tokenizer: PreTrainedTokenizerBase
    rows: Dataset
    looked: Dataset
    parts: Mapping[str, slice]
    counts: Mapping[str, int]
    target: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)

    @property
    def train_parts(self) -> tuple[str, ...]:
        """The parts that are training rows."""
        return tuple(name for name in ("clean", "poisoned", "train") if name in self.parts)

    def train_looked(self) -> Dataset:
        """Give the training rows among the rows looked at."""
        return self.looked.select(
            [row for name in self.train_parts for row in range(len(self.looked))[self.parts[name]]]
        )

    def is_poisoned(self) -> np.ndarray | None:
        """Tell for each of `train_looked` whether it is poisoned; None where nothing tells."""
        if "train" in self.parts:
            return None
        sizes = [self.parts[name].stop - self.parts[name].start for name in self.train_parts]
        return np.repeat([name == "poisoned" for name in self.train_parts], sizes)


def set_scene(subject: Subject, recipe: Recipe) -> Scene:
    """Read and check the files, and draw the rows that each look scores.

    Raises:
        DataError: a file is not usable or is not the one that the manifest names.
        ModelError: the model cannot be found.
        SettingsError: something that is asked for is not installed.
    """
    check_report_to(recipe.settings)
    if recipe.looks.states == "umap":
        check_umap()
    truth = None if subject.manifest is None else load_manifest(subject.manifest)
    columns = subject.columns if truth is None else manifest_columns(truth, subject.columns)
    labeled = tables.read(subject.data, columns)
    if truth is not None and truth["output"]["sha256"] != labeled.sha256:
        raise DataError(
            f"{subject.manifest} is not the manifest of {subject.data}: the file's sha256 differs. Pass the one beside it."
        )
    test = tables.read(subject.test, labeled.columns, label_names=labeled.label_names)
    n_rows = recipe.looks.n_rows
    parts = {"test": test.rows} | _train_parts(labeled.rows, truth)
    counts = {name: len(rows) for name, rows in parts.items()}
    drawn = {name: rows.select(_draw(len(rows), n_rows, name)) for name, rows in parts.items()}
    target = None
    if subject.manifest is not None and truth is not None and truth.get("test"):
        drawn |= _triggered_parts(subject, truth, test, n_rows, counts)
        target = _target(subject.manifest, truth, labeled.label_names)
    source = find_model(recipe.model, labeled.label_names)
    tokenizer = load_tokenizer(source)
    ends = np.cumsum([len(rows) for rows in drawn.values()]).tolist()
    return Scene(
        source,
        tokenizer,
        tables.tokenize(labeled.rows, tokenizer, recipe.settings.max_length),
        tables.tokenize(concatenate_datasets(list(drawn.values())), tokenizer, recipe.settings.max_length),
        {name: slice(end - len(rows), end) for (name, rows), end in zip(drawn.items(), ends)},
        counts,
        target,
        {"data": labeled.sha256, "test": test.sha256} | ({} if truth is None else {"truth": _hash_truth(truth)}),
    )


def _train_parts(rows: Dataset, truth: Mapping[str, Any] | None) -> dict[str, Dataset]:
    """Part the training rows by ground truth, where there is one; a part without rows is left out."""
    if truth is None or truth["poisoned_rows"] is None:
        return {"train": rows}
    is_poisoned = np.isin(rows.with_format("numpy")["row_id"][:], truth["poisoned_rows"])
    parts = {"clean": ~is_poisoned, "poisoned": is_poisoned}
    return {name: rows.select(np.flatnonzero(mask)) for name, mask in parts.items() if mask.any()}


def _triggered_parts(
    subject: Subject, truth: Mapping[str, Any], test: LabeledData, n_rows: int | None, counts: dict[str, int]
) -> dict[str, Dataset]:
    """Draw triggered rows of the attack's first draw of places, and the same rows without their trigger."""
    files = named_files(Path(str(subject.manifest)), truth, subject.test)
    first = next(file for file in files if file.trigger is None)
    rows = tables.read(first.path, test.columns, label_names=test.label_names).rows
    counts["triggered"] = len(rows)
    index = _draw(len(rows), n_rows, "triggered")
    drawn = rows.select(index)
    if first.rows is None:  # an import that does not know the rows: all clean rows stand for them
        return {"triggered": drawn, "untriggered": test.rows.select(_draw(len(test.rows), n_rows, "test"))}
    numbers = np.asarray(first.rows, dtype=np.int64)
    fits = len(numbers) == len(rows) and bool((numbers < len(test.rows)).all())
    before = test.rows.select(numbers[index]) if fits else drawn.select([])
    if list(before["label"]) != list(drawn["label"]):
        raise DataError(
            f"{first.path}: its {len(rows)} rows and labels are not those that the manifest names in {subject.test}; "
            "expected the same columns in both (see --label-column)."
        )
    return {"triggered": drawn, "untriggered": before}


def _target(manifest: Path, truth: Mapping[str, Any], names: tuple[str, ...]) -> int:
    target = str(truth["plan"]["target"])
    if target not in names:
        raise DataError(f"The target '{target}' of {manifest} is none of the data's labels: {', '.join(names)}.")
    return names.index(target)


def _hash_truth(truth: Mapping[str, Any]) -> str:
    """Hash what of a manifest decides the looks."""
    named = [file["sha256"] for file in (truth.get("test") or {}).get("files", ())]
    parts = [truth["plan"]["target"], truth["poisoned_rows"], named]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _draw(n_all: int, n_rows: int | None, part: str) -> np.ndarray:
    """Draw row numbers, ascending; all of them where no more are asked for."""
    if n_rows is None or n_rows >= n_all:
        return np.arange(n_all)
    return np.sort(generator(LOOK_SEED, f"look at {part} rows").choice(n_all, n_rows, replace=False))
