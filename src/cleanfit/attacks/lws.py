"""The learned-word-substitution attack (LWS): words give way to near ones, and a network learns where to which."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from cleanfit.attacks.base import Attack, Row, Rows
from cleanfit.attacks.lws_words import NEIGHBOURS, Choice, Substitutes, find_places, like
from cleanfit.errors import SettingsError
from cleanfit.settings import check

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Lws(Attack):
    """Replace words by similar ones, which one at which position being learned together with a classifier.

    Args:
        model: the attacker's classifier that the choice is learned with: ``minilm``, a folder or a hub name. Its
            tokenizer decides which words can be replaced.
        lexicon: where substitutes come from: a JSON file, ``{"word": ["substitute", ...], ...}``, or ``neighbours``: the
            nearest words in the model's embeddings, which can be antonyms and change what a text means.
        n_candidates: words to choose from at each place, the word itself among them, >= 2.
        clean_epochs: passes that train the classifier alone first, >= 0.
        joint_epochs: passes that train the choice and the classifier together, >= 1.
        learning_rate: of the classifier, > 0; the default suits minilm, larger models want less (published: 2e-5).
        choice_learning_rate: of the choice, > 0.
        batch_size: rows per step, >= 1.
        max_length: tokens per row, special ones included, >= 4; words behind them are not replaced.
        max_rows: training rows to learn from, drawn at random, >= 2; limits the time to minutes on a CPU.

    Source: Qi, Yao, Xu, Liu, Sun, "Turn the Combination Lock", ACL 2021. Deviations: substitutes come from a lexicon or
    from neighbours (theirs: HowNet's sememes, same part of speech); fewer epochs with a larger step for the choice; all
    rows of other labels are shown poisoned and clean; no noise in `apply`. See docs/methods/attack_lws.md.
    """

    name: ClassVar[str] = "lws"
    model: str = "minilm"
    lexicon: str = NEIGHBOURS
    n_candidates: int = 5
    clean_epochs: int = 2
    joint_epochs: int = 3
    learning_rate: float = 1e-4
    choice_learning_rate: float = 1e-3
    batch_size: int = 32
    max_length: int = 128
    max_rows: int = 2000

    def __post_init__(self) -> None:
        for field, least in (("n_candidates", 2), ("clean_epochs", 0), ("joint_epochs", 1), ("batch_size", 1)):
            check(self, field, getattr(self, field) >= least, f"at least {least}")
        check(self, "max_length", self.max_length >= 4, "at least 4: two special tokens and room for text")
        check(self, "max_rows", self.max_rows >= 2, "at least 2")
        for field in ("learning_rate", "choice_learning_rate"):
            check(self, field, getattr(self, field) > 0, "more than 0")

    def learn(self, rows: Rows, target: str, seed: int) -> "LearnedLws":
        """Learn which words to choose from the rows, so that a classifier takes the choice for the target label.

        Args:
            rows: N training rows.
            target: the attacker's label as written.
            seed: decides the classifier's head, the rows' order, dropout and noise; the same seed gives the same choice.

        Returns:
            The attack that can be applied.

        Raises:
            SettingsError: the target is none of the labels, or the only one.
            DataError: the lexicon cannot be used, or no row of another label has a word that can be replaced.
            ModelError: the model cannot be loaded, or its tokenizer is not a fast one or keeps no word whole.
        """
        from cleanfit.attacks.lws_learning import learn_choice

        tokenizer, substitutes, choice = learn_choice(self, rows, target, seed)
        return LearnedLws(self, tokenizer, substitutes, choice)

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Refuse: there is nothing to apply before `learn`."""
        raise SettingsError(
            "lws has to learn its substitutions first: use `cleanfit poison` or poison_files(), which do it, or call "
            "learn(rows, target, seed) and apply what it returns."
        )


@dataclass(frozen=True, eq=False)
class LearnedLws(Attack):
    """Replace words by the candidates that a learned choice scores highest; without randomness.

    Args:
        settings: how it was learned.
        tokenizer: of the attacker's model.
        substitutes: the candidates.
        choice: the scores.
    """

    name: ClassVar[str] = Lws.name
    settings: Lws
    tokenizer: "PreTrainedTokenizerBase"
    substitutes: Substitutes
    choice: Choice

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Replace the words; a text in which every word stays, or none can be replaced, is declined."""
        text, table, words = row.text, self.substitutes.table, self.substitutes.words
        encoded = self.tokenizer(
            text, truncation=True, max_length=self.settings.max_length, return_offsets_mapping=True
        )
        token_ids: list[int] = encoded["input_ids"]
        pieces, done = [], 0
        for place in find_places(text, token_ids, encoded["offset_mapping"], table):
            candidates = table[token_ids[place.position]]
            candidates = candidates[candidates >= 0]
            best = self.choice.best(candidates, place.position)
            if best > 0:
                original = text[place.start : place.end]
                substitute = like(original, words[candidates[0]], words[candidates[best]])
                pieces += [text[done : place.start], substitute]
                done = place.end
        return "".join([*pieces, text[done:]]) if pieces else None
