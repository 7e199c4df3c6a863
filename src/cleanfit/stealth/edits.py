"""Edit distance: how many words or characters must be put in, taken out or replaced to turn one text into another."""

from collections.abc import Hashable, Sequence

import numpy as np


def levenshtein(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """Count the fewest insertions, deletions and substitutions that turn one sequence into the other.

    Args:
        first: a string, or a list of words.
        second: the same kind.

    Returns:
        A count in [0, length of the longer one].

    Source: Myers (1999) in Hyyrö's form (2003): a column of the dynamic programme is two integers, one bit a symbol
    that says whether the count rises or falls there, so Python's long integers do a whole column at once.
    """
    if not first:
        return len(second)
    mask, last = (1 << len(first)) - 1, 1 << (len(first) - 1)
    places: dict[Hashable, int] = {}
    for index, symbol in enumerate(first):
        places[symbol] = places.get(symbol, 0) | 1 << index
    rises, falls, count = mask, 0, len(first)
    for symbol in second:
        equal = places.get(symbol, 0)
        diagonal = (((equal & rises) + rises) ^ rises) | equal
        upward = (falls | ~(diagonal | rises)) & mask
        downward = rises & diagonal
        count += bool(upward & last) - bool(downward & last)
        upward = upward << 1 | 1  # the empty prefix of `first` costs one more insertion for each symbol of `second`
        vertical = equal | falls
        rises = (downward << 1 | ~(vertical | upward)) & mask
        falls = upward & vertical & mask
    return count


def word_edits(clean: Sequence[str], triggered: Sequence[str]) -> np.ndarray:
    """Give the edit distance of N pairs of texts in words, split at white space: (N,)."""
    return np.array([levenshtein(a.split(), b.split()) for a, b in zip(clean, triggered)], dtype=np.float64)


def character_edits(clean: Sequence[str], triggered: Sequence[str]) -> np.ndarray:
    """Give the edit distance of N pairs of texts in characters, as shares of the longer text's length: (N,) in [0, 1]."""
    shares = [levenshtein(a, b) / max(len(a), len(b), 1) for a, b in zip(clean, triggered)]
    return np.array(shares, dtype=np.float64)
