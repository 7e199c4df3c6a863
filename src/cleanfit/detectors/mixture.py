"""Find the rest of a proven attack: the rows that are written like its rows and say what rows of other classes say."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

from cleanfit.detectors.content import N_FOLDS, Content
from cleanfit.detectors.likeness import SHARE_ALIKE, sampled, writing
from cleanfit.detectors.suspects import Evidence, ask, rows_of

N_ROUNDS = 5
N_FITS = 30  # of the share of poisoned rows, within a round
MIN_CHANCE = 0.5  # of a row that is left out to be poisoned
MAX_POISONED = 0.5  # of the rows of the class that are not known: who is honest there, if most are not?
# Of all rows, that are more likely poisoned than not: attackers are studied at a fifth at the most. Where features hardly know
# a class (OLID), the mixture is of those that speak for it and those that do not: 0.29 and 0.34; elsewhere 0.17 at most.
MAX_TAKEN = 0.2
# Where the search for the share begins: of rows as like those found as is usual for the class, one in twenty.
FIRST_OFFSET, FIRST_SLOPE = -3.0, 1.0
INVERSE_PENALTY_WRITTEN, INVERSE_PENALTY_SAID, INVERSE_PENALTY_SCALE = 1.0, 10.0, 1e3
MIN_WEIGHT = 1e-3  # of a row that is learned from
N_READ_AT_ONCE = 10_000  # rows beyond the sample, whose features are not kept


def rest_of(content: Content, found: list[Evidence]) -> list[Evidence]:
    """Find the other rows of a proven attack, each by how it is written and by what it says.

    Rows of the class are a mixture: honest ones, and poisoned ones that are written like the found rows and, since their
    label is wrong, say what rows of other classes say. Neither view parts them well; the two together do. For each row the
    chance that it is poisoned is reckoned from both, by linear models that were made without that row, and the models are
    made again of what the chances say, a few times over (expectation and maximization).

    Args:
        content: answers, for N rows.
        found: verified evidence, all of one label; or ways of writing that hardly another label has.

    Returns:
        One piece of evidence for the rows that are more likely poisoned than not, named after the token with the most rows and
        verified if that is; none if there are none, so many that they are no attack, or if it is not the rows written like
        those found that say something else. Source: ours, in the manner of co-training; see
        docs/methods/auto.md.
    """
    label, marked = found[0].label, rows_of(found, len(content.seen.labels))
    mixture = Mixture(content, label, marked)
    model = mixture.fitted() if mixture.is_told else None
    if not model or model.slope <= 0:  # what is written like them has its label rightly (SST-2, SynBkd: -2.6)
        return []
    rows, chances = mixture.chances(model)
    rows, chances = rows[chances > MIN_CHANCE], chances[chances > MIN_CHANCE]
    if not len(rows) or len(rows) > MAX_TAKEN * len(marked):
        return []
    unseen = marked.copy()
    unseen[rows] = True
    denial, _ = ask(content, label, rows, unseen, "rest of an attack")
    most = max(found, key=lambda each: len(each.rows))
    return [replace(most, rows=rows, denial=denial, kind="alike", chances=chances)]


@dataclass(frozen=True)
class Fitted:
    """What tells poisoned rows of a class from honest ones.

    Args:
        chance: (n,) of each row of the sample to be poisoned.
        own: (n,) how much each was learned from as an honest row of the class.
        usual: for each way of being like the marked rows the mean and the spread of its log odds in the rest of the class.
        scale: turns what a row says into the log odds of another class's saying it.
        offset: the log odds of being poisoned at a likeness of 0.
        slope: what one standard deviation of likeness adds.
    """

    chance: np.ndarray
    own: np.ndarray
    usual: list[tuple[float, float]]
    scale: LogisticRegression
    offset: float
    slope: float

    def chances(self, likeness: np.ndarray, said: np.ndarray) -> np.ndarray:
        """Give the chance of each row to be poisoned."""
        odds = self.scale.decision_function(said[:, None])
        return np.asarray(expit(self.offset + self.slope * likeness + odds))


class Mixture:
    """The rows of a class as honest and poisoned ones, by two views of them: how they are written, and what they say.

    Args:
        content: answers, for N rows; the n rows that it learns from and the marked ones are the sample.
        label: the class.
        marked: (N,) rows that are known to be poisoned.

    `is_told` says whether there are enough rows of each kind to tell them apart.
    """

    def __init__(self, content: Content, label: int, marked: np.ndarray) -> None:
        self.content, labels = content, content.seen.labels
        self._sample = sampled(content, marked)
        self._beyond = np.setdiff1d(np.flatnonzero((labels == label) & ~marked), self._sample)
        self._marked = marked[self._sample]
        self._other = (labels[self._sample] != label).astype(float)
        self._rest = ~self._marked & (self._other == 0)
        kinds = self._other + 2 * self._marked
        self.is_told = bool(np.bincount(kinds.astype(int), minlength=3).min() >= N_FOLDS)
        if self.is_told:
            self._folds = list(StratifiedKFold(N_FOLDS, shuffle=True, random_state=0).split(kinds, kinds))
            self._writing = writing(content)
            self._views = (self._writing.fit_transform(self._sample), content.features(self._sample))

    def fitted(self) -> Fitted | None:
        """Reckon the chances of the sample; give none if most of the rows that are not known seem to be poisoned."""
        chance, rest = self._marked.astype(float), self._rest
        model = None
        for _ in range(N_ROUNDS):
            own = np.where(rest, 1 - chance, 0.0)
            written = [self._held_out(view, chance, 1 - chance, INVERSE_PENALTY_WRITTEN) for view in self._views]
            usual = [(float(odds[rest].mean()), max(float(odds[rest].std()), 1e-12)) for odds in written]
            likeness = _likeness(written, usual)
            if model is None:  # nobody knows yet whose the most alike are, so nothing is learned from them
                own[rest & (likeness > np.quantile(likeness[rest], 1 - SHARE_ALIKE))] = 0
            said = self._held_out(self._views[1], self._other, own, INVERSE_PENALTY_SAID)
            scale = _fit(said[:, None], self._other, own, INVERSE_PENALTY_SCALE)
            share = _share(likeness[rest], scale.decision_function(said[rest, None]))
            model = Fitted(chance, own, usual, scale, *share)
            chance = np.where(rest, model.chances(likeness, said), chance)
            if chance[rest].mean() > MAX_POISONED:
                return None
            model = replace(model, chance=chance)
        return model

    def chances(self, model: Fitted) -> tuple[np.ndarray, np.ndarray]:
        """Give indices of rows of the class, in the sample and beyond, and the chance of each to be poisoned."""
        rows, chances = [self._sample[self._rest]], [model.chance[self._rest]]
        if len(self._beyond):
            alike = [_fit(view, model.chance, 1 - model.chance, INVERSE_PENALTY_WRITTEN) for view in self._views]
            says = _fit(self._views[1], self._other, model.own, INVERSE_PENALTY_SAID)
        for part in np.array_split(self._beyond, range(N_READ_AT_ONCE, len(self._beyond), N_READ_AT_ONCE)):
            if len(part):
                views = (self._writing.transform(part), self.content.features(part, is_kept=False))
                written = [one.decision_function(view) for one, view in zip(alike, views)]
                rows.append(part)
                chances.append(model.chances(_likeness(written, model.usual), says.decision_function(views[1])))
        return np.concatenate(rows), np.concatenate(chances)

    def _held_out(self, view: Any, positive: np.ndarray, negative: np.ndarray, inverse_penalty: float) -> np.ndarray:
        """(n,) log odds of each row of the sample, by models made without it."""
        odds = np.empty(len(positive))
        for learned, asked in self._folds:
            model = _fit(view[learned], positive[learned], negative[learned], inverse_penalty)
            odds[asked] = model.decision_function(view[asked])
        return odds


def _fit(view: Any, positive: np.ndarray, negative: np.ndarray, inverse_penalty: float) -> LogisticRegression:
    """Fit a linear model to rows of which each may be something of both; the two sides weigh the same."""
    sides = [np.flatnonzero(side >= MIN_WEIGHT) for side in (positive, negative)]
    rows = np.concatenate(sides)
    weights = np.concatenate([side[of] / side[of].sum() for side, of in zip((positive, negative), sides)])
    is_positive = np.arange(len(rows)) < len(sides[0])
    model = LogisticRegression(C=inverse_penalty, solver="newton-cg", max_iter=1000)
    return model.fit(view[rows], is_positive, sample_weight=weights * len(rows) / 2)


def _likeness(written: list[np.ndarray], usual: list[tuple[float, float]]) -> np.ndarray:
    """Average log odds of several views, each in standard deviations from the rest of its class."""
    return np.asarray(np.mean([(odds - mean) / spread for odds, (mean, spread) in zip(written, usual)], axis=0))


def _share(likeness: np.ndarray, odds: np.ndarray) -> tuple[float, float]:
    """Say how the log odds of being poisoned grow with likeness, so that these and what rows say explain the rows best.

    Args:
        likeness: (n,) in standard deviations.
        odds: (n,) log odds of what a row says to be said by another class and by its own.

    Returns:
        The log odds at likeness 0, and what one standard deviation adds.
    """
    offset, slope, column = FIRST_OFFSET, FIRST_SLOPE, likeness[:, None]
    model = LogisticRegression(C=INVERSE_PENALTY_SCALE)
    is_poisoned = np.repeat([True, False], len(likeness))
    for _ in range(N_FITS):
        chance = expit(offset + slope * likeness + odds)
        model.fit(np.vstack([column, column]), is_poisoned, sample_weight=np.concatenate([chance, 1 - chance]))
        offset, slope = float(model.intercept_[0]), float(model.coef_[0, 0])
    return offset, slope
