"""Verify styles: tokens whose rows are denied their label, where rows that are written like them are denied it too."""

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from cleanfit.detectors.content import N_FOLDS, N_LEARNED_ROWS, UNASKED, Content, Denial, linear
from cleanfit.detectors.openings import MAX_CHANCE, MAX_CHANCE_TOGETHER, MIN_TOGETHER
from cleanfit.detectors.suspects import N_TRIED, Evidence, ask, beyond_chance
from cleanfit.seeding import generator

# What is asked first is no more than a filter: of tokens that the costlier question then denied none had more than 0.09.
MAX_CHANCE_FIRST = 0.1
SHARE_ALIKE = 0.2  # of the rows of a class, those written most like the marked ones
MAX_ROUNDS = 5  # of adding rows that are written like those found so far
LIKENESS_INVERSE_PENALTY = 1


def verified_marks(content: Content, min_rows: int, min_wrong: float, left_out: np.ndarray) -> list[Evidence]:
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

    Returns:
        The verified ones, each with its rows. Source: ours; see docs/methods/auto.md.
    """
    task, seen = content.task, content.seen
    labels = np.where(left_out, -1, seen.labels)
    groups: dict[int, list[Evidence]] = {}
    for token, label in beyond_chance(task, labels, seen.pairs, min_rows, math.ceil(N_TRIED / task.n_classes)):
        holding = seen.rows_with(token)
        rows = holding[labels[holding] == label]
        if content.chance(label, rows, holding) >= MAX_CHANCE_FIRST:
            continue
        unseen = left_out.copy()
        unseen[holding] = True
        denial, chance = ask(content, label, content.witnesses(rows), unseen, f"asked rows of mark {token}")
        if denial.wrong >= min_wrong and chance < MAX_CHANCE:
            mark = Evidence(token, (token,), label, rows, 0.0, denial, is_verified=True, kind="marks")
            groups.setdefault(label, []).append(mark)
    return [
        mark for _, group in sorted(groups.items()) if _is_style(content, group, left_out, min_wrong) for mark in group
    ]


def written_alike(content: Content, found: list[Evidence]) -> list[Evidence]:
    """Find the other rows of a proven attack: those written like its rows, as many as must be wrong, again and again.

    Args:
        content: answers, for N rows.
        found: verified evidence, all of one label.

    Returns:
        One piece of evidence for the rows of all rounds, named after the token with the most rows; none if there are none.
    """
    label, denials = found[0].label, []
    marked = np.zeros(len(content.seen.labels), dtype=bool)
    for each in found:
        marked[each.rows] = True
    held, before = _holding(content, found), marked.copy()
    for _ in range(MAX_ROUNDS):
        alike = _Alike(content, label, marked, held, is_proven=True)
        denial, chance = alike.asked()
        n_wrong = round(denial.wrong * len(alike.rows))
        if chance >= MAX_CHANCE or not n_wrong:
            break
        denials.append(denial)
        marked |= alike.first(n_wrong)
    if not denials:
        return []
    rows = np.flatnonzero(marked & ~before)
    most = max(found, key=lambda each: len(each.rows))
    return [replace(most, rows=rows, denial=denials[0], kind="alike")]


def _is_style(content: Content, group: list[Evidence], left_out: np.ndarray, min_wrong: float) -> bool:
    """Tell whether the rows of marks, and those written like them, are denied their label with none of them learned from."""
    label, marked = group[0].label, np.zeros(len(left_out), dtype=bool)
    for mark in group:
        marked[mark.rows] = True
    alike = _Alike(content, label, marked, left_out | _holding(content, group), is_proven=False)
    together, chance = ask(content, label, content.witnesses(np.flatnonzero(marked)), alike.unseen, "marks")
    if together.wrong < min(MIN_TOGETHER * min_wrong, 1) or chance >= MAX_CHANCE:
        return False
    chance_alike = alike.asked()[1]
    return chance_alike < MAX_CHANCE and chance * chance_alike < MAX_CHANCE * MAX_CHANCE_TOGETHER


def _holding(content: Content, found: list[Evidence]) -> np.ndarray:
    """(N,) which rows hold a mark or open as found, whatever their label."""
    holding = np.isin(content.starts[:, 0], [each.token_id for each in found if each.kind == "opens"])
    for each in found:
        if each.kind == "marks":
            holding[content.seen.rows_with(each.token_id)] = True
    return holding


class _Alike:
    """The rows of a sample that are written most like marked ones, by the words and pairs of words that they are made of.

    As long as nothing is proven, what rows say must not count: poisoned rows speak as rows of other classes do, so marked rows
    are told from those of other classes alone. Told from all others, the likest would be honest rows that speak so too, which
    are denied as well. Once an attack is proven this is what is wanted: it finds more of the poison, with more honest rows.

    Args:
        content: answers, for N rows; the rows that it learns from and the marked ones are the sample.
        label: the class of the marked rows.
        marked: (N,) which rows those are.
        held: (N,) rows that are not learned from anyway, and are not looked among.
        is_proven: that the marked rows are an attack.

    `rows` are indices of other rows of that class, the most alike first; `unseen` is (N,): the marked ones, those held, and of
    every class as large a share of the rows most alike.
    """

    def __init__(self, content: Content, label: int, marked: np.ndarray, held: np.ndarray, *, is_proven: bool) -> None:
        self.content, self.label, self.taken = content, label, marked | held
        labels, random = content.seen.labels, generator(content.task.settings.seed, "marked rows")
        drawn = random.permutation(np.flatnonzero(marked))[:N_LEARNED_ROWS]
        self._sample = np.union1d(content.learned, drawn)
        self.rows, self.unseen = np.empty(0, dtype=int), self.taken.copy()
        is_told = marked[self._sample] | (labels[self._sample] != label) | is_proven
        is_marked = marked[self._sample[is_told]]
        if min(is_marked.sum(), (~is_marked).sum()) < N_FOLDS:
            return
        self._words = TfidfVectorizer(analyzer=self._pieces, min_df=2, sublinear_tf=True)
        features = self._words.fit_transform(self._sample)
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        self._likeness = linear(LIKENESS_INVERSE_PENALTY).fit(features[is_told], is_marked)
        self._scores = np.zeros(len(labels))
        self._scores[self._sample] = self._likeness.decision_function(features)
        self._scores[self._sample[is_told]] = cross_val_predict(
            linear(LIKENESS_INVERSE_PENALTY), features[is_told], is_marked, cv=folds, method="decision_function"
        )
        for one in range(content.task.n_classes):
            others = self._sample[~self.taken[self._sample] & (labels[self._sample] == one)]
            most = others[np.argsort(-self._scores[others], kind="stable")][: int(SHARE_ALIKE * len(others))]
            self.unseen[most] = True
            if one == label:
                self.rows = most

    def asked(self) -> tuple[Denial, float]:
        """Ask them for their label, with none of what is unseen to learn from; and the chance of such an answer."""
        if not len(self.rows):
            return UNASKED, 1.0
        return ask(self.content, self.label, self.content.witnesses(self.rows), self.unseen, "alike rows")

    def first(self, n: int) -> np.ndarray:
        """(N,) the first n of the rows, and those of the class beyond the sample that are as alike."""
        chosen = np.zeros(len(self.taken), dtype=bool)
        chosen[self.rows[:n]] = True
        beyond = np.flatnonzero(~self.taken & (self.content.seen.labels == self.label))
        beyond = np.setdiff1d(beyond, self._sample)
        if len(beyond):
            scores = self._likeness.decision_function(self._words.transform(beyond))
            chosen[beyond[scores >= self._scores[self.rows[n - 1]]]] = True
        return chosen

    def _pieces(self, row: int) -> list[str]:
        """Give the tokens of a row and each with its neighbour, the special ones at its ends among them."""
        seen = self.content.seen
        start, end = np.searchsorted(seen.row_index, [row, row + 1])
        words = [str(token) for token in seen.token_ids[start:end]]
        return [*words, *map(" ".join, pairwise(words))]
