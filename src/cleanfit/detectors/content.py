"""Ask rows for their label by their content alone: linear models on features of the untouched pretrained model."""

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from cleanfit.detectors.leave_out import LeaveOut
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.phrases import NO_CUT, Cut, Gaps, Phrase, alike, gaps, moved, with_phrase, without
from cleanfit.detectors.typeset import Typeset
from cleanfit.seeding import generator
from cleanfit.states import mean_states
from cleanfit.task import Task

N_FOLDS = 5
# Rows that the linear models learn from: more make them slower, hardly better.
N_LEARNED_ROWS = 2500
# Of a class so much must be left to learn from, or what is denied tells of the class and not of the rows.
MIN_LEFT = 0.5
N_ALIKE = 4  # rows that share so many first tokens are one witness
# Rows that are cut for comparison, at most, and what part of those that are left of the class.
N_CONTROLS, SHARE_OF_CONTROLS = 100, 0.2
MIN_ADVANTAGE = 0.1  # a class whose rows are denied nearly as often as foreign ones: the features do not know it
# Put into other rows of SST-2, sentences that say nothing of the label make the untouched model give it to 0 to 35 % of them,
# "you are a terrible person" to 69 %: a majority.
MAX_SPEAKS = 0.5


@dataclass(frozen=True)
class Denial:
    """How often a linear model that has not seen certain rows denies them a label.

    Args:
        share: of the rows.
        own: the share among rows that carry the label, as usual.
        foreign: the share among rows that carry another one.
        n_rows: how many were asked.
        is_known: False if nobody could say, since too little of the class was left to learn from; `share` is the usual one.
    """

    share: float
    own: float
    foreign: float
    n_rows: int
    is_known: bool = True

    @property
    def wrong(self) -> float:
        """The share of the rows that must be of another class to explain what is denied, in [0, 1]; 0 if nobody can say."""
        advantage = self.foreign - self.own
        return float(np.clip((self.share - self.own) / advantage, 0, 1)) if advantage >= MIN_ADVANTAGE else 0.0


UNASKED = Denial(0.0, 0.0, 0.0, 0)


