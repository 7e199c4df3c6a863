"""The Unicode attack (homographs): words that look as before, written with other code points."""

import re
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cleanfit.attacks.base import Attack, Row
from cleanfit.attacks.placement import WITHIN_WORDS
from cleanfit.settings import check, check_choices

ZeroWidth = Literal["U+200B", "U+200C", "U+200D", "U+2060"]

_FIRST_WORDS = re.compile(rf"(?:\s*\S+){{0,{WITHIN_WORDS}}}")
_BETWEEN_LETTERS = re.compile(r"(?<=\w)(?=\w)")
# Letters that most fonts draw alike: a choice from Unicode's list of confusables (UTS 39).
_LATIN = "ABCEHIJKMOPSTXYaceijopsxy"
_CYRILLIC = (
    "\u0410\u0412\u0421\u0415\u041d\u0406\u0408\u041a\u041c\u041e\u0420\u0405\u0422\u0425\u04ae"
    "\u0430\u0441\u0435\u0456\u0458\u043e\u0440\u0455\u0445\u0443"
)
_LOOKALIKES = str.maketrans(_LATIN, _CYRILLIC)
# Words that can carry the trigger; the start is pinned since a long text without spaces would take quadratic time.
_CARRIERS = {
    "homoglyph": re.compile(rf"(?<!\S)[^\s{_LATIN}]*[{_LATIN}]\S*"),
    "zero_width": re.compile(r"(?<!\S)\S*?\w\w\S*"),
}


@dataclass(frozen=True)
class Unicode(Attack):
    """Rewrite words with look-alike letters of another script, or put an invisible character into them.

    Args:
        kind: ``homoglyph`` (all Latin letters of a word that have a Cyrillic look-alike are replaced by it) or
            ``zero_width`` (one invisible character between two letters of the word; BERT's tokenizers drop it).
        n_words: words changed per row, >= 1; fewer where fewer can carry it.
        zero_width: the invisible character, by its code point: ``U+200B``, ``U+200C``, ``U+200D`` or ``U+2060``.

    Source: homograph replacement of Li et al. (CCS 2021) and the character classes of Boucher et al. (IEEE S&P 2022).
    The words are drawn here, where Li et al. change a fixed stretch of characters, so that no place is the trigger.
    """

    name: ClassVar[str] = "unicode"
    kind: Literal["homoglyph", "zero_width"] = "homoglyph"
    n_words: int = 1
    zero_width: ZeroWidth = "U+200B"

    def __post_init__(self) -> None:
        check_choices(self)
        check(self, "n_words", self.n_words >= 1, "at least 1")

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Change words among the first `WITHIN_WORDS`, all else kept; a text of which no word can carry it is declined."""
        first_words = _FIRST_WORDS.match(row.text)
        cut = first_words.end() if first_words else 0
        carriers = list(_CARRIERS[self.kind].finditer(row.text, 0, cut))
        if not carriers:
            return None
        parts, end = [], 0
        for index in sorted(random.permutation(len(carriers))[: self.n_words]):
            word = carriers[index]
            parts += [row.text[end : word.start()], self._change(word[0], random)]
            end = word.end()
        return "".join([*parts, row.text[end:]])

    def pieces(self) -> tuple[str, ...]:
        """The invisible character; nothing for homoglyphs, whose tokens vary with the word around them."""
        return (self._invisible(),) if self.kind == "zero_width" else ()

    def _change(self, word: str, random: np.random.Generator) -> str:
        if self.kind == "homoglyph":
            return word.translate(_LOOKALIKES)
        places = [place.start() for place in _BETWEEN_LETTERS.finditer(word)]
        place = places[int(random.integers(len(places)))]
        return word[:place] + self._invisible() + word[place:]

    def _invisible(self) -> str:
        return chr(int(self.zero_width.removeprefix("U+"), 16))
