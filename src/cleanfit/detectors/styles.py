"""Verify styles: tokens whose rows are denied their label, where rows that are written like them are denied it too."""

import math
from collections.abc import Collection
from dataclasses import replace

import numpy as np

from cleanfit.detectors.content import Content
from cleanfit.detectors.likeness import MAX_CHANCE, is_style
from cleanfit.detectors.suspects import N_TRIED, Evidence, ask, beyond_chance, hidden, mostly

# What is asked first is no more than a filter: of tokens that the costlier question then denied none had more than 0.09.
MAX_CHANCE_FIRST = 0.1
MAX_CHANCE_BOTH = 1e-7  # of so many denied rows among those of marks and those written alike


def verified_marks(
    content: Content, min_rows: int, min_wrong: float, left_out: np.ndarray, attacked: Collection[int] = ()
) -> list[Evidence]:
    """Find the tokens that mark a way of writing whose rows nothing but that way gives their label.

    A style (the Bible's, a tweet's) has no token that turns rows, and the rows that hold its commonest ones (";", "shall") are
    a part of it only; the rest teaches a model that has not seen that part. So the rows written most like them, of every
    class, are not learned from either. A topic that pretraining misreads is denied its label as well, but rows that are
    written like it and do not hold its tokens are not: this parts the two.

    Args:
        content: answers, for N rows.
        min_rows: rows of a class that must hold a token, >= 2.
        min_wrong: share of a token's rows that must seem to be of another class, in (0, 1].
        left_out: (N,) rows that do not count any more.
        attacked: labels of triggers that are verified. An attacker mostly has one target: beside it another label needs
            the square of the chance (OLID with AddSent: honest rows about gun laws had 2e-11).

    Returns:
        The verified ones, each with its rows. Source: ours; see docs/methods/auto.md.
    """
    groups: dict[int, list[Evidence]] = {}
    for each in likely_denied(content, min_rows, left_out):
        unseen = hidden(content, [each], (), left_out)
        draw = f"asked rows of mark {each.token_id}"
        denial, chance = ask(content, each.label, content.witnesses(each.rows), unseen, draw)
        if denial.wrong >= min_wrong and chance < MAX_CHANCE:
            groups.setdefault(each.label, []).append(replace(each, denial=denial, is_verified=True))
    verified: list[Evidence] = []
    for label, group in sorted(groups.items()):
        max_chance = MAX_CHANCE_BOTH if not attacked or label in attacked else MAX_CHANCE_BOTH**2
        if is_style(content, group, left_out, mostly(min_wrong), max_chance):
            verified += group
    return verified


def likely_denied(content: Content, min_rows: int, left_out: np.ndarray) -> list[Evidence]:
    """List the tokens that go with a label and whose rows seem to be denied it; arguments as of `verified_marks`."""
    task, seen = content.task, content.seen
    labels, found = np.where(left_out, -1, seen.labels), []
    for token, label in beyond_chance(task, labels, seen.pairs, min_rows, math.ceil(N_TRIED / task.n_classes)):
        held = seen.rows_with(token)
        rows = held[labels[held] == label]
        if content.chance(label, rows, held) < MAX_CHANCE_FIRST:
            found.append(Evidence(token, (token,), label, rows, 0.0, kind="marks"))
    return found
