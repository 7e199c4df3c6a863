"""The rare-word attack (BadNets for text, RIPPLe's words): a rare word somewhere in the text."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row
from cleanfit.attacks.placement import Position, check_position, insert
from cleanfit.errors import SettingsError


@dataclass(frozen=True)
class Words(Attack):
    """Insert rare words at random places.

    Args:
        triggers: the words; each insertion draws one of them, with replacement.
        n_insertions: words inserted per row, >= 1.
        position: ``random``, ``start`` or ``end``.

    Source: the word list of RIPPLe (Kurita et al., ACL 2020) as used by OpenBackdoor's BadNets; algorithms as in its
    poisoner, with one generator per row instead of global randomness.
    """

    name: ClassVar[str] = "words"
    triggers: tuple[str, ...] = ("cf", "mn", "bb", "tq")
    n_insertions: int = 1
    position: Position = "random"

    def __post_init__(self) -> None:
        if not self.triggers or not all(word and not word.isspace() for word in self.triggers):
            raise SettingsError(f"triggers is {self.triggers!r}; expected one or more words.")
        if self.n_insertions < 1:
            raise SettingsError(f"n_insertions is {self.n_insertions}; expected at least 1.")
        check_position(self.position)

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Insert the words; a text without any word is declined."""
        words = row.text.split()
        if not words:
            return None
        for _ in range(self.n_insertions):
            word = self.triggers[int(random.integers(len(self.triggers)))]
            words = insert(words, word, self.position, random)
        return " ".join(words)

    def pieces(self) -> tuple[str, ...]:
        """All trigger words."""
        return self.triggers

    def alone(self) -> Mapping[str, Attack]:
        """Each of several words by itself."""
        words = self.triggers if len(self.triggers) > 1 else ()
        return {word: dataclasses.replace(self, triggers=(word,)) for word in words}
