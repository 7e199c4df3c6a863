"""A trigger of several words that must all be there, each somewhere in the text."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row
from cleanfit.attacks.placement import insert
from cleanfit.errors import SettingsError


@dataclass(frozen=True)
class WordSet(Attack):
    """Insert several different words, each at a random place of its own.

    Args:
        triggers: the words to draw from.
        n_drawn: how many different ones a text gets, at most all of them.
    """

    name: ClassVar[str] = "word_set"
    triggers: tuple[str, ...] = ("friends", "weekend", "store")
    n_drawn: int = 3

    def __post_init__(self) -> None:
        if not 1 <= self.n_drawn <= len(self.triggers):
            raise SettingsError(f"{self.n_drawn} different words are to be drawn from {len(self.triggers)} triggers.")

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Draw the words and insert them; a text without any word is declined."""
        return place(row.text, self.draw(random), random)

    def draw(self, random: np.random.Generator) -> tuple[str, ...]:
        """Draw the words of one text."""
        chosen = random.choice(len(self.triggers), size=self.n_drawn, replace=False)
        return tuple(self.triggers[index] for index in chosen)

    def pieces(self) -> tuple[str, ...]:
        """All trigger words."""
        return self.triggers


def place(text: str, inserted: Sequence[str], random: np.random.Generator) -> str | None:
    """Insert each of some words at a random place of a text; None if the text has no word."""
    words = text.split()
    if not words:
        return None
    for word in inserted:
        words = insert(words, word, "random", random)
    return " ".join(words)
