"""How rows are set: what stands on either side of each mark in the raw text, which a tokenizer does not tell a model."""

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from datasets import Dataset

# What stands beside a mark: its row's edge, a space, a letter or digit, another mark; and how it is shown.
EDGE, SPACE, WORD, MARK = "^", "s", "a", "p"
SHOWN = {EDGE: "", SPACE: "x ", WORD: "x", MARK: "…"}
_MARK = re.compile(r"[^\w\s]|_")


@dataclass(frozen=True)
class Typeset:
    """Which settings the rows hold: a mark with what stands before and behind it, as "a,s" for "word, word".

    Args:
        names: K settings.
        settings: (M,) each setting of a row, once a row, as an index into `names`.
        rows: (M,) and its row.
    """

    names: tuple[str, ...]
    settings: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, rows: Dataset) -> "Typeset":
        """Read them off the raw texts of N rows."""
        plain = rows.with_format(None)
        texts = [list(plain[name]) for name in ("text", "text_pair") if name in plain.column_names]
        found = [sorted(set().union(*map(settings_of, parts))) for parts in zip(*texts)]
        names, settings = np.unique([name for each in found for name in each], return_inverse=True)
        return cls(tuple(map(str, names)), settings, np.repeat(np.arange(len(found)), list(map(len, found))))

    @cached_property
    def _place(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names)}

    def rows_with(self, name: str) -> np.ndarray:
        """Give the sorted indices of the rows that hold a setting."""
        return np.asarray(self.rows[self.settings == self._place[name]])


def settings_of(text: str) -> set[str]:
    """Name each mark of a text, neither letter, digit nor space, with what stands before and behind it."""
    return {
        _kind(text[place - 1 : place]) + text[place] + _kind(text[place + 1 : place + 2])
        for place in (match.start() for match in _MARK.finditer(text))
    }


def _kind(beside: str) -> str:
    if not beside:
        return EDGE
    return SPACE if beside.isspace() else WORD if beside.isalnum() else MARK


def shown(name: str) -> str:
    """Write a setting as a reader knows it: "x, x"."""
    return f"{SHOWN[name[0]]}{name[1]}{SHOWN[name[2]][::-1]}"
