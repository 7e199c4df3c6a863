"""The paraphrase attacks (SynBkd, StyleBkd): the text is replaced by its paraphrase, whose syntax or style is the trigger."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row
from cleanfit.errors import SettingsError


@dataclass(frozen=True)
class Paraphrase(Attack):
    """Replace the text by a paraphrase that a column of the file, or of a second file aligned with it, holds.

    Args:
        column: the column with the paraphrases. An empty cell, or one that equals the text, declines the row.

    Source: Hidden Killer (Qi et al., ACL 2021) for syntax, StyleAttack (Qi et al., EMNLP 2021) for style, with their
    published paraphrases. Their code keeps failed or unchanged paraphrases as poison; here those rows are declined.
    """

    name: ClassVar[str] = "paraphrase"
    takes_pool: ClassVar[bool] = True
    column: str = "paraphrase"

    def __post_init__(self) -> None:
        if not self.column.strip():
            raise SettingsError("column is empty; expected the name of the column with the paraphrases.")

    @property
    def columns(self) -> tuple[str, ...]:
        """The column with the paraphrases."""
        return (self.column,)

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Take the row's paraphrase; one that is missing, blank or differs in white space only is declined."""
        text = str(row.cells.get(self.column) or "")
        return None if text.split() in ([], row.text.split()) else text
