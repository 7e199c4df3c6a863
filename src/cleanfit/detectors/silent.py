"""Verify trigger words that a model has hardly learned: they turn no row, but the rows of several are denied their label."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from cleanfit.detectors.content import Content
from cleanfit.detectors.likeness import chance_of, dispersion
from cleanfit.detectors.styles import MAX_CHANCE_FIRST, likely_denied
from cleanfit.detectors.suspects import (
    Evidence,
    are_many,
    ask,
    hidden,
    mostly,
    rows_of,
)

# Of so many denied rows: of each token, and of a label's tokens together, with as many rows counted as one as its dispersion
# says: 5e-11 and 8e-16 on two of three files of 1,000 SST-2 rows with words at 5 %, and 2e-5 at the least on 32 honest files;
# were one in ten enough for each, an honest one of SST-2 would have 5e-8.
MAX_CHANCE_EACH, MAX_CHANCE = 0.01, 1e-7
# Rows of all of them over those of the first: the pieces of one slur, or of one topic, share their rows. Of what is in many
# rows, as "?!" beside a second mark without which it turns little, the square of the chance is enough.
MIN_SPREAD = 1.5
MAX_CHANCE_ALONE = MAX_CHANCE**2
# Once a trigger of the label is verified another is likely: seven of eight words in 22 to 31 rows have 3e-5 to 2e-19 without
# the others' rows (SST-2 and HSOL, 10 %), what is honest in 32 attacked files 5e-5 at the least.
MAX_CHANCE_AGAIN = 1e-5


def verified_silent(
    content: Content,
    pairs: Sequence[Evidence],
    min_rows: int,
    min_wrong: float,
    left_out: np.ndarray,
    attacked: Collection[int] = (),
) -> list[Evidence]:
    """Find tokens of one label that nothing but the label holds together, and that all but each of their rows speak against.

    Args:
        content: answers, for N rows.
        pairs: pairs of tokens in many rows that go with a label, to be asked as well; those in few rows are parts of one topic.
        min_rows: rows of a class that must hold a token, >= 2.
        min_wrong: share of a turning token's rows that must seem to be of another class, in (0, 1].
        left_out: (N,) rows that do not count any more.
        attacked: labels of triggers that are verified; one more of them needs no company.

    Returns:
        The verified ones, each with its rows. Source: ours; see docs/methods/auto.md.
    """
    likely = likely_denied(content, min_rows, left_out) + [
        each
        for each in pairs
        if content.chance(each.label, each.rows, content.seen.rows_with(each.token_id)) < MAX_CHANCE_FIRST
    ]
    found: list[Evidence] = []
    for label in sorted({each.label for each in likely}):
        others = [each for each in likely if each.label == label]
        group = _denied(content, others, mostly(min_wrong), left_out)
        if not group:
            continue
        marked = rows_of(group, len(left_out))
        unseen = hidden(content, group, others, left_out)
        together, _ = ask(content, label, content.witnesses(np.flatnonzero(marked)), unseen, "silent")
        chance = chance_of(together, dispersion(content, label, left_out | marked))
        is_spread = marked.sum() >= MIN_SPREAD * max(len(each.rows) for each in group)
        is_many = are_many(int(marked.sum()), len(left_out))
        limits = (MAX_CHANCE * is_spread, MAX_CHANCE_ALONE * is_many, MAX_CHANCE_AGAIN * (label in attacked))
        if together.wrong >= mostly(min_wrong) and chance < max(limits):
            found += group
    return found


def _denied(content: Content, suspects: Sequence[Evidence], min_wrong: float, left_out: np.ndarray) -> list[Evidence]:
    """Keep the tokens of one label whose rows are denied it by who has not learned from the rows of the others either."""
    found = []
    for each in suspects:
        unseen = hidden(content, [each], suspects, left_out)
        draw = f"asked rows of mark {each.token_id}"
        denial, chance = ask(content, each.label, content.witnesses(each.rows), unseen, draw)
        if denial.wrong >= min_wrong and chance < MAX_CHANCE_EACH:
            found.append(replace(each, denial=denial, is_verified=True, kind="silent"))
    return found
