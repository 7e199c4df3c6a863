"""The attacks by their names on the command line; a new one is a file here and a line below."""

from cleanfit.attacks.base import Attack
from cleanfit.attacks.paraphrase import Paraphrase
from cleanfit.attacks.sentence import Sentence
from cleanfit.attacks.words import Words

__all__ = ["ATTACKS", "Paraphrase", "Sentence", "Words"]

ATTACKS: dict[str, type[Attack]] = {"paraphrase": Paraphrase, "sentence": Sentence, "words": Words}
