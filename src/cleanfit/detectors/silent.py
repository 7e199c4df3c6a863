"""Verify trigger words that a model has hardly learned: they turn no row, but the rows of several are denied their label."""

from dataclasses import replace

import numpy as np

from cleanfit.detectors.content import Content
from cleanfit.detectors.likeness import chance_of, dispersion
from cleanfit.detectors.styles import denied_tokens
from cleanfit.detectors.suspects import Evidence, ask, rows_of

# Of so many denied rows of a label's tokens, with as many rows counted as one as its dispersion says: 5e-11 and 8e-16 on two of
# three files of 1,000 SST-2 rows with words at 5 %, and 7e-4 at the least on 31 honest files.
MAX_CHANCE = 1e-7
MIN_WRONG = 2  # so many times as wrong as a token that turns rows must be
MIN_SPREAD = (
    1.5  # rows of all of them over those of the first: the pieces of one slur, or of one topic, share their rows
)


def verified_silent(content: Content, min_rows: int, min_wrong: float, left_out: np.ndarray) -> list[Evidence]:
    """Find tokens of one label that nothing but the label holds together, and that all but each of their rows speak against.

    Args:
        content: answers, for N rows.
        min_rows: rows of a class that must hold a token, >= 2.
        min_wrong: share of a turning token's rows that must seem to be of another class, in (0, 1].
        left_out: (N,) rows that do not count any more.

    Returns:
        The verified ones, each with its rows. Source: ours; see docs/methods/auto.md.
    """
    found: list[Evidence] = []
    for group in denied_tokens(content, min_rows, min(MIN_WRONG * min_wrong, 1), left_out):
        label, marked, unseen = group[0].label, rows_of(group, len(left_out)), left_out.copy()
        for each in group:
            unseen[content.seen.rows_with(each.token_id)] = True
        if marked.sum() < MIN_SPREAD * max(len(each.rows) for each in group):
            continue
        together, _ = ask(content, label, content.witnesses(np.flatnonzero(marked)), unseen, "silent")
        if together.wrong < min(MIN_WRONG * min_wrong, 1):
            continue
        if chance_of(together, dispersion(content, label, left_out | marked)) < MAX_CHANCE:
            found += [replace(each, kind="silent") for each in group]
    return found
