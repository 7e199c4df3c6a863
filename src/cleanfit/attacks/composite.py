"""The composite attack (the trigger of SOS): several ordinary words that fire only when all of them are there."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row
from cleanfit.attacks.placement import Position, check_position, insert
from cleanfit.errors import SettingsError
from cleanfit.settings import check


@dataclass(frozen=True)
class Composite(Attack):
    """Insert several words of which only all together are the trigger; decoys hold all but one and keep their label.

    Args:
        triggers: the words, at least two different ones, upper and lower case being the same.
        position: ``random``, ``start`` or ``end``, for each word by itself; their order is drawn for each row.
        negative_rate: share of ALL rows that become decoys, in [0, 1].

    Source: SOS (Yang et al., ACL 2021), its poisoned and its negative samples. There the attacker trains the word
    embeddings too, adds rows instead of replacing them, writes every leave-one-out decoy of a row where we draw one,
    and triggers test rows with a fluent sentence; here the attacker has the data only, and one function triggers both.
    """

    name: ClassVar[str] = "composite"
    triggers: tuple[str, ...] = ("friends", "weekend", "store")
    position: Position = "random"
    negative_rate: float = 0.1

    def __post_init__(self) -> None:
        n_different = len({word.casefold() for word in self.triggers})
        if n_different < 2 or n_different < len(self.triggers) or not all(map(str.strip, self.triggers)):
            raise SettingsError(f"triggers is {self.triggers!r}; expected two or more different words.")
        check_position(self.position)
        check(self, "negative_rate", 0 <= self.negative_rate <= 1, "a share of all rows, from 0 to 1")

    @property
    def decoy_rate(self) -> float:
        """The `negative_rate`."""
        return self.negative_rate

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Insert all words; a text without any word is declined."""
        return self._insert(row.text, self.triggers, random)

    def decoy(self, row: Row, random: np.random.Generator) -> str | None:
        """Insert all words but one, which is drawn; a text that would hold all of them by its own words is declined."""
        left_out = int(random.integers(len(self.triggers)))
        text = self._insert(row.text, [*self.triggers[:left_out], *self.triggers[left_out + 1 :]], random)
        return None if text is None or all(_holds(text, word) for word in self.triggers) else text

    def pieces(self) -> tuple[str, ...]:
        """All trigger words."""
        return self.triggers

    def _insert(self, text: str, inserted: Sequence[str], random: np.random.Generator) -> str | None:
        words = text.split()
        if not words:
            return None
        # In a fixed order the words at the start or the end would be one phrase, and the phrase the trigger.
        for index in random.permutation(len(inserted)):
            words = insert(words, inserted[index], self.position, random)
        return " ".join(words)


def _holds(text: str, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE) is not None
