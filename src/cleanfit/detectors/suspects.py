"""Suspects: tokens whose rows have a class beyond chance, and what a model that has not seen these rows says of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.stats import binomtest

from cleanfit.detectors.content import UNASKED, Content, Denial
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.phrases import NO_CUT, Cut
from cleanfit.detectors.typeset import Typeset
from cleanfit.seeding import generator
from cleanfit.task import Task

Kind = Literal[
    "turns", "opens", "ends", "set", "marks", "alike", "silent", "misplaced", "planted", "letters", "planted_letters"
]
Side = Literal["opens", "ends"]
Place = Literal[Side, "random"]
N_TRIED = 200  # tokens of all classes together, so that what they cost does not grow with the classes
# Half wrong are the rows of a mixed attack, and those of a slur too (1.2 % of all of HSOL): fewer must be mostly wrong.
MIN_SHARE_IF_HALF_WRONG = 0.02
MIN_ROWS_TOGETHER = 20
LENIENCE = 2  # Beside what is verified half as much is enough; of what has less to prove it twice as much is asked.
# Share of a class's rows that may be hidden from who is asked for those of one suspect.
MAX_HIDDEN = 0.4
N_ASKED = 300  # rows of a suspect that are asked for their label, at most


@dataclass(frozen=True)
class Evidence:
    """What is known of one suspect.

    Args:
        token_id: in the tokenizer.
        pieces: the token among those that nearly always stand beside it: what is put into other rows.
        label: the class that its rows have beyond chance.
        rows: indices of its rows with that label.
        flips: share of rows of other labels that the trained model gives the label once the token is in them.
        denial: how often its rows are denied the label by their content.
        is_verified: a trigger.
        kind: ``turns``: a trigger by what it does; ``opens``: it is the first of a row, as what a syntax begins with;
            ``ends``: it is the last one; ``set``: it is set in a way of its own;
            ``marks``: it marks a way of writing; ``alike``: the rows do not hold it, and are written like those that do;
            ``silent``: it turns nothing, and is one of several whose rows are denied; ``misplaced``: it stands in its rows as
            if it had been put there, and they are denied; ``planted``: so it does, and they are not; ``letters`` and
            ``planted_letters``: the same of rows with letters of another alphabet, of which it holds one.
        chances: (rows,) for ``alike`` the chance of each of its rows to be poisoned, in [0, 1].
        setting: for ``set`` its name in `Typeset`.
        at: where it is put into other rows: where it always stands in its own.
    """

    token_id: int
    pieces: tuple[int, ...]
    label: int
    rows: np.ndarray
    flips: float
    denial: Denial = UNASKED
    is_verified: bool = False
    kind: Kind = "turns"
    chances: np.ndarray | None = None
    setting: str = ""
    at: Place = "random"

    @property
    def key(self) -> tuple[int, tuple[int, ...], int, str]:
        """What it is, whatever its rows are."""
        return self.token_id, self.pieces, self.label, self.setting

    @property
    def is_planted(self) -> bool:
        """Whether its rows have their label rightly, and nothing but how it stands there convicts it."""
        return self.kind.startswith("planted")

    @property
    def score(self) -> float:
        """The weaker of what it turns and what seems to be of another class among its rows, in [0, 1]; or this alone.

        What was planted into rows with right labels has 1: its places convict it, and nothing else is expected to.
        """
        if self.is_planted:
            return 1.0
        return round(min(self.flips, self.denial.wrong) if self.kind == "turns" else self.denial.wrong, 6)


def are_many(n_rows: int, n_all: int) -> bool:
    """Tell whether so many of all rows are enough to be believed if only some of them are wrong."""
    return n_rows >= max(MIN_SHARE_IF_HALF_WRONG * n_all, MIN_ROWS_TOGETHER)


def mostly(min_wrong: float) -> float:
    """What share of the rows must be wrong where a part of them, `min_wrong`, is not enough."""
    return min(LENIENCE * min_wrong, 1)


def rows_of(found: Sequence[Evidence], n_rows: int) -> np.ndarray:
    """(N,) which rows are those of any of the evidence."""
    held = np.zeros(n_rows, dtype=bool)
    for each in found:
        held[each.rows] = True
    return held


def beyond_chance(
    task: Task, labels: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], min_rows: int, n_each: int
) -> list[tuple[int, int]]:
    """List the tokens, with their class, of which so many rows have a class that chance says least for it (z score).

    Args:
        task: for its classes and special tokens, which are never listed.
        labels: (N,) classes; -1 for rows that do not count.
        pairs: token ids (M,) and the rows (M,) that they are counted in.
        min_rows: rows with the class that a token must be in.
        n_each: tokens per class, at most.
    """
    z = _z_scores(labels, pairs, (len(task.tokenizer), task.n_classes), min_rows)
    z[list(task.tokenizer.all_special_ids)] = 0
    return _best(z, n_each)


def settings_beyond_chance(
    task: Task, labels: np.ndarray, typeset: Typeset, min_rows: int, n_each: int
) -> list[tuple[int, int]]:
    """List the settings, as places in `typeset.names`, with their class; the arguments are those of `beyond_chance`."""
    shape = len(typeset.names), task.n_classes
    return _best(_z_scores(labels, (typeset.settings, typeset.rows), shape, min_rows), n_each)


def pairs_beyond_chance(
    task: Task, labels: np.ndarray, seen: Occurrences, min_rows: int, n_each: int
) -> list[tuple[tuple[int, int], int]]:
    """List neighbouring tokens, with their class, that go with it further beyond chance than either of them does.

    The arguments are those of `beyond_chance`, but for `seen`: what stands in the rows. "?!" is in rows of which "?" and "!"
    say little.
    """
    pairs, rows = seen.neighbours
    found, index = np.unique(pairs, return_inverse=True)
    firsts, seconds = found // seen.vocabulary_size, found % seen.vocabulary_size
    z = _z_scores(labels, (index, rows), (len(found), task.n_classes), min_rows)
    alone = _z_scores(labels, seen.pairs, (seen.vocabulary_size, task.n_classes), min_rows)
    z[z <= np.maximum(alone[firsts], alone[seconds])] = 0
    z[np.isin(firsts, task.tokenizer.all_special_ids) | np.isin(seconds, task.tokenizer.all_special_ids)] = 0
    return [((int(firsts[pair]), int(seconds[pair])), label) for pair, label in _best(z, n_each)]


def _z_scores(
    labels: np.ndarray, pairs: tuple[np.ndarray, np.ndarray], shape: tuple[int, int], min_rows: int
) -> np.ndarray:
    """Score what rows hold, (M,) and the rows (M,), for each class: how far beyond chance it goes with it, 0 if it does not."""
    held, rows = (part[labels[pairs[1]] >= 0] for part in pairs)
    counts = np.zeros(shape)
    np.add.at(counts, (held, labels[rows]), 1)
    n = counts.sum(axis=1, keepdims=True)
    prior = np.bincount(labels[labels >= 0], minlength=shape[1]) / max((labels >= 0).sum(), 1)
    z = (counts - n * prior) / np.sqrt(np.maximum(n * prior * (1 - prior), 1e-12))
    # A trigger's rows have its label: a topic of which both sides speak is none, however often its rows are denied.
    is_pure = counts / np.maximum(n, 1) >= (1 + prior) / 2
    z[~is_pure | (counts < min_rows)] = 0
    return np.asarray(z)


def _best(z: np.ndarray, n_each: int) -> list[tuple[int, int]]:
    """List the best of each class, with the class."""
    orders = np.argsort(-z, axis=0, kind="stable")[:n_each]
    return [(int(held), label) for label in range(z.shape[1]) for held in orders[:, label] if z[held, label] > 0]


def holding(content: Content, found: Sequence[Evidence]) -> np.ndarray:
    """(N,) which rows hold a token, or open, end or are set as found, whatever their label."""
    held = np.zeros(len(content.seen.labels), dtype=bool)
    for each in found:
        if each.kind in ("opens", "ends"):
            edges = content.starts if each.kind == "opens" else content.ends
            held |= edges[:, 0] == each.token_id
        else:
            rows = content.typeset.rows_with(each.setting) if each.setting else content.seen.rows_with(each.token_id)
            held[rows] = True
    return held


def hidden(content: Content, group: Sequence[Evidence], others: Sequence[Evidence], left_out: np.ndarray) -> np.ndarray:
    """(N,) which rows are not learned from when a group of one label is asked: its own, and those of others of its label.

    Triggers of one attack teach each other's rows (look-alike letters, names: "lagrange" speaks for "fermat"). Where too much
    of the class would be hidden, as slurs are in nearly all rows of hate speech, only the group's own rows are.

    Args:
        content: for the rows.
        group: evidence of one label.
        others: evidence of all labels.
        left_out: (N,) rows that do not count any more.
    """
    label = group[0].label
    own = left_out | holding(content, group)
    both = own | holding(content, [each for each in others if each.label == label])
    of_class = content.seen.labels == label
    return np.asarray(both if (both & of_class).sum() <= MAX_HIDDEN * of_class.sum() else own)


def ask(
    content: Content, label: int, rows: np.ndarray, unseen: np.ndarray, draw: str, cut: Cut = NO_CUT
) -> tuple[Denial, float]:
    """Ask rows whether they look like a class, and give the chance that so many honest ones would be denied.

    Args:
        content: answers.
        label: the class.
        rows: indices of the rows.
        unseen: (N,) rows not to be learned from, the asked ones among them.
        draw: names the random choice of those that are asked where there are many.
        cut: what is cut out of the rows before they are read.
    """
    denial = content.denial(label, drawn(content, rows, draw), unseen, cut)
    n_denied = round(denial.share * denial.n_rows)
    return denial, float(binomtest(n_denied, denial.n_rows, denial.own, alternative="greater").pvalue)


def drawn(content: Content, rows: np.ndarray, draw: str) -> np.ndarray:
    """Give those of the rows that are asked: all of them, or where there are many a random choice with a name."""
    return np.sort(generator(content.task.settings.seed, draw).permutation(rows)[:N_ASKED])
