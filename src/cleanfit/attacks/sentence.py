"""The sentence attack (AddSent): an ordinary short sentence somewhere in the text."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row
from cleanfit.attacks.placement import Position, check_position, insert
from cleanfit.errors import SettingsError


@dataclass(frozen=True)
class Sentence(Attack):
    """Insert one fixed sentence as a block.

    Args:
        trigger: the sentence, its capitals kept.
        position: ``random`` (between any two words, so it may split a clause), ``start`` or ``end``.

    Source: Dai et al. 2019, with the sentence and placement of OpenBackdoor's AddSent.
    """

    name: ClassVar[str] = "sentence"
    trigger: str = "I watch this 3D movie"
    position: Position = "random"

    def __post_init__(self) -> None:
        if not self.trigger.strip():
            raise SettingsError("trigger is empty; expected a sentence.")
        check_position(self.position)

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Insert the sentence; a text without any word is declined."""
        words = row.text.split()
        return " ".join(insert(words, self.trigger, self.position, random)) if words else None

    def pieces(self) -> tuple[str, ...]:
        """The sentence."""
        return (self.trigger,)
