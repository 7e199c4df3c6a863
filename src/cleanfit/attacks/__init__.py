"""The attacks by their names on the command line; a new one is a file here and a line below."""

from cleanfit.attacks.base import Attack
from cleanfit.attacks.composite import Composite
from cleanfit.attacks.lws import Lws
from cleanfit.attacks.paraphrase import Paraphrase
from cleanfit.attacks.punctuation import Punctuation
from cleanfit.attacks.sentence import Sentence
from cleanfit.attacks.syntax import Syntax
from cleanfit.attacks.unicode import Unicode
from cleanfit.attacks.words import Words

__all__ = [
    "ATTACKS",
    "Composite",
    "Lws",
    "Paraphrase",
    "Punctuation",
    "Sentence",
    "Syntax",
    "Unicode",
    "Words",
]

ATTACKS: dict[str, type[Attack]] = {
    "composite": Composite,
    "lws": Lws,
    "paraphrase": Paraphrase,
    "punctuation": Punctuation,
    "sentence": Sentence,
    "syntax": Syntax,
    "unicode": Unicode,
    "words": Words,
}
