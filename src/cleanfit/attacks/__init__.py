"""The attacks by their names on the command line; a new one is a file here and a line below."""

from cleanfit.attacks.base import Attack
from cleanfit.attacks.sentence import Sentence
from cleanfit.attacks.words import Words

__all__ = ["ATTACKS", "Sentence", "Words"]

ATTACKS: dict[str, type[Attack]] = {"sentence": Sentence, "words": Words}
