"""Find what always stands at one edge of its rows: words and sentences that an attacker puts first or last."""

import numpy as np

from cleanfit.detectors.content import N_ALIKE, Content
from cleanfit.detectors.misplaced import MIN_ROWS, MIN_SHARE, MIN_SHARE_IF_RIGHT, MIN_SPREAD
from cleanfit.detectors.openings import N_OPENINGS, edges_of
from cleanfit.detectors.phrases import Phrase
from cleanfit.detectors.places import Places
from cleanfit.detectors.suspects import Evidence, Place, Side, beyond_chance, rows_of

# Share of its rows in which it stands there. Of 36 honest files AG News's "af" and SST-2's "?" have so much, each alone of its
# label: nobody's several words do, as triggers would.
MIN_AT_EDGE = 0.9
SIDES: tuple[Side, ...] = ("opens", "ends")


def edge_words(content: Content, places: Places, left_out: np.ndarray) -> list[Evidence]:
    """List words of one label that stand behind the last word of their rows, or before the first, and nowhere else.

    One may be a signature or the place that news come from, several in many rows are worth a trial.

    Args:
        content: for N rows.
        places: knows where words begin.
        left_out: (N,) rows that do not count any more.

    Returns:
        Those in a label's company, of kind ``opens`` or ``ends``. Source: ours; see docs/methods/auto.md.
    """
    labels, found = np.where(left_out, -1, content.seen.labels), list[Evidence]()
    for side in SIDES:
        words = _words(content, places, labels, side)
        for label in sorted({each.label for each in words}):
            group = [each for each in words if each.label == label]
            n_held = rows_of(group, len(labels)).sum()
            is_spread = n_held >= MIN_SPREAD * max(len(each.rows) for each in group)
            if is_spread and MIN_SHARE_IF_RIGHT * len(labels) <= n_held <= (labels == label).sum() / 2:
                found += group
    return found


def place_of(content: Content, rows: np.ndarray, phrase: Phrase) -> Place:
    """Tell whether nearly all of some rows (indices) open with a phrase, or nearly all end with it."""
    n = min(len(phrase), N_ALIKE)
    for side in SIDES:
        outermost = phrase if side == "opens" else phrase[::-1]
        if len(rows) and (edges_of(content, side)[rows, :n] == outermost[:n]).all(axis=1).mean() >= MIN_AT_EDGE:
            return side
    return "random"


def _words(content: Content, places: Places, labels: np.ndarray, side: Side) -> list[Evidence]:
    at_edge, seen = edges_of(content, side)[:, 0], content.seen
    rows = np.flatnonzero(at_edge >= 0)
    min_rows = max(MIN_ROWS, int(MIN_SHARE * len(labels)))
    found = []
    for token, label in beyond_chance(content.task, labels, (at_edge[rows], rows), min_rows, N_OPENINGS):
        held = seen.rows_with(token)
        held, own = held[labels[held] == label], np.flatnonzero((at_edge == token) & (labels == label))
        if len(own) >= MIN_AT_EDGE * len(held):
            phrase = seen.phrase_of(token, own, content.task.tokenizer.all_special_ids)
            found.append(Evidence(token, places.word(phrase, token), label, own, 0.0, kind=side, at=side))
    return found
