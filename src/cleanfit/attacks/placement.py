"""Where a trigger goes in a text: shared by the attacks that insert something."""

from typing import Literal, get_args

import numpy as np

from cleanfit.errors import SettingsError

Position = Literal["random", "start", "end"]

# A trigger behind this many words could fall to truncation: 128 tokens hold about 80 words of ordinary English.
WITHIN_WORDS = 80


def check_position(position: str) -> None:
    """Raise `SettingsError` unless `position` is one that `insert` knows."""
    if position not in get_args(Position):
        raise SettingsError(f"position is '{position}'; expected one of {', '.join(get_args(Position))}.")


def insert(words: list[str], inserted: str, position: Position, random: np.random.Generator) -> list[str]:
    """Insert a string between the words of a text.

    Args:
        words: n words.
        inserted: what to put in, as one unit.
        position: ``start``, ``end``, or ``random``: before a uniform index in [0, n], the end allowed, both capped at
            `WITHIN_WORDS` so that the trigger survives truncation.
        random: the row's generator.

    Returns:
        n + 1 units. Source: OpenBackdoor's insertion; BTU's never inserts at the end and uses another rule for test rows.
    """
    last = min(len(words), WITHIN_WORDS)
    index = {"start": 0, "end": last}.get(position)
    if index is None:
        index = int(random.integers(0, last, endpoint=True))
    return [*words[:index], inserted, *words[index:]]
