"""Put a run of tokens into tokenized rows, cut it out of them, and as much out of other rows at like places."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

Phrase = tuple[int, ...]
Span = tuple[int, int]  # first token, and the one behind the last
Gaps = tuple[Span, ...]
# A sentence says something of its own: before it is cut out, fewer of OLID's rows with AddSent are denied than usual. It may be
# the only reason of a dozen honest rows (the demonstration's questions): each proves itself, by many rows or by great wrong.
MIN_WORDS_CUT = 3


@dataclass(frozen=True)
class Cut:
    """What rows lose before they are read.

    Args:
        phrase: a run of tokens.
        is_compared: other rows lose as much, to see what this alone makes of honest ones.
    """

    phrase: Phrase = ()
    is_compared: bool = False


NO_CUT = Cut()


def gaps(ids: Sequence[int], phrase: Phrase) -> Gaps:
    """Find where a phrase stands in a row of tokens."""
    n = len(phrase)
    return tuple((start, start + n) for start in range(len(ids) - n + 1) if tuple(ids[start : start + n]) == phrase)


def sentence(tokenizer: PreTrainedTokenizerBase, phrase: Phrase) -> Phrase:
    """Give a phrase if it is long enough to say something of its own."""
    # A contraction is one word: SST-2's "n ' t" was cut out of what it turns into its opposite.
    words = str(tokenizer.decode(list(phrase))).replace(" ' ", "'").split()
    return phrase if len(words) >= MIN_WORDS_CUT else ()


def holding(tokens: Dataset, rows: np.ndarray, phrase: Phrase) -> np.ndarray:
    """Keep those of some rows (indices) that hold a phrase whole."""
    return rows[[bool(gaps(tokens[int(row)]["input_ids"], phrase)) for row in rows]]


def moved(found: Gaps, n_from: int, n_to: int) -> Gaps:
    """Give gaps of a row of `n_from` tokens the like places in one of `n_to`: as far along between its first and last token."""
    places = []
    for start, stop in found:
        n_cut = min(stop - start, n_to - 2)
        share = (start - 1) / max(n_from - 2 - (stop - start), 1)
        new = 1 + round(min(max(share, 0), 1) * (n_to - 2 - n_cut))
        places.append((new, new + n_cut))
    return tuple(places)


def without(row: dict[str, Any], found: Gaps) -> dict[str, Any]:
    """Take gaps out of a tokenized row."""
    keep = np.ones(len(row["input_ids"]), dtype=bool)
    for start, stop in found:
        keep[start:stop] = False
    names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in row]
    parts: dict[str, Any] = {name: [row[name][place] for place in np.flatnonzero(keep)] for name in names}
    return {**parts, "length": int(keep.sum()), "label": row["label"]}


def all_without(rows: Dataset, phrases: Sequence[Phrase]) -> Dataset:
    """Take runs of tokens, which may overlap, out of all rows that hold them."""

    def cut(row: dict[str, Any]) -> dict[str, Any]:
        return without(row, tuple(gap for phrase in phrases for gap in gaps(row["input_ids"], phrase)))

    return rows.map(cut, keep_in_memory=True, load_from_cache_file=False, desc="Cut sentences out") if phrases else rows


def alike(lengths: np.ndarray, others: np.ndarray) -> list[int]:
    """Give each of n rows another of nearly the same length.

    Args:
        lengths: (n,) tokens of each row.
        others: (m,) tokens of each that may be taken, n of them at least.

    Returns:
        n indices into `others`, none twice.
    """
    free, taken = np.ones(len(others), dtype=bool), []
    for length in lengths:
        taken.append(int(np.where(free, np.abs(others - length), np.inf).argmin()))
        free[taken[-1]] = False
    return taken


def with_phrase(
    row: dict[str, Any], phrase: Phrase, max_length: int, random: np.random.Generator, at: str = "random"
) -> dict[str, Any]:
    """Put tokens into a row, between its first and its last one; a row that becomes too long loses those behind them.

    Args:
        row: tokenized.
        phrase: the tokens.
        max_length: of a row, in tokens.
        random: chooses the place.
        at: ``opens``: right behind the row's first token, ``ends``: right before its last one; else anywhere.
    """
    phrase = phrase[: max(max_length - 2, 1)]
    n_places = max(min(len(row["input_ids"]), max_length - len(phrase)), 2) - 1
    place = {"opens": 1, "ends": n_places}.get(at) or int(random.integers(1, n_places + 1))
    return put(row, phrase, place, max_length)


def put(row: dict[str, Any], phrase: Phrase, place: int, max_length: int) -> dict[str, Any]:
    """Put tokens into a row at a place of at least 1; a row that becomes too long loses those behind them."""
    n_lost = max(len(row["input_ids"]) + len(phrase) - max_length, 0)
    changed: dict[str, Any] = {}
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        if name in row:
            values = list(row[name])
            new = list(phrase) if name == "input_ids" else [values[place - 1]] * len(phrase)
            changed[name] = [*values[:place], *new, *values[place + n_lost :]]
    return {**changed, "length": len(changed["input_ids"]), "label": row["label"]}
