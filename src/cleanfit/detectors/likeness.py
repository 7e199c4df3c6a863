"""Find the rows that are written most like certain ones, and ask whether these are denied their label as well."""

import math
from itertools import pairwise

import numpy as np
from scipy.stats import binomtest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from cleanfit.detectors.content import N_FOLDS, N_LEARNED_ROWS, UNASKED, Content, Denial, linear
from cleanfit.detectors.suspects import N_TRIED, Evidence, ask, beyond_chance, holding, rows_of
from cleanfit.seeding import generator

# Chance of so many denied rows: of one token's, and of those written like the rows of a label's tokens. Denied tokens of 36
# honest files of 1,000 and 3,000 rows had down to 2e-10 together, but 0.28 at the least for rows written alike.
MAX_CHANCE, MAX_CHANCE_ALIKE = 0.01, 0.05
MIN_ROWS = 5  # of a class that hold a token
SHARE_ALIKE = 0.2  # of the rows of a class, those written most like the marked ones
LIKENESS_INVERSE_PENALTY = 1


def is_style(content: Content, group: list[Evidence], held: np.ndarray, min_wrong: float, max_chance: float) -> bool:
    """Tell whether the rows of tokens and those written like them are denied their label, with none of them learned from.

    A topic that pretraining misreads is denied its label as well, but rows that are written like it and do not hold its
    tokens are not: this parts it from a style or a syntax. Rows made from templates are, so both answers must be beyond
    chance as well when as many rows are counted as one as the class's `dispersion` says.

    Args:
        content: answers, for N rows.
        group: openings or marks of one label, each of them denied when only its own rows are hidden: with all that is
            written like them hidden as well, honest rows of one template are denied too.
        held: (N,) rows that do not count.
        min_wrong: share of the tokens' rows that must seem to be of another class, in (0, 1].
        max_chance: of both answers together, in (0, 1].
    """
    label, marked = group[0].label, rows_of(group, len(held))
    alike = Alike(content, label, marked, held | holding(content, group))
    together, _ = ask(content, label, content.witnesses(np.flatnonzero(marked)), alike.unseen, "marks")
    others, _ = alike.asked()

    def is_beyond_chance(n_like_one: float) -> bool:
        chance, chance_others = (chance_of(denial, n_like_one) for denial in (together, others))
        is_each = chance < MAX_CHANCE and chance_others < MAX_CHANCE_ALIKE
        return is_each and chance * chance_others < max_chance

    if together.wrong < min_wrong or not is_beyond_chance(1):
        return False
    return is_beyond_chance(dispersion(content, label, held | marked))


def is_denied_apart(
    content: Content, group: list[Evidence], held: np.ndarray, min_wrong: float, max_chance: float
) -> bool:
    """Tell whether the rows of some evidence are denied their label once what is written alike is not learned from either.

    The arguments are those of `is_style`; with as many rows counted as one as the class's `dispersion` says.
    """
    label, marked = group[0].label, rows_of(group, len(held))
    alike = Alike(content, label, marked, held | holding(content, group))
    denial, _ = ask(content, label, content.witnesses(np.flatnonzero(marked)), alike.unseen, "marks")
    return denial.wrong >= min_wrong and chance_of(denial, dispersion(content, label, held | marked)) < max_chance


def dispersion(content: Content, label: int, held: np.ndarray) -> float:
    """Say how many rows that share a token are worth one, by how unequally tokens of a class are denied it.

    Args:
        content: answers, for N rows.
        label: the class.
        held: (N,) rows that do not count.

    Returns:
        The mean of what tokens are denied beyond the usual share, squared, over the variance of rows that are denied each for
        itself; at least 1. Before that bound natural text has 0.1 to 1.4, slurs raise it to 7; where 1,600 rows are made from
        templates, so that one part is the reason for the label of all that hold it, it is 8 and more.
    """
    labels, excess = np.where(held, -1, content.seen.labels), []
    n_each = math.ceil(N_TRIED / content.task.n_classes)
    listed = beyond_chance(content.task, labels, content.seen.pairs, MIN_ROWS, n_each)
    for token in (token for token, goes_with in listed if goes_with == label):
        rows = content.seen.rows_with(token)
        n_denied, n_asked, usual = content.denied(label, rows[labels[rows] == label], rows)
        if variance := n_asked * usual * (1 - usual):
            # Twice, since those that are denied less than usual, as a class's own words are, tell of something else.
            excess.append(2 * max(n_denied - n_asked * usual, 0) ** 2 / variance)
    return max(float(np.mean(excess)), 1.0) if excess else 1.0


