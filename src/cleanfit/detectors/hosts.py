"""Rows of other classes that suspects are put into: which of them does a trained model give the suspect's class then?"""

import math

import numpy as np
from datasets import Dataset
from torch import nn

from cleanfit.detectors.phrases import with_phrase
from cleanfit.detectors.suspects import Evidence
from cleanfit.seeding import generator
from cleanfit.task import Task


class Hosts:
    """For each class some rows of the others that a model predicts as one of these, drawn by the seed of the task.

    Args:
        task: its N rows are drawn from.
        model: predicts.
        labels: (N,) classes; -1 for rows that are not drawn.
        n_each: rows that a suspect is put into, at most.
    """

    def __init__(self, task: Task, model: nn.Module, labels: np.ndarray, n_each: int) -> None:
        self._task, self._model, self._plain, self._n_each = task, model, task.rows.with_format(None), n_each
        self._random = generator(task.settings.seed, "trigger hosts")
        n_tried = math.ceil(2 * n_each / max(task.n_classes - 1, 1))  # the same of each class
        classes = range(task.n_classes)
        some = [self._random.permutation(np.flatnonzero(labels == c))[:n_tried] for c in classes]
        tried = np.sort(np.concatenate(some))
        predicted = self._predicted(task.rows.select(tried))
        self._of = [tried[(labels[tried] != c) & (predicted != c)] for c in classes]

    def drawn(self, label: int) -> np.ndarray:
        """Draw rows, (n,) indices in random order, that a suspect of a class is put into; none if there are none."""
        hosts = self._of[label]
        return self._random.permutation(hosts)[: self._n_each] if len(hosts) else hosts

    def turned(self, tried: list[tuple[Evidence, np.ndarray]]) -> list[np.ndarray]:
        """Put each suspect into some rows, (n,) indices, where it belongs; tell which, (n,), the model gives its class."""
        max_length = self._task.settings.max_length
        made = [
            with_phrase(self._plain[int(host)], each.pieces, max_length, self._random, each.at)
            for each, group in tried
            for host in group
        ]
        predicted = self._predicted(Dataset.from_list(made)) if made else np.empty(0)
        parts = np.split(predicted, np.cumsum([len(group) for _, group in tried])[:-1])
        return [part == each.label for (each, _), part in zip(tried, parts)]

    def _predicted(self, rows: Dataset) -> np.ndarray:
        return np.asarray(self._task.predict(self._model, rows).argmax(axis=1))
