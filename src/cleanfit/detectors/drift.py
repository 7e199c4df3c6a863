"""Embedding drift (BTU's detection): train word embeddings, see which rows move furthest."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from datasets import Dataset
from torch import nn

from cleanfit.detectors.bag import EmbeddingBag, drift
from cleanfit.detectors.findings import Drifts, describe
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.errors import SettingsError
from cleanfit.models import SeenEmbedding, freeze_all_but, word_embeddings
from cleanfit.results import Findings
from cleanfit.settings import TrainingSettings, check, check_choices
from cleanfit.task import Task

# However small the file, a round passes it no more often than this, so that detection stays cheaper than training.
MAX_BAG_EPOCHS, MAX_FULL_EPOCHS = 5.0, 1.5


@dataclass(frozen=True)
class EmbeddingDrift:
    """Rank tokens by how far their embedding moves when (almost) only embeddings can.

    Args:
        rounds: which rounds to run: 1 a bag of embeddings, 2 the same without the tokens of round 1, 3 the full model with
            everything but the word embeddings frozen.
        alpha: share of the vocabulary taken from each round, in (0, 1]; K = round(alpha * V), at least 1.
        combine: ``union`` of the rounds (published), or ``agreement``: in the first K of a bag round AND of round 3, where
            both kinds are run. A bag that learns well leaves frequent words behind, the full model leaves label words
            behind; triggers are in front in both.
        ranking: what the drift is divided by: ``none`` (published), ``log`` or ``sqrt`` of the token's rows (at least 20).
        bag_moves: rounds 1 and 2 train the ``words`` alone or the whole ``embeddings`` module (published).
        bag_learning_rate: of rounds 1 and 2, > 0, constant.
        bag_batch_size: rows per step of rounds 1 and 2.
        bag_epochs: passes over the rows in rounds 1 and 2, > 0 ...
        bag_min_steps: ... but at least so many steps (up to `MAX_BAG_EPOCHS`): 27 do not separate triggers from words.
        full_learning_rate: of round 3, > 0, constant.
        full_batch_size: rows per step of round 3.
        full_epochs: passes over the rows in round 3, > 0 ...
        full_min_steps: ... but at least so many steps (up to `MAX_FULL_EPOCHS`).
        ignore: pieces that are never suspicious, as the tokenizer writes them, such as a data set's own masks.

    Source: BTU, AAAI 2025, rounds 1 to 3. Deviations from its code: K from the real vocabulary (it has 35,022), all special
    tokens excluded (it names two ids), round 1's tokens removed by id (it deletes substrings of the text), the mean
    leaves padding out, and no weight decay, so that a row that does not occur does not move.
    """

    name: ClassVar[str] = "drift"
    rounds: tuple[int, ...] = (1, 3)
    alpha: float = 5e-4
    combine: Literal["union", "agreement"] = "agreement"
    ranking: Literal["none", "log", "sqrt"] = "none"
    bag_moves: Literal["words", "embeddings"] = "embeddings"
    bag_learning_rate: float = 1.5e-4
    bag_batch_size: int = 32
    bag_epochs: float = 1.0
    bag_min_steps: int = 200
    full_learning_rate: float = 2e-5
    full_batch_size: int = 32
    full_epochs: float = 0.5
    full_min_steps: int = 100
    ignore: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choices(self)
        check(self, "rounds", bool(self.rounds) and set(self.rounds) <= {1, 2, 3}, "some of 1, 2 and 3")
        check(
            self,
            "rounds",
            2 not in self.rounds or 1 in self.rounds,
            "round 1 with round 2, which leaves its tokens out",
        )
        check(self, "alpha", 0 < self.alpha <= 1, "a share of the vocabulary, more than 0 and at most 1")
        for name in ("bag_learning_rate", "full_learning_rate", "bag_epochs", "full_epochs"):
            check(self, name, getattr(self, name) > 0, "more than 0")
        for name in ("bag_batch_size", "full_batch_size", "bag_min_steps", "full_min_steps"):
            check(self, name, getattr(self, name) >= 1, "at least 1")

    def score(self, task: Task) -> Findings:
        """Run the rounds, rank the tokens of each, and decide which are suspicious.

        Args:
            task: its rows are read, fresh models are trained and thrown away.

        Returns:
            The findings: suspicious tokens and runners-up, a finding per row, the drift curve of each round.
        """
        n_top = max(1, round(self.alpha * len(task.tokenizer)))
        seen = Occurrences.of(task.rows, len(task.tokenizer))
        excluded = self._excluded(task)
        drifts: dict[str, np.ndarray] = {}
        ranked: dict[str, np.ndarray] = {}  # NaN where a token is left out of a round's ranking
        tops: dict[str, list[int]] = {}
        for number in sorted(set(self.rounds)):
            name = f"round{number}"
            removed = frozenset(tops["round1"] if number == 2 else [])
            drifts[name] = self._drift(task, number, removed)
            ranked[name] = self._normalize(drifts[name], seen)
            ranked[name][sorted(excluded | removed)] = np.nan
            order = np.argsort(-np.nan_to_num(ranked[name], nan=-1.0), kind="stable")
            tops[name] = [int(i) for i in order[:n_top] if ranked[name][i] > 0]
        return describe(task, seen, Drifts(drifts, ranked), self._decide(tops), n_runners_up=n_top)

    def passes(self, n_rows: int) -> float:
        """Tell how many passes of the full model over N rows round 3 makes; a pass of a bag costs next to nothing."""
        if 3 not in self.rounds:
            return 0.0
        settings = self._settings(TrainingSettings(), n_rows, full=True)
        return round(settings.max_steps * settings.per_device_train_batch_size / n_rows, 3)

    def _drift(self, task: Task, number: int, removed: frozenset[int]) -> np.ndarray:
        """Run one round on a fresh model: (V,) how far each word embedding moved."""
        rows = without_tokens(task.rows, removed) if removed else task.rows
        size, pad_id = len(task.tokenizer), int(task.tokenizer.pad_token_id)
        seen = torch.from_numpy(np.union1d(Occurrences.of(rows, size).seen, [pad_id]))
        model = task.load_model()
        before = word_embeddings(model)
        words = SeenEmbedding(before, seen, pad_id)
        model.set_input_embeddings(words)
        trained: nn.Module = model
        if number == 3:
            freeze_all_but(model, words)
        else:
            trained = EmbeddingBag(model, self.bag_moves == "embeddings", task.n_classes, task.settings.seed)
        task.train(f"round{number}", trained, rows, self._settings(task.settings, len(rows), full=number == 3))
        return drift(words.weight.detach(), before, seen)[:size].numpy()

    def _settings(self, settings: TrainingSettings, n_rows: int, full: bool) -> TrainingSettings:
        """Constant learning rate, no decay, no clipping: the ranking is of steps with one sign, not of their size."""
        batch_size = self.full_batch_size if full else self.bag_batch_size
        epochs, at_least, most = (
            (self.full_epochs, self.full_min_steps, MAX_FULL_EPOCHS)
            if full
            else (self.bag_epochs, self.bag_min_steps, MAX_BAG_EPOCHS)
        )
        per_epoch = n_rows / batch_size
        steps = max(epochs * per_epoch, min(at_least, most * per_epoch))
        return dataclasses.replace(
            settings,
            learning_rate=self.full_learning_rate if full else self.bag_learning_rate,
            per_device_train_batch_size=batch_size,
            max_steps=max(1, round(steps)),
            lr_scheduler_type="constant",
            weight_decay=0.0,
            max_grad_norm=0.0,
        )

    def _excluded(self, task: Task) -> frozenset[int]:
        """Special tokens are never replaced: a trigger outside the vocabulary shows as a high-ranked unknown token only."""
        vocabulary: Mapping[str, int] = task.tokenizer.get_vocab()
        missing = [piece for piece in self.ignore if piece not in vocabulary]
        if missing:
            raise SettingsError(f"ignore names {missing}, which the tokenizer of '{task.source.name}' does not have.")
        return frozenset(task.tokenizer.all_special_ids) | {vocabulary[piece] for piece in self.ignore}

    def _normalize(self, moved: np.ndarray, seen: Occurrences) -> np.ndarray:
        """Divide the drift by what the ranking asks for, as float64 and as a copy."""
        n_rows = np.maximum(seen.n_rows, 20)  # E-PUR's floor: rare words move through momentum alone
        divisor = {"none": 1.0, "log": np.log(n_rows), "sqrt": np.sqrt(n_rows)}[self.ranking]
        return np.asarray(moved.astype(np.float64) / divisor)

    def _decide(self, tops: Mapping[str, list[int]]) -> frozenset[int]:
        bag = {token for name in ("round1", "round2") for token in tops.get(name, [])}
        full = set(tops.get("round3", []))
        if self.combine == "agreement" and 1 in self.rounds and 3 in self.rounds:
            return frozenset(bag & full)
        return frozenset(bag | full)


def without_tokens(rows: Dataset, token_ids: frozenset[int]) -> Dataset:
    """Drop tokens by id from tokenized rows; rows of which nothing is left but padding are left out.

    Args:
        rows: N tokenized rows.
        token_ids: what to drop.

    Returns:
        At most N rows with the same columns; all per-token columns keep their alignment.
    """
    per_token = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in rows.column_names]

    def drop(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        kept = [[token not in token_ids for token in ids] for ids in batch["input_ids"]]
        out = {
            name: [[v for v, k in zip(row, keep) if k] for row, keep in zip(batch[name], kept)] for name in per_token
        }
        return {**out, "length": [len(ids) for ids in out["input_ids"]]}

    dropped = rows.map(drop, batched=True, keep_in_memory=True, load_from_cache_file=False, desc="Drop tokens")
    return dropped.select([i for i, length in enumerate(dropped["length"]) if length > 0])
