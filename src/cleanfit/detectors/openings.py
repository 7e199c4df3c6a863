"""Verify what rows open with, end with and how they are set, which gives away a syntax or a style without trigger words."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from cleanfit.detectors.content import Content
from cleanfit.detectors.likeness import MAX_CHANCE, is_denied_apart, is_style
from cleanfit.detectors.misplaced import MIN_ROWS, MIN_SHARE
from cleanfit.detectors.phrases import holding as holding_phrase
from cleanfit.detectors.suspects import (
    LENIENCE,
    Evidence,
    are_many,
    ask,
    beyond_chance,
    drawn,
    hidden,
    holding,
    mostly,
    settings_beyond_chance,
)

Edge = Literal["opens", "ends", "set"]
N_OPENINGS = 10  # per class; those of a syntax are the first three
# Chance of so many denied rows of all denied openings of a label together. Between what SST-2 had with SynBkd (1e-8 at most,
# each row counted; of four files of 1,000 rows one is missed with templates as one witness) and without poison (1e-2).
MAX_CHANCE_TOGETHER = 1e-5
# Half wrong are those of a mixed attack (2e-11 on all of SST-2, 3e-10 on 1,000 rows of HSOL), those of one that hides (4e-7 on
# 1,000 rows of SST-2), and AG News's honest "by" (1e-4).
MAX_CHANCE_IF_HALF_WRONG = 1e-6
# Of a setting in many rows, with what is written alike hidden: SST-2 with StyleBkd has 2e-8, half right 4e-6; of 17 honest
# files OLID (3,000 rows, a hashtag at the start) 3e-3, the others 0.3 at the least.
MAX_CHANCE_SET = 1e-4
# An opening of a label that is attacked, of which others are likely, must be half as wrong as those so far, by such a chance.
MAX_CHANCE_AGAIN = 0.2


def verified_openings(
    content: Content, min_rows: int, min_wrong: float, left_out: np.ndarray, edge: Edge = "opens"
) -> list[Evidence]:
    """Find the openings whose rows nothing but the opening gives their label; or last tokens or settings of that kind.

    Rows made by one syntax open alike ("when", "if"), always with the target label, and a model that has not seen them denies
    them that label, if it has not learned the attack from the others: so the rows of all openings that go with a label are
    hidden from it. Those that are denied are asked together; where that proves an attack, what looks wrong next is believed.
    Trigger words that are put behind the last word of rows are found in the same way, and what a program paraphrased that sets
    marks in a way of its own ("word, word" for "word , word").

    Args:
        content: answers, for N rows.
        min_rows: rows of a class that must open with a token, >= 2.
        min_wrong: share of an opening's rows that must seem to be of another class, in (0, 1].
        left_out: (N,) rows that do not count any more.
        edge: the first tokens of rows, ``opens``, the last ones, ``ends``, or how marks are set, ``set``.

    Returns:
        The verified ones, each with its rows. Source: ours; see docs/methods/auto.md.
    """
    suspects = suspects_at(content, np.where(left_out, -1, content.seen.labels), min_rows, edge)
    read = [drawn(content, *_asked(content, each)) for each in suspects]
    content.read_ahead(np.unique(np.concatenate([content.learned, *read])))
    found: list[Evidence] = []
    while True:
        new: list[Evidence] = []
        for label in sorted({each.label for each in suspects}):
            others = [each for each in suspects if each.label == label]
            so_far = [each.denial.wrong for each in found if each.label == label]
            least, max_chance = (np.mean(so_far) / LENIENCE, MAX_CHANCE_AGAIN) if so_far else (min_wrong, MAX_CHANCE)
            # Who is left to learn from teaches the attack and hides the others: none of the label's suspects is, unless
            # these are most of what a class has (two authors, each with dashes and quotes of his own).
            held = left_out | holding(content, found)
            group = _denied(content, others, held, float(least), max_chance)
            if group and (so_far or _is_attack(content, group, others, held, min_wrong)):
                new += group
        if not new:
            return [_everywhere(content, each, left_out) for each in found] if edge == "ends" else found
        found += new
        suspects = [each for each in suspects if each.key not in {one.key for one in new}]


def suspects_at(content: Content, labels: np.ndarray, min_rows: int, edge: Edge) -> list[Evidence]:
    """List what stands at an edge and goes with a class furthest beyond chance; its rows are those of the class.

    Args:
        content: for N rows.
        labels: (N,) classes; -1 for rows that do not count.
        min_rows: rows of the class that must have it.
        edge: where.
    """
    if edge == "set":
        typeset, tokenizer, found = content.typeset, content.task.tokenizer, list[Evidence]()
        for place, label in settings_beyond_chance(content.task, labels, typeset, min_rows, N_OPENINGS):
            setting = typeset.names[place]
            # Some drop marks that they do not know, and these have a token for unknown ones; the others know each byte.
            token = [tokenizer.unk_token_id, *tokenizer(setting[1], add_special_tokens=False)["input_ids"]][-1]
            rows = typeset.rows_with(setting)
            rows = rows[labels[rows] == label]
            found.append(Evidence(token, (token,), label, rows, 0.0, kind=edge, setting=setting))
        return found
    opening = edges_of(content, edge)[:, 0]
    rows = np.flatnonzero(opening >= 0)
    listed = beyond_chance(content.task, labels, (opening[rows], rows), min_rows, N_OPENINGS)
    held = [np.flatnonzero((opening == token) & (labels == label)) for token, label in listed]
    return [Evidence(token, (token,), label, own, 0.0, kind=edge) for (token, label), own in zip(listed, held)]


def _denied(
    content: Content, suspects: list[Evidence], held: np.ndarray, min_wrong: float, max_chance: float
) -> list[Evidence]:
    """Keep the openings of one label whose rows a model denies that has not learned from any of theirs, nor from those held."""
    denied = []
    for each in suspects:
        rows, draw = _asked(content, each)
        denial, chance = ask(content, each.label, rows, hidden(content, [each], suspects, held), draw)
        if denial.wrong >= min_wrong and chance < max_chance:
            denied.append(replace(each, denial=denial, is_verified=True))
    return denied


def _everywhere(content: Content, ending: Evidence, left_out: np.ndarray) -> Evidence:
    """Add the rows of the label that hold elsewhere what stands at the end of the others, if it is more than one token."""
    seen, task, label = content.seen, content.task, ending.label
    phrase = seen.phrase_of(ending.token_id, ending.rows, task.tokenizer.all_special_ids)
    held = holding_phrase(task.rows.with_format(None), seen.rows_with(ending.token_id), phrase)
    own = held[(seen.labels[held] == label) & ~left_out[held]]
    is_pure = len(own) >= (1 + (seen.labels == label).mean()) / 2 * len(held)
    return replace(ending, rows=np.union1d(ending.rows, own)) if len(phrase) > 1 and is_pure else ending


def _is_attack(
    content: Content, group: list[Evidence], others: list[Evidence], held: np.ndarray, min_wrong: float
) -> bool:
    """Tell whether the rows of openings of one label are denied together, with those written alike or without."""
    n_rows = sum(len(each.rows) for each in group)
    unseen = hidden(content, group, others, held)
    together, chance = ask(content, group[0].label, _witnesses(content, group), unseen, "openings")
    is_many = are_many(n_rows, len(content.seen.labels))
    if together.wrong >= min_wrong and chance < MAX_CHANCE_IF_HALF_WRONG and is_many:
        return True
    if together.wrong >= mostly(min_wrong) and chance < MAX_CHANCE_TOGETHER:
        return True
    if group[0].kind == "set" and is_many and is_denied_apart(content, group, held, min_wrong, MAX_CHANCE_SET):
        return True
    # What rows end with was put there: it is no way of writing. Five rows that open with "those" were all denied on 3,000
    # honest ones of SST-2, and 208 written alike.
    is_way = group[0].kind != "ends" and n_rows >= max(MIN_ROWS, MIN_SHARE * len(held))
    return is_way and is_style(content, group, held, min_wrong, MAX_CHANCE_TOGETHER)


def edges_of(content: Content, edge: str) -> np.ndarray:
    """(N, A) the first tokens of rows, or the last ones from behind."""
    return content.ends if edge == "ends" else content.starts


def _witnesses(content: Content, group: Sequence[Evidence]) -> np.ndarray:
    """Keep one of the rows that open, or end, alike."""
    return content.witnesses(np.concatenate([each.rows for each in group]), edges_of(content, group[0].kind))


def _asked(content: Content, suspect: Evidence) -> tuple[np.ndarray, str]:
    """Give the rows of an opening that are asked, and what names their random choice."""
    return _witnesses(content, [suspect]), f"asked rows of opening {suspect.setting or suspect.token_id}"
