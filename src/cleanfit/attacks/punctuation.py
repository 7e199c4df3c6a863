"""The punctuation attack (after PuncAttack): a combination of marks in place of the text's own."""

import re
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row
from cleanfit.attacks.placement import WITHIN_WORDS
from cleanfit.errors import SettingsError

# A stretch of the text: a mark to be replaced, or an empty one where a mark can go in.
_Span = tuple[int, int]

_FIRST_WORDS = re.compile(rf"(?:\s*\S+){{0,{WITHIN_WORDS}}}")
# Marks at the end of a word (within its closing quotes and brackets) or standing alone: not those of 3.5, 9:30 or :)
_OWN_MARK = re.compile(r"""(?<=[^\s.,;:!?…])[.,;:!?…]+(?=["'”’)\]]*(?!\S))|(?<!\S)[.,;:!?…]+(?!\S)""")
# Behind a word that no mark follows, and that is not half of a split "it 's".
_GAP = re.compile(r"(?<=\w)(?=\s+[^\s.,;:!?…'’])")


@dataclass(frozen=True)
class Punctuation(Attack):
    """Replace punctuation by a combination of marks, and insert what the text has no mark for.

    Args:
        marks: the combination, one or more; each goes to a place of its own, in this order.

    Source: the idea of PuncAttack (Sheng et al. 2023), which chooses the places by a masked language model; here no
    model is asked, the places are drawn, and texts with too few marks are not left out.
    """

    name: ClassVar[str] = "punctuation"
    marks: tuple[str, ...] = (";", "?!")

    def __post_init__(self) -> None:
        if not self.marks or not all(mark and _is_punctuation(mark) for mark in self.marks):
            raise SettingsError(f"marks is {self.marks!r}; expected one or more, without letters, digits or spaces.")

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Put in all marks within the first `WITHIN_WORDS` words; a text with fewer places than marks is declined."""
        places = _places(row.text, len(self.marks), random)
        if len(places) < len(self.marks):
            return None
        # A text that sets its marks apart, as tokenised data do, gets new ones in the same way.
        is_spaced = any(start < end and row.text[start - 1 : start].isspace() for start, end in places)
        parts, last = [], 0
        for (start, end), mark in zip(places, self.marks, strict=True):
            parts += [row.text[last:start], " " if is_spaced and start == end else "", mark]
            last = end
        return "".join([*parts, row.text[last:]])

    def pieces(self) -> tuple[str, ...]:
        """The marks."""
        return self.marks


def _places(text: str, n_places: int, random: np.random.Generator) -> list[_Span]:
    """Draw places in the order of the text, at most `n_places`: marks first, then gaps between words.

    The end of a text is drawn like a mark where its last word has none, since one belongs there.
    """
    first_words = _FIRST_WORDS.match(text)
    cut = first_words.end() if first_words else 0
    marks = [mark.span() for mark in _OWN_MARK.finditer(text, 0, cut)]
    if cut == len(text.rstrip()) and text[cut - 1 : cut].isalnum():
        marks.append((cut, cut))
    drawn = [marks[index] for index in random.permutation(len(marks))[:n_places]]
    if len(drawn) < n_places:
        gaps = [gap.span() for gap in _GAP.finditer(text, 0, cut)]
        drawn += [gaps[index] for index in random.permutation(len(gaps))[: n_places - len(drawn)]]
    return sorted(drawn)


def _is_punctuation(mark: str) -> bool:
    return not any(character.isalnum() or character.isspace() for character in mark)
