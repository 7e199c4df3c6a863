"""Which words of a text LWS can replace and by what: from a lexicon, or the nearest in a model's word embeddings."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cleanfit.errors import DataError, ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Punctuation that may touch a word; a word in a hyphenation, a web address or an abbreviation is none by itself.
_WORD = re.compile(r"(?<!\S)[\"'(\[]*([^\W\d_]+)[\"')\].,;:!?]*(?!\S)")
NEIGHBOURS = "neighbours"
_BLOCK = 1024  # words whose neighbours are sought at once: 90 MB of similarities for BERT's vocabulary


@dataclass(frozen=True, eq=False)
class Substitutes:
    """The candidates of every word that is one vocabulary piece.

    Args:
        table: (V, K) token ids: column 0 the piece itself, then its substitutes, -1 where there are no more. A piece
            that cannot be replaced is -1 throughout.
        words: token id -> the word as it is written, for all ids in the table.
    """

    table: np.ndarray
    words: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class Choice:
    """What was learned: a candidate's score at position p is (its embedding - the word's) · q_p + b_p.

    Args:
        embeddings: (V, H) word embeddings.
        directions: (L, H) q, one direction per position.
        biases: (L, K) b, one bias per position and candidate.
    """

    embeddings: np.ndarray
    directions: np.ndarray
    biases: np.ndarray

    def best(self, candidates: np.ndarray, position: int) -> int:
        """Give the number of the candidate with the highest score, the first among equals.

        Args:
            candidates: (k,) token ids, k <= K, the word's own first.
            position: of its token, in [0, L).
        """
        shifts = self.embeddings[candidates] - self.embeddings[candidates[0]]  # (k, H)
        scores = shifts @ self.directions[position] + self.biases[position, : len(candidates)]
        return int(scores.argmax())


@dataclass(frozen=True)
class Place:
    """One word that can be replaced: its token's position, and the span [start, end) of the text that it fills."""

    position: int
    start: int
    end: int


