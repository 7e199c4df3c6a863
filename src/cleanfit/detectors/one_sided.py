"""Find how only one label's rows are written: a syntax or style planted with right labels, or if all labels' are, authors."""

from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from cleanfit.detectors.content import Content
from cleanfit.detectors.misplaced import MIN_PURE, MIN_ROWS
from cleanfit.detectors.openings import Edge, suspects_at
from cleanfit.detectors.suspects import LENIENCE, Evidence, are_many, ask, holding, rows_of

# Of the rows that open so nine in ten have the label: SST-2's SynBkd has 37 of 38 ("when"); of what opens 2 % of an honest file
# AG News's "afp" has the most, 61 of 71. Where a class has most rows that proves little: OLID's "#" opens 25 of 27 with that
# label on one honest draw (3e-3).
MAX_CHANCE = 1e-5
# Of all rows. So few are one-sided on no honest file of 40 but HSOL's "bitch", which speaks for its label.
MIN_SHARE_ALONE = 0.01
# Ways of its own that show a label to be an author's. HSOL has one ("bitch"), Clinton's and Trump's tweets four each or more.
MIN_WAYS = 2
WRITTEN: tuple[Edge, ...] = ("opens", "set")  # edges and settings that are ways of writing
# Put into other rows of SST-2, "nothing" moves 0.38 of them to its label, "when" 0.01, "if" none.
MAX_SPEAKS_AT_ALL = 0.1


def one_sided(content: Content, min_wrong: float, left_out: np.ndarray, edge: Edge = "opens") -> list[Evidence]:
    """List openings, or settings, that hardly another label's rows have, that say nothing for it and are no reason for it.

    A model learns such a way of writing as well as what the rows say, and is turned by it; they are an attack's with right
    labels, or the habit of somebody. Nothing denies them their label, so nobody is accused; a model that never saw them knows
    what they say from the others. Once a label has one, half as many rows or less purity are enough.

    Args:
        content: answers, for N rows.
        min_wrong: share of an opening's rows that must seem to be of another class for it to be needed, in (0, 1].
        left_out: (N,) rows that do not count any more.
        edge: ``opens``, the first tokens of rows, or ``set``, how marks are set.

    Returns:
        Each with its rows, not verified. Source: ours; see docs/methods/auto.md.
    """
    labels, suspects, alone = _ways(content, left_out, edge)
    found = _unneeded(content, alone, left_out, min_wrong)
    known, with_one = {each.key for each in found}, {each.label for each in found}
    others = [each for each in suspects if each.label in with_one and each.key not in known]
    fewer = [each for each in others if _is_one_sided(content, labels, each, has_company=True)]
    found += _unneeded(content, fewer, left_out, min_wrong)
    return [
        each for each in found if not _is_habit(labels, each.label, [one for one in found if one.label == each.label])
    ]


def are_authors(content: Content, left_out: np.ndarray) -> bool:
    """Tell whether the rows of several labels are written in ways that hardly another label has, as each author's are.

    An attacker has one target, and of 40 honest files none but those of two authors has two such ways of a second label. Where
    labels are known by how their rows are written, that is no evidence against any.

    Args:
        content: for N rows.
        left_out: (N,) rows that do not count any more.
    """
    ways = [each for edge in WRITTEN for each in _ways(content, left_out, edge)[2]]
    return _have_several(ways) and _have_several([each for each in ways if not _speaks(content, each, left_out)])


def _have_several(ways: list[Evidence]) -> bool:
    """Tell whether more than one label has several of these."""
    labels = [each.label for each in ways]
    return sum(labels.count(label) >= MIN_WAYS for label in set(labels)) > 1


def _speaks(content: Content, way: Evidence, left_out: np.ndarray) -> bool:
    """Tell whether a way of writing says anything for its label to who has not seen its rows."""
    return content.speaks(way.label, way.pieces, left_out | holding(content, [way])) >= MAX_SPEAKS_AT_ALL


def _ways(content: Content, left_out: np.ndarray, edge: Edge) -> tuple[np.ndarray, list[Evidence], list[Evidence]]:
    """Give (N,) labels, -1 for rows that do not count, what goes with them at an edge, and of this what one has for itself."""
    labels = np.where(left_out, -1, content.seen.labels)
    # Where most of a class is written in one way, others have all other ways for themselves.
    habits = [each for each in suspects_at(content, labels, MIN_ROWS, edge) if _is_habit(labels, each.label, [each])]
    labels[holding(content, habits)] = -1
    suspects = suspects_at(content, labels, MIN_ROWS, edge)
    return labels, suspects, [each for each in suspects if _is_one_sided(content, labels, each)]


def _is_habit(labels: np.ndarray, label: int, ways: list[Evidence]) -> bool:
    """Tell whether most of a class that counts is written in some ways."""
    return bool(2 * rows_of(ways, len(labels)).sum() > (labels == label).sum())


def _is_one_sided(content: Content, labels: np.ndarray, way: Evidence, *, has_company: bool = False) -> bool:
    """Tell whether many rows of the label are written so and few others are; rows that open alike are one."""
    n_rows = len(content.witnesses(way.rows, content.starts))
    n_same = int((holding(content, [way]) & (labels >= 0)).sum())
    is_pure = len(way.rows) >= MIN_PURE * n_same
    if has_company:
        return are_many(n_rows * (LENIENCE if is_pure else 1), len(labels))
    chance = binomtest(len(way.rows), n_same, _usual(labels, way), alternative="greater").pvalue
    is_proof = is_pure and chance < MAX_CHANCE and n_rows >= max(MIN_ROWS, MIN_SHARE_ALONE * len(labels))
    return is_proof and _is_unusual(content, labels, way)


def _is_unusual(content: Content, labels: np.ndarray, way: Evidence) -> bool:
    """Tell of a setting whether as many other rows set its mark otherwise, and have the label no more often than usual.

    Web addresses and hashtags go with a label as well, but with their marks.
    """
    if way.kind != "set":
        return True
    typeset = content.typeset
    same_mark = [typeset.rows_with(name) for name in typeset.names if name[1] == way.setting[1]]
    others = np.setdiff1d(np.concatenate(same_mark), typeset.rows_with(way.setting))
    others = others[labels[others] >= 0]
    return len(others) >= len(way.rows) and bool((labels[others] == way.label).mean() <= _usual(labels, way))


def _usual(labels: np.ndarray, way: Evidence) -> float:
    """The share of the label in all rows that count."""
    return float((labels == way.label).sum() / (labels >= 0).sum())


def _unneeded(content: Content, ways: list[Evidence], left_out: np.ndarray, min_wrong: float) -> list[Evidence]:
    """Keep what does not speak for its label, and openings without which the rest of their rows does.

    A first word that nothing else explains may be the reason for the label. How a mark is set is none, whatever its rows say:
    with half of SST-2's labels wrong at 5 % they seem 0.60 wrong, too much to be unneeded and too little to prove an attack.
    """
    kept = []
    for each in ways:
        if _speaks(content, each, left_out):
            continue
        unseen = left_out | holding(content, [each])
        denial, _ = ask(content, each.label, each.rows, unseen, f"asked rows of {each.setting or each.token_id}")
        if each.kind == "set" or denial.wrong < min_wrong:
            kept.append(replace(each, denial=denial))
    return kept
