"""Verify openings: the first tokens of rows, which give away a syntax or a style that has no trigger word."""

from dataclasses import replace

import numpy as np

from cleanfit.detectors.content import Content
from cleanfit.detectors.likeness import MAX_CHANCE, is_style
from cleanfit.detectors.suspects import MIN_SHARE_IF_HALF_WRONG, Evidence, ask, beyond_chance, drawn

N_OPENINGS = 10  # per class; those of a syntax are the first three
# Chance of so many denied rows of all denied openings of a label together. Between what SST-2 had with SynBkd (1e-8 at most,
# each row counted; of four files of 1,000 rows one is missed with templates as one witness) and without poison (1e-2).
MAX_CHANCE_TOGETHER = 1e-5
MIN_TOGETHER = 2  # so many times as wrong as one opening must be
# Where a class is half poison the others teach the attack, and an opening alone is little wrong (AG News, "when": 0.31):
# half as wrong is enough to be asked with them.
LENIENCE = 2
# Half wrong are those of a mixed attack (2e-11 on all of SST-2, 3e-10 on 1,000 rows of HSOL), those of one that hides (4e-7 on
# 1,000 rows of SST-2), and AG News's honest "by" (1e-4).
MAX_CHANCE_IF_HALF_WRONG = 1e-6
MAX_CHANCE_AGAIN = 0.1  # of an opening of a label that is attacked, of which others are likely


def verified_openings(content: Content, min_rows: int, min_wrong: float) -> list[Evidence]:
    """Find the openings whose rows nothing but the opening gives their label.

    Rows made by one syntax open alike ("when", "if"), always with the target label, and a model that has not seen them denies
    them that label. Each such opening is weak evidence, as long as the others teach that model the attack; so those of a label
    are asked together, with the rows of all left out. Where that proves an attack, what looks wrong next is believed.

    Args:
        content: answers, for N rows.
        min_rows: rows of a class that must open with a token, >= 2.
        min_wrong: share of an opening's rows that must seem to be of another class, in (0, 1].

    Returns:
        The verified ones, each with its rows. Source: ours; see docs/methods/auto.md.
    """
    labels, opening = content.seen.labels, content.starts[:, 0]
    rows = np.flatnonzero(opening >= 0)
    listed = beyond_chance(content.task, labels, (opening[rows], rows), min_rows, N_OPENINGS)
    suspects = [
        Evidence(token, (token,), label, np.flatnonzero((opening == token) & (labels == label)), 0.0, kind="opens")
        for token, label in listed
    ]
    read = [drawn(content, content.witnesses(each.rows), _draw(each)) for each in suspects]
    content.read_ahead(np.unique(np.concatenate([content.learned, *read])))
    found: list[Evidence] = []
    while True:
        new: list[Evidence] = []
        for label in sorted({each.label for each in suspects}):
            others = [each for each in suspects if each.label == label]
            if any(each.label == label for each in found):
                new += _denied(content, others, found, min_wrong, MAX_CHANCE_AGAIN)
                continue
            group: list[Evidence] = []
            more = _denied(content, others, found, min_wrong / LENIENCE, MAX_CHANCE)
            # Who is left to learn from hides the others: they are asked again without those that are denied so far.
            while more:
                group = group + more
                others = [each for each in others if each.token_id not in {one.token_id for one in more}]
                more = _denied(content, others, found + group, min_wrong, MAX_CHANCE)
            if group and _is_attack(content, group, found, min_wrong):
                new += group
        if not new:
            return found
        found += new
        suspects = [each for each in suspects if each.token_id not in {one.token_id for one in new}]


def _denied(
    content: Content, suspects: list[Evidence], found: list[Evidence], min_wrong: float, max_chance: float
) -> list[Evidence]:
    """Keep the openings whose rows a model denies that has seen neither these nor those of what was found."""
    denied = []
    for each in suspects:
        unseen = _opening_with(content, [*found, each])
        denial, chance = ask(content, each.label, content.witnesses(each.rows), unseen, _draw(each))
        if denial.wrong >= min_wrong and chance < max_chance:
            denied.append(replace(each, denial=denial, is_verified=True))
    return denied


def _is_attack(content: Content, group: list[Evidence], found: list[Evidence], min_wrong: float) -> bool:
    """Tell whether the rows of openings of one label, perhaps with those written alike, are denied with none to learn from."""
    asked, unseen = np.concatenate([each.rows for each in group]), _opening_with(content, [*found, *group])
    together, chance = ask(content, group[0].label, content.witnesses(asked), unseen, "openings")
    is_many = len(asked) >= MIN_SHARE_IF_HALF_WRONG * len(content.seen.labels)
    if together.wrong >= min_wrong and chance < MAX_CHANCE_IF_HALF_WRONG and is_many:
        return True
    if together.wrong >= min(MIN_TOGETHER * min_wrong, 1) and chance < MAX_CHANCE_TOGETHER:
        return True
    return is_style(content, group, _opening_with(content, found), min_wrong, MAX_CHANCE_TOGETHER)


def _opening_with(content: Content, openings: list[Evidence]) -> np.ndarray:
    """(N,) which rows open as found, whatever their label."""
    return np.asarray(np.isin(content.starts[:, 0], [each.token_id for each in openings]))


def _draw(suspect: Evidence) -> str:
    return f"asked rows of opening {suspect.token_id}"
