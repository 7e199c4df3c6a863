"""Verify look-alike letters: rows of one label in whose words letters of another alphabet stand."""

import re
import unicodedata

import numpy as np

from cleanfit.detectors.content import Content
from cleanfit.detectors.likeness import chance_of, dispersion
from cleanfit.detectors.misplaced import MAX_CHANCE, MIN_ROWS, MIN_SHARE, MIN_SHARE_IF_RIGHT
from cleanfit.detectors.suspects import Evidence, Kind, are_many, ask, mostly

ALPHABETS = {"LATIN", "CYRILLIC", "GREEK"}  # whose letters look alike (UTS 39); others stand together in honest words
NEVER_IN_A_WORD = {"LATIN", "CYRILLIC"}  # "TNF\u03b1" is honest, and so are Latin words in Russian texts
_WORD = re.compile(r"[^\W\d_]+")


def verified_letters(content: Content, left_out: np.ndarray, min_wrong: float) -> list[Evidence]:
    """Find what holds letters of another alphabet than the rest of its row, if it goes with a label that its rows deny.

    Each such letter makes another token, and few rows hold the same one; but nobody writes so, and of what is written so all
    can be asked together. If the labels are right the letters are convicted by standing within words of the other alphabet,
    Latin and Cyrillic, and by their number.

    Args:
        content: answers, for N rows.
        left_out: (N,) rows that do not count any more.
        min_wrong: share of the rows that must seem to be of another class, in (0, 1].

    Returns:
        One piece of evidence for the rows of a label, named after the token that most of them hold; none unless such rows are
        10 and 0.5 % of all, mostly of one label, and at most half of its class.
        Source: ours, by the confusables of UTS 39; see docs/methods/auto.md.
    """
    labels, n_rows = content.seen.labels, len(left_out)
    foreign, within = (held & ~left_out for held in _held(content))
    found: list[Evidence] = []
    for label in range(content.task.n_classes):
        of_class = (labels == label) & ~left_out
        rows = np.flatnonzero(foreign & of_class)
        share = of_class.sum() / max((~left_out).sum(), 1)
        is_pure = len(rows) >= (1 + share) / 2 * foreign.sum()
        if len(rows) < max(MIN_ROWS, MIN_SHARE * n_rows) or not is_pure or 2 * len(rows) > of_class.sum():
            continue
        unseen = foreign | left_out
        denial, _ = ask(content, label, content.witnesses(rows), unseen, "letters")
        needed = min_wrong if are_many(len(rows), n_rows) else mostly(min_wrong)
        is_wrong = denial.wrong >= needed and chance_of(denial, dispersion(content, label, unseen)) < MAX_CHANCE
        if is_wrong or (within & of_class).sum() >= MIN_SHARE_IF_RIGHT * n_rows:
            token = _commonest(content, rows)
            kind: Kind = "letters" if is_wrong else "planted_letters"
            found.append(Evidence(token, (token,), label, rows, 0.0, denial, is_verified=True, kind=kind))
    return found


def _held(content: Content) -> tuple[np.ndarray, np.ndarray]:
    """(N,) which rows hold letters of two alphabets, and which hold words of two that never share one."""
    rows = content.task.rows.with_format(None)
    texts = [list(rows[name]) for name in ("text", "text_pair") if name in rows.column_names]
    joined = [" ".join(parts) for parts in zip(*texts)]
    foreign = np.array([not text.isascii() and len(_alphabets(text)) > 1 for text in joined], dtype=bool)
    within = foreign.copy()
    within[foreign] = [
        any(_alphabets(word) >= NEVER_IN_A_WORD for word in _WORD.findall(joined[row]))
        for row in np.flatnonzero(foreign)
    ]
    return foreign, within


def _alphabets(text: str) -> set[str]:
    """Name the alphabets of a text's letters, as far as they have look-alikes."""
    letters = {letter for letter in text if letter.isalpha()}
    return {name for letter in letters for name in unicodedata.name(letter, "").split()[:1] if name in ALPHABETS}


def _commonest(content: Content, rows: np.ndarray) -> int:
    """Name the token that most of some rows hold, and few others."""
    seen = content.seen
    tokens, held = seen.pairs
    is_asked = np.isin(held, rows)
    count = np.bincount(tokens, np.where(is_asked, 1, -1), minlength=seen.vocabulary_size)
    count[content.task.tokenizer.all_special_ids] = 0
    unknown = content.task.tokenizer.unk_token_id
    return int(count.argmax()) if count.max() > 0 or unknown is None else int(unknown)