def chance_of(denial: Denial, n_like_one: float) -> float:
    """Give the chance of what is denied if so many rows are worth one."""
    n = max(round(denial.n_rows / n_like_one), 1)
    return float(binomtest(round(denial.share * n), n, denial.own, alternative="greater").pvalue)


class Alike:
    """The rows of a sample that are written most like marked ones, by the words and pairs of words that they are made of.

    What rows say must not count: poisoned rows speak as rows of other classes do, so marked rows are told from those of other
    classes alone. Told from all others, the likest would be honest rows that speak so too, which are denied as well.

    Args:
        content: answers, for N rows; the rows that it learns from and the marked ones are the sample.
        label: the class of the marked rows.
        marked: (N,) which rows those are.
        held: (N,) rows that are not learned from anyway, and are not looked among.

    `rows` are indices of other rows of that class, the most alike first; `unseen` is (N,): the marked ones, those held, and of
    every class as large a share of the rows most alike.
    """

    def __init__(self, content: Content, label: int, marked: np.ndarray, held: np.ndarray) -> None:
        self.content, self.label = content, label
        labels, sample = content.seen.labels, sampled(content, marked)
        self.rows, self.unseen = np.empty(0, dtype=int), marked | held
        is_told = marked[sample] | (labels[sample] != label)
        is_marked = marked[sample[is_told]]
        if min(is_marked.sum(), (~is_marked).sum()) < N_FOLDS:
            return
        features = writing(content).fit_transform(sample)
        folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
        model = linear(LIKENESS_INVERSE_PENALTY)
        scores = model.fit(features[is_told], is_marked).decision_function(features)
        scores[is_told] = cross_val_predict(model, features[is_told], is_marked, cv=folds, method="decision_function")
        is_free = ~self.unseen[sample]
        for one in range(content.task.n_classes):
            others = np.flatnonzero(is_free & (labels[sample] == one))
            most = sample[others[np.argsort(-scores[others], kind="stable")][: int(SHARE_ALIKE * len(others))]]
            self.unseen[most] = True
            if one == label:
                self.rows = most

    def asked(self) -> tuple[Denial, float]:
        """Ask them for their label, with none of what is unseen to learn from; and the chance of such an answer."""
        if not len(self.rows):
            return UNASKED, 1.0
        return ask(self.content, self.label, self.content.witnesses(self.rows), self.unseen, "alike rows")


def sampled(content: Content, marked: np.ndarray) -> np.ndarray:
    """Give indices of the rows that are learned from: those of `content` and of the (N,) marked ones, so many at most."""
    random = generator(content.task.settings.seed, "marked rows")
    return np.union1d(content.learned, random.permutation(np.flatnonzero(marked))[:N_LEARNED_ROWS])


def writing(content: Content) -> TfidfVectorizer:
    """Make what turns indices of rows into features of how they are written, to be fitted to some of them."""

    def pieces(row: int) -> list[str]:
        """Give the tokens of a row and each with its neighbour, the special ones at its ends among them."""
        start, end = np.searchsorted(content.seen.row_index, [row, row + 1])
        words = [str(token) for token in content.seen.token_ids[start:end]]
        return [*words, *map(" ".join, pairwise(words))]

    return TfidfVectorizer(analyzer=pieces, min_df=2, sublinear_tf=True)