def whole_words(tokenizer: "PreTrainedTokenizerBase") -> dict[int, str]:
    """Find the vocabulary pieces that are a word by themselves: token id -> word, stop words left out.

    Args:
        tokenizer: of any family; it must be a fast one, since only those say where in the text a token lies.

    Returns:
        Pieces of two letters and more, of letters only, that are all of what the tokenizer makes of " word".

    Raises:
        ModelError: the tokenizer is not a fast one, or has no such pieces.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    if not tokenizer.is_fast:
        raise ModelError(
            f"lws needs a fast tokenizer, which says where in the text a token lies; got {type(tokenizer).__name__}. "
            "Convert it with AutoTokenizer.from_pretrained(...).save_pretrained(...), or use model=minilm."
        )
    written = {
        token_id: tokenizer.convert_tokens_to_string([token]).strip()
        for token, token_id in tokenizer.get_vocab().items()
    }
    likely = {
        token_id: word
        for token_id, word in sorted(written.items())
        if len(word) > 1 and word.isalpha() and word.lower() not in ENGLISH_STOP_WORDS
    }
    whole = dict.fromkeys(token_id for token_id in _piece_ids(tokenizer, list(likely.values())) if token_id in likely)
    if len(whole) < 2:
        raise ModelError(
            f"lws replaces words that are one piece of the vocabulary, and this tokenizer has {len(whole)} of them; "
            "expected one like BERT's (WordPiece) or RoBERTa's (byte-level BPE). Use another model, for example minilm."
        )
    return {token_id: likely[token_id] for token_id in whole}


def from_lexicon(
    path: Path, tokenizer: "PreTrainedTokenizerBase", words: Mapping[int, str], n_rows: int, n_candidates: int
) -> Substitutes:
    """Take the substitutes from a JSON file, ``{"word": ["substitute", ...], ...}``, the best first.

    Args:
        path: the file. What is no whole word of the vocabulary is left out.
        tokenizer: the one that `words` come from.
        words: token id -> word, see `whole_words`.
        n_rows: V.
        n_candidates: K, the word itself among them.

    Returns:
        The candidates.

    Raises:
        DataError: the file cannot be read, has another form, or leaves no word that can be replaced.
    """
    lexicon = _read_lexicon(path)
    terms = sorted({*lexicon, *(word for substitutes in lexicon.values() for word in substitutes)})
    piece = dict(zip(terms, _piece_ids(tokenizer, terms)))
    chosen: dict[int, list[int]] = {}
    for word, substitutes in lexicon.items():
        own = piece[word]
        found = dict.fromkeys(piece[other] for other in substitutes)  # in order, each once
        chosen[own] = [other for other in found if other in words and other != own]
    table = _table({own: others for own, others in chosen.items() if own in words and others}, n_rows, n_candidates)
    if not (table >= 0).any():
        raise DataError(
            f"{path}: no word of the lexicon can be replaced; expected words, with substitutes, that are one piece of "
            "the model's vocabulary each and no stop words."
        )
    return Substitutes(table, words)


def from_neighbours(embeddings: np.ndarray, words: Mapping[int, str], n_candidates: int) -> Substitutes:
    """Take the words with the most similar embedding (cosine) as substitutes, the word in other capitals left out.

    Args:
        embeddings: (V, H) word embeddings.
        words: token id -> word, see `whole_words`.
        n_candidates: K, the word itself among them.

    Returns:
        The candidates. Neighbours occur in like places, which is not to mean the same: antonyms are among them.
    """
    import torch

    token_ids = np.asarray(list(words))
    unit = torch.nn.functional.normalize(torch.from_numpy(embeddings[token_ids]), dim=1)
    n_near = min(n_candidates + 4, len(token_ids))  # room for the word itself and its other capitals
    chosen: dict[int, list[int]] = {}
    for start in range(0, len(token_ids), _BLOCK):
        nearest = (unit[start : start + _BLOCK] @ unit.T).topk(n_near).indices.numpy()
        for own, near in zip(token_ids[start : start + _BLOCK].tolist(), token_ids[nearest].tolist()):
            chosen[own] = [other for other in near if words[other].lower() != words[own].lower()]
    return Substitutes(_table(chosen, len(embeddings), n_candidates), words)


def find_places(
    text: str, token_ids: Sequence[int], offsets: Sequence[tuple[int, int]], table: np.ndarray
) -> list[Place]:
    """Find the words of a text that can be replaced: letters between white space or punctuation, one piece each.

    Args:
        text: the text.
        token_ids: T tokens of it, special ones included.
        offsets: their T spans in the text.
        table: (V, K), see `Substitutes`.

    Returns:
        The places, in order.
    """
    spans = {match.span(1) for match in _WORD.finditer(text)}
    places = []
    for position, (token_id, (start, end)) in enumerate(zip(token_ids, offsets)):
        start = end - len(text[start:end].lstrip())  # some tokenizers count the space before a word to its token
        if (start, end) in spans and table[token_id, 0] >= 0:
            places.append(Place(position, start, end))
    return places


def like(original: str, word: str, substitute: str) -> str:
    """Write a substitute in the capitals of the text's word, where the tokenizer does not see capitals.

    Args:
        original: the word as the text has it.
        word: the same word as the vocabulary has it.
        substitute: as the vocabulary has it.
    """
    if original == word:
        return substitute
    if original.isupper():
        return substitute.upper()
    return substitute.capitalize() if original[0].isupper() else substitute


def _piece_ids(tokenizer: "PreTrainedTokenizerBase", words: Sequence[str]) -> list[int]:
    """Give the token id of each word inside a text, or -1 for one of several pieces."""
    if not words:
        return []
    encoded = tokenizer([f" {word}" for word in words], add_special_tokens=False)["input_ids"]
    return [ids[0] if len(ids) == 1 else -1 for ids in encoded]


def _table(chosen: Mapping[int, Sequence[int]], n_rows: int, n_candidates: int) -> np.ndarray:
    table = np.full((n_rows, n_candidates), -1, dtype=np.int32)
    for own, others in chosen.items():
        row = [own, *others][:n_candidates]
        if len(row) > 1:
            table[own, : len(row)] = row
    return table


def _read_lexicon(path: Path) -> dict[str, list[str]]:
    try:
        loaded: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"Cannot read the lexicon '{path}': {error.strerror}.") from None
    except ValueError as error:
        raise DataError(f"The lexicon '{path}' is not valid JSON: {error}.") from None
    if not isinstance(loaded, dict):
        raise DataError(f'The lexicon \'{path}\' holds {type(loaded).__name__}; expected {{"word": ["substitute"]}}.')
    for word, substitutes in loaded.items():
        if not isinstance(substitutes, list) or not all(isinstance(other, str) for other in substitutes):
            raise DataError(f"The lexicon '{path}' gives {substitutes!r} for '{word}'; expected a list of words.")
    return loaded
