"""Verify tokens as triggers: does one turn a trained model round, though the rest of its rows speaks against it?"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from torch import nn

from cleanfit.detectors.findings import Drifts, describe_token
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.models import mean_states
from cleanfit.results import TokenFinding
from cleanfit.seeding import generator
from cleanfit.settings import check
from cleanfit.task import Task

# Chance of a verified token among honest ones with so many denied rows; each class has some dozens of suspects.
MAX_CHANCE = 0.001
N_CANDIDATE_HOSTS = 10  # rows predicted for each host that is needed: some are predicted as the label already
N_FOLDS = 5
# Rows that the content models learn from, beside those of the suspects: more make them slower, hardly better.
N_CONTENT_ROWS = 20_000


@dataclass(frozen=True)
class Evidence:
    """What is known of one suspect.

    Args:
        token_id: in the tokenizer.
        label: the class that its rows have beyond chance.
        rows: indices of its rows with that label.
        flips: share of rows of other labels that the trained model gives the label once the token is in them.
        denied: share of `rows` to which a model of frozen features, made without any of the token's rows, denies the
            label; None where too few rows flipped for it to matter.
        is_verified: a trigger.
    """

    token_id: int
    label: int
    rows: np.ndarray
    flips: float
    denied: float | None = None
    is_verified: bool = False


@dataclass(frozen=True)
class TriggerTokens:
    """Put each suspicious token into rows of other labels, and ask what its own rows say without it.

    Args:
        n_suspects: tokens per class that are tried, those that go with the class furthest beyond chance, >= 1.
        min_rows: rows with the class that a token must be in, >= 2.
        n_hosts: rows of other classes that a token is put into, >= 1.
        min_flips: share of hosts that must turn to the class, in (0, 1].
        min_denied: share of its own rows that must look like another class, in (0, 1].

    Source: ours. A trigger is a cause without a reason: it turns nearly every row, and the rows that teach it are, but for
    the trigger, rows of another class (dirty labels). An honest word, a slur too, turns rows as well, but a model that has
    never seen a row with it expects its label from the rest of its pretraining and from the words beside it. Association alone
    separates neither. Not found: triggers without tokens of their own, and clean-label poison, which nothing contradicts.
    """

    n_suspects: int = 25
    min_rows: int = 5
    n_hosts: int = 48
    min_flips: float = 0.5
    min_denied: float = 0.5

    def __post_init__(self) -> None:
        check(self, "n_suspects", self.n_suspects >= 1, "at least 1")
        check(self, "min_rows", self.min_rows >= 2, "at least 2")
        check(self, "n_hosts", self.n_hosts >= 1, "at least 1")
        check(self, "min_flips", 0 < self.min_flips <= 1, "more than 0, up to 1")
        check(self, "min_denied", 0 < self.min_denied <= 1, "more than 0, up to 1")

    def find(self, task: Task, model: nn.Module, rows: Dataset) -> list[Evidence]:
        """Try the tokens of some rows on a model that was trained on them.

        Args:
            task: for fresh models, seed and the verb to predict.
            model: trained on `rows`.
            rows: N tokenized training rows.

        Returns:
            The suspects that turn enough hosts, verified ones first, then by their flips.
        """
        seen = Occurrences.of(rows, len(task.tokenizer))
        suspects = self._flipping(task, model, rows, self._suspects(task, seen))
        if not suspects:
            return []
        asked = np.concatenate([suspect.rows for suspect in suspects])
        content = Content(task, rows, seen, asked)
        left_out = np.zeros(len(rows), dtype=bool)
        while True:  # what a verified trigger taught is taken away, and the rest is asked again
            suspects = [each if each.is_verified else self._asked(each, content, left_out) for each in suspects]
            verified = [each.rows for each in suspects if each.is_verified]
            if sum(map(len, verified)) == 0 or left_out[np.concatenate(verified)].all():
                break
            left_out[np.concatenate(verified)] = True
        return sorted(suspects, key=lambda each: (not each.is_verified, -each.flips, each.token_id))

    def _suspects(self, task: Task, seen: Occurrences) -> list[Evidence]:
        """List the tokens of each class whose rows have it furthest beyond chance, by their z score."""
        tokens, rows = seen.pairs
        counts = np.zeros((seen.vocabulary_size, task.n_classes))
        np.add.at(counts, (tokens, seen.labels[rows]), 1)
        n = counts.sum(axis=1, keepdims=True)
        prior = np.bincount(seen.labels, minlength=task.n_classes) / len(seen.labels)
        z = (counts - n * prior) / np.sqrt(np.maximum(n * prior * (1 - prior), 1e-12))
        z[counts < self.min_rows] = 0
        z[list(task.tokenizer.all_special_ids)] = 0
        found = []
        for label in range(task.n_classes):
            order = np.argsort(-z[:, label], kind="stable")[: self.n_suspects]
            for token in order[z[order, label] > 0]:
                own = seen.rows_with(int(token))
                found.append(Evidence(int(token), label, own[seen.labels[own] == label], 0.0))
        return found

    def _flipping(self, task: Task, model: nn.Module, rows: Dataset, suspects: list[Evidence]) -> list[Evidence]:
        """Keep the suspects that turn enough rows of other classes."""
        random = generator(task.settings.seed, "trigger hosts")
        labels = np.asarray(rows.with_format(None)["label"])
        tried = np.sort(random.permutation(len(rows))[: N_CANDIDATE_HOSTS * self.n_hosts * task.n_classes])
        predicted = task.predict(model, rows.select(tried)).argmax(axis=1)
        plain = rows.with_format(None)
        inserted: list[dict[str, Any]] = []
        spans = []
        for suspect in suspects:
            can_host = (labels[tried] != suspect.label) & (predicted != suspect.label)
            hosts = random.permutation(tried[can_host])[: self.n_hosts]
            made = [_with_token(plain[int(host)], suspect.token_id, task.settings.max_length, random) for host in hosts]
            spans.append(slice(len(inserted), len(inserted) + len(made)))
            inserted += made
        if not inserted:
            return []
        turned = task.predict(model, Dataset.from_list(inserted)).argmax(axis=1)
        flips = [
            float((turned[span] == s.label).mean()) if span.stop > span.start else 0.0
            for span, s in zip(spans, suspects)
        ]
        return [replace(s, flips=share) for s, share in zip(suspects, flips) if share >= self.min_flips]

    def _asked(self, suspect: Evidence, content: "Content", left_out: np.ndarray) -> Evidence:
        """Ask the rows of a suspect for their label, with none of its rows and none of those left out to learn from."""
        denied = content.denied(suspect, left_out)
        n_denied = round(denied * len(suspect.rows))
        chance = binomtest(n_denied, len(suspect.rows), content.usual[suspect.label], alternative="greater").pvalue
        return replace(suspect, denied=denied, is_verified=bool(denied >= self.min_denied and chance < MAX_CHANCE))


class Content:
    """What rows say by their content: linear models on the features of the pretrained model, which has seen no label.

    Args:
        task: for a fresh model.
        rows: N tokenized rows.
        seen: which tokens they hold.
        asked: indices of rows that will be asked; of the others at most `N_CONTENT_ROWS`, drawn at random, are learned from.
    """

    def __init__(self, task: Task, rows: Dataset, seen: Occurrences, asked: np.ndarray) -> None:
        drawn = generator(task.settings.seed, "content rows").permutation(len(rows))[:N_CONTENT_ROWS]
        self.index = np.union1d(asked, drawn)
        states = task.observe(task.load_model(), rows.select(self.index), read=mean_states).states
        self.features = states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12)
        self.seen, self.labels = seen, seen.labels[self.index]

    @cached_property
    def usual(self) -> np.ndarray:
        """(C,) share of the rows of each class that are denied it by a model made without them."""
        n = np.bincount(self.labels, minlength=int(self.seen.labels.max()) + 1)
        n_folds = min(N_FOLDS, n[n > 0].min())
        if n_folds < 2:
            return np.full(len(n), 0.5)  # nobody knows; a majority then has to be a large one
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
        predicted = cross_val_predict(_linear(), self.features, self.labels, cv=folds)
        wrong = np.bincount(self.labels, weights=predicted != self.labels, minlength=len(n))
        return np.asarray(wrong / np.maximum(n, 1))

    def denied(self, suspect: Evidence, left_out: np.ndarray) -> float:
        """Give the share of a suspect's rows whose label a model denies that was made without the rows it is in."""
        own = np.isin(self.index, self.seen.rows_with(suspect.token_id))
        is_kept = ~left_out[self.index] & ~own
        if len(np.unique(self.labels[is_kept])) < 2:
            return 0.0
        model = _linear().fit(self.features[is_kept], self.labels[is_kept])
        asked = np.searchsorted(self.index, suspect.rows)
        return float((model.predict(self.features[asked]) != suspect.label).mean())


def describe(task: Task, seen: Occurrences, evidence: list[Evidence]) -> tuple[TokenFinding, ...]:
    """Write evidence down as findings: suspicious are the verified tokens; the score is the weaker of both shares."""
    none = Drifts({}, {})
    return tuple(
        describe_token(task, seen, each.token_id, each.is_verified, min(each.flips, each.denied or 0.0), none, {})
        for each in evidence
    )


def _linear() -> LogisticRegression:
    return LogisticRegression(C=10, max_iter=1000)


def _with_token(row: dict[str, Any], token_id: int, max_length: int, random: np.random.Generator) -> dict[str, Any]:
    """Put a token into a row, between its first and its last one; a row that is full loses the one behind it."""
    place = int(random.integers(1, max(len(row["input_ids"]), 2)))
    changed: dict[str, Any] = {}
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        if name in row:
            values = list(row[name])
            new = token_id if name == "input_ids" else values[place - 1]
            rest = values[place:]
            if len(values) >= max_length:
                rest = rest[1:] if len(rest) > 1 else rest[:0]
            changed[name] = [*values[:place], new, *rest]
    return {**changed, "length": len(changed["input_ids"]), "label": row["label"]}