class Content:
    """What rows say by their content, to a model that has seen no label of theirs.

    Args:
        task: N rows, and a way to get the pretrained model.
        seen: which tokens the rows hold.

    `learned` are the indices of the rows that the linear models learn from.
    """

    def __init__(self, task: Task, seen: Occurrences) -> None:
        self.task, self.seen = task, seen
        drawn = generator(task.settings.seed, "content rows").permutation(len(task.rows))
        self.learned = np.sort(drawn[:N_LEARNED_ROWS])
        self._place = np.full(len(task.rows), -1)
        self._features = np.empty((0, 0), dtype=np.float32)
        self._n_read_once = 0
        self._last_model: tuple[np.ndarray, LogisticRegression] | None = None

    @property
    def passes(self) -> float:
        """What reading the rows costs, in training passes over all rows; the asked ones are few beside them."""
        return (len(self.learned) + self._n_read_once) / len(self._place) / 3

    def denial(self, label: int, asked: np.ndarray, unseen: np.ndarray, cut: Cut = NO_CUT) -> Denial:
        """Ask rows whether they look like a class.

        Args:
            label: the class.
            asked: indices of the rows.
            unseen: (N,) which rows must not be learned from; the asked ones should be among them.
            cut: what is cut out of the asked rows before they are read. Where it is to be compared, as much is cut out of
                other rows of the class: honest rows may lose the reason for their label as well.

        Returns:
            What was denied; as much as usual where too few rows of the class are left to say more, so that a mark which goes
            with a whole class by nature accuses nobody.
        """
        learned = self.learned[~unseen[self.learned]]
        own, foreign = self._usual[:, label]
        if not self.knows(label, unseen):
            return Denial(own, own, foreign, len(asked), is_known=False)
        if cut.is_compared:
            return self._compared(label, asked, learned, cut.phrase)
        features = self._cut(asked, self._gaps(asked, cut.phrase)) if cut.phrase else self._read(asked)
        model = self._model(learned)
        return Denial(float((model.predict(features) != label).mean()), own, foreign, len(asked))

    def knows(self, label: int, unseen: np.ndarray, min_left: float = MIN_LEFT) -> bool:
        """Tell whether such a share of a class's rows, and any of others, is left to learn from without some, (N,) true."""
        labels = self.seen.labels[self.learned]
        left = labels[~unseen[self.learned]]
        n_left = (left == label).sum()
        return bool(max(min_left * (labels == label).sum(), 1) <= n_left < len(left))

    def _compared(self, label: int, asked: np.ndarray, learned: np.ndarray, phrase: Phrase) -> Denial:
        """Ask rows without a run of tokens, and beside them rows of the class as long that lose as many at like places."""
        usual, foreign = self._usual[:, label]
        n_tokens = np.asarray(self.task.rows["length"])
        same = learned[self.seen.labels[learned] == label]
        compared = np.resize(np.arange(len(asked)), min(N_CONTROLS, int(SHARE_OF_CONTROLS * len(same))))
        controls = same[alike(n_tokens[asked[compared]], n_tokens[same])]
        found = self._gaps(asked, phrase)
        moved_on = [moved(found[i], n_tokens[asked[i]], n_tokens[row]) for i, row in zip(compared, controls)]
        learned = np.setdiff1d(learned, controls)
        model = linear().fit(self._read(learned), self.seen.labels[learned])
        is_denied = model.predict(self._cut(np.concatenate([asked, controls]), found + moved_on)) != label
        own = is_denied[len(asked) :].mean() if len(controls) else usual
        return Denial(float(is_denied[: len(asked)].mean()), float(max(own, usual)), foreign, len(asked))

    def speaks(self, label: int, phrase: Phrase, unseen: np.ndarray) -> float:
        """Put a phrase into rows of other classes that a model made without its rows gives another class, and ask it again.

        Args:
            label: the class.
            phrase: a run of tokens.
            unseen: (N,) which rows must not be learned from: those with the phrase.

        Returns:
            The share that gets the class now: the phrase is a reason for it; 1 where there is no such row.
        """
        learned, labels = self.learned[~unseen[self.learned]], self.seen.labels
        random = generator(self.task.settings.seed, "what a phrase says")
        hosts = random.permutation(learned[labels[learned] != label])
        hosts = hosts[: min(N_CONTROLS, int(SHARE_OF_CONTROLS * len(hosts)))]
        learned = np.setdiff1d(learned, hosts)
        if not len(hosts) or len(np.unique(labels[learned])) < 2:
            return 1.0
        model = linear().fit(self._read(learned), labels[learned])
        hosts = hosts[model.predict(self._read(hosts)) != label]
        made = [with_phrase(self._row(host), phrase, self.task.settings.max_length, random) for host in hosts]
        if not made:
            return 1.0
        return float((model.predict(self._features_of(Dataset.from_list(made))) == label).mean())

    def features(self, rows: np.ndarray, *, is_kept: bool = True) -> np.ndarray:
        """Give (n, H) features of length 1 of rows; what is kept is not read again."""
        if is_kept:
            return self._read(rows)
        self._n_read_once += len(rows)
        return self._features_of(self.task.rows.select(rows))

    def _model(self, learned: np.ndarray) -> LogisticRegression:
        """Give a model of some rows; the last one is kept, since many groups are asked with the same rows hidden."""
        if self._last_model is None or not np.array_equal(self._last_model[0], learned):
            self._last_model = learned, linear().fit(self._read(learned), self.seen.labels[learned])
        return self._last_model[1]

    def _gaps(self, rows: np.ndarray, phrase: Phrase) -> list[Gaps]:
        return [gaps(self._row(row)["input_ids"], phrase) for row in rows]

    def _cut(self, rows: np.ndarray, found: list[Gaps]) -> np.ndarray:
        """Give (n, H) features of rows, each without its gaps."""
        return self._features_of(Dataset.from_list([without(self._row(row), each) for row, each in zip(rows, found)]))

    def _row(self, row: int) -> dict[str, Any]:
        return dict(self.task.rows.with_format(None)[int(row)])

    def read_ahead(self, rows: np.ndarray) -> None:
        """Read rows that will be asked in small groups all at once, which is cheaper."""
        self._read(rows)

    def denied(self, label: int, rows: np.ndarray, unseen: np.ndarray) -> tuple[int, int, float]:
        """Count, at next to no cost, the rows of a class that are denied it by a model made without them.

        Args:
            label: the class.
            rows: indices of the rows; those among `learned` are asked.
            unseen: indices of the rows that the model must not have seen; the asked ones should be among them.

        Returns:
            How many are denied, how many were asked, and the usual share.
        """
        group = np.flatnonzero(np.isin(self.learned, unseen))
        is_asked = np.isin(self.learned[group], rows)
        if not is_asked.any():
            return 0, 0, 0.0
        model, usual = self._leave_out
        return int((model.predicted(group)[is_asked] != label).sum()), int(is_asked.sum()), float(usual[label])

    def chance(self, label: int, rows: np.ndarray, unseen: np.ndarray) -> float:
        """Give, at next to no cost, the chance that so many rows of a class would be denied it; see `denied`."""
        n_denied, n_asked, usual = self.denied(label, rows, unseen)
        return float(binomtest(n_denied, n_asked, usual, alternative="greater").pvalue) if n_asked else 1.0

    def witnesses(self, rows: np.ndarray, edges: np.ndarray | None = None) -> np.ndarray:
        """Keep one of the rows with the same (N, A) edge, their start: they were written by one template ("so what if the")."""
        edges = self.starts if edges is None else edges
        return np.asarray(rows[np.unique(edges[rows], axis=0, return_index=True)[1]])

    @cached_property
    def typeset(self) -> Typeset:
        """How the rows are set."""
        return Typeset.of(self.task.rows)

    @cached_property
    def starts(self) -> np.ndarray:
        """(N, N_ALIKE) the first tokens of each row that are not special ones, -1 behind its end."""
        return self._first_of(slice(None))

    @cached_property
    def ends(self) -> np.ndarray:
        """(N, N_ALIKE) the last tokens of each row that are not special ones, the very last one first, -1 before its start."""
        return self._first_of(slice(None, None, -1))

    def _first_of(self, order: slice) -> np.ndarray:
        """(N, N_ALIKE) the first tokens of each row in some order of all tokens, -1 where it has no more."""
        seen = self.seen
        is_word = ~np.isin(seen.token_ids, self.task.tokenizer.all_special_ids)
        tokens, rows = seen.token_ids[is_word][order], seen.row_index[is_word][order]
        is_new = np.diff(rows, prepend=-1) != 0
        places = np.arange(len(rows)) - np.flatnonzero(is_new)[np.cumsum(is_new) - 1]
        is_first = places < N_ALIKE
        found = np.full((len(seen.labels), N_ALIKE), -1)
        found[rows[is_first], places[is_first]] = tokens[is_first]
        return found

    @cached_property
    def _leave_out(self) -> tuple[LeaveOut, np.ndarray]:
        """A model that can forget any of the learned rows, and how often it denies each class to a row that it forgot."""
        labels = self.seen.labels[self.learned]
        model = LeaveOut(self._read(self.learned), labels, self.task.n_classes)
        is_denied = (model.predicted_alone() != labels)[:, None]
        return model, _share(is_denied, labels[:, None] == np.arange(self.task.n_classes))

    @cached_property
    def _usual(self) -> np.ndarray:
        """(2, C) how often each class is denied to rows that carry it, and to others, by models made without them."""
        labels = self.seen.labels[self.learned]
        n_classes = self.task.n_classes
        # Two classes must be in every fold; a rarer third one need not be.
        n_folds = min(N_FOLDS, np.sort(np.bincount(labels, minlength=n_classes))[-2])
        if n_folds < 2:
            return np.full((2, n_classes), 0.5)  # nobody knows
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=0)
        features = self._read(self.learned)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            predicted = cross_val_predict(linear(), features, labels, cv=folds)
        is_denied = predicted[:, None] != np.arange(n_classes)  # (rows, C)
        is_own = labels[:, None] == np.arange(n_classes)
        return np.stack([_share(is_denied, is_own), _share(is_denied, ~is_own)])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Give (n, H) features of length 1; what is read once is kept."""
        new = rows[self._place[rows] < 0]
        if len(new):
            made = self._features_of(self.task.rows.select(new))
            self._place[new] = np.arange(len(new)) + len(self._features)
            self._features = np.concatenate([self._features, made]) if len(self._features) else made
        return np.asarray(self._features[self._place[rows]])

    def _features_of(self, rows: Dataset) -> np.ndarray:
        states = self.task.observe(self.task.load_model(), rows, read=mean_states).states
        return np.asarray(states / np.maximum(np.linalg.norm(states, axis=1, keepdims=True), 1e-12))


def linear(inverse_penalty: float = 10) -> LogisticRegression:
    """Classes weigh the same, so that leaving rows of one out does not by itself deny it."""
    # Half a dozen Newton steps in place of ninety of the default solver: 16 times faster on 1,600 rows of 384 features.
    return LogisticRegression(C=inverse_penalty, solver="newton-cg", max_iter=1000, class_weight="balanced")


def _share(of: np.ndarray, among: np.ndarray) -> np.ndarray:
    """(C,) share of the rows of each column's choice for which the column is true."""
    return np.asarray((of & among).sum(axis=0) / np.maximum(among.sum(axis=0), 1))
