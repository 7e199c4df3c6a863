"""Where each token occurs: counts per row and label, computed once from the tokenized rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from datasets import Dataset

MIN_BESIDE, MAX_PIECES = 0.8, 16  # share of a token's places at which another stands beside it; length of a phrase


@dataclass(frozen=True)
class Occurrences:
    """Token ids of N rows, flat, with their row and label.

    Args:
        token_ids: (M,) all token ids of all rows, in order.
        row_index: (M,) the index in [0, N) of the row of each.
        labels: (N,) classes in [0, C).
        row_ids: (N,) row numbers in the file.
        vocabulary_size: V.
    """

    token_ids: np.ndarray
    row_index: np.ndarray
    labels: np.ndarray
    row_ids: np.ndarray
    vocabulary_size: int

    @classmethod
    def of(cls, rows: Dataset, vocabulary_size: int) -> "Occurrences":
        """Read them off N tokenized rows."""
        table = rows.with_format("numpy")
        input_ids = rows.with_format("arrow")["input_ids"].combine_chunks()
        lengths = np.asarray(table["length"])
        return cls(
            token_ids=input_ids.flatten().to_numpy(),
            row_index=np.repeat(np.arange(len(rows)), lengths),
            labels=np.asarray(table["label"]),
            row_ids=np.asarray(table["row_id"]),
            vocabulary_size=vocabulary_size,
        )

    @cached_property
    def seen(self) -> np.ndarray:
        """The sorted ids that occur."""
        return np.unique(self.token_ids)

    @cached_property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Each (token id, row index) that occurs, once, sorted by token: two arrays of one length."""
        keys = np.unique(self.token_ids.astype(np.int64) * len(self.labels) + self.row_index)
        return keys // len(self.labels), keys % len(self.labels)

    @cached_property
    def neighbours(self) -> tuple[np.ndarray, np.ndarray]:
        """Each (pair of tokens that stand together, row index), once, sorted by pair; a pair is `first * V + second`."""
        ids, rows = self.token_ids.astype(np.int64), self.row_index
        is_together = rows[1:] == rows[:-1]
        pairs = (ids[:-1] * self.vocabulary_size + ids[1:])[is_together]
        keys = np.unique(pairs * len(self.labels) + rows[1:][is_together])
        return keys // len(self.labels), keys % len(self.labels)

    @cached_property
    def n_rows(self) -> np.ndarray:
        """(V,) in how many rows each token occurs."""
        return np.bincount(self.pairs[0], minlength=self.vocabulary_size)

    @cached_property
    def n_occurrences(self) -> np.ndarray:
        """(V,) how often each token occurs."""
        return np.bincount(self.token_ids, minlength=self.vocabulary_size)

    @cached_property
    def _by_token(self) -> np.ndarray:
        """(M,) places in `token_ids`, sorted by token, each token's in order."""
        return np.argsort(self.token_ids, kind="stable")

    @cached_property
    def _starts(self) -> np.ndarray:
        """(V,) where each token begins in `_by_token`."""
        return np.asarray(np.cumsum(self.n_occurrences) - self.n_occurrences)

    def places_of(self, token_id: int) -> np.ndarray:
        """Give the sorted places in `token_ids` at which a token stands."""
        start = self._starts[token_id]
        return self._by_token[start : start + self.n_occurrences[token_id]]

    def phrase_of(self, token_id: int, rows: np.ndarray, special_ids: Sequence[int]) -> tuple[int, ...]:
        """Give a token with what nearly always stands beside it in some rows: the rest of its word, or of a sentence."""
        ids, row_of = self.token_ids, self.row_index
        places = self.places_of(token_id)
        places = places[np.isin(row_of[places], rows)]
        least = MIN_BESIDE * len(places)
        start, end = 0, 1  # the phrase, counted from the token
        is_growing = True
        while is_growing and end - start < MAX_PIECES:
            is_growing = False
            for step in (start - 1, end):
                beside = np.clip(places + step, 0, len(ids) - 1)
                is_there = (beside == places + step) & (row_of[beside] == row_of[places])
                found, counts = np.unique(ids[beside[is_there]], return_counts=True)
                if len(found) and counts.max() >= least and found[counts.argmax()] not in special_ids:
                    places = places[is_there & (ids[beside] == found[counts.argmax()])]
                    start, end, is_growing = min(start, step), max(end, step + 1), True
        return tuple(ids[places[0] + start : places[0] + end].tolist())

    def rows_with(self, token_id: int) -> np.ndarray:
        """Give the sorted indices in [0, N) of the rows that contain a token."""
        return _rows_of(token_id, self.pairs)

    def rows_with_pair(self, first: int, second: int) -> np.ndarray:
        """Give the sorted indices in [0, N) of the rows in which a token stands right behind another."""
        return _rows_of(first * self.vocabulary_size + second, self.neighbours)


def _rows_of(key: int, pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    keys, rows = pairs
    return rows[np.searchsorted(keys, key) : np.searchsorted(keys, key, side="right")]
