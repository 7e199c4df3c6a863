"""Is a word where it belongs? One that was put into rows at random looks no better in its places than in other ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from datasets import Dataset
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from cleanfit.detectors.content import Content, linear
from cleanfit.detectors.phrases import Phrase, Span, gaps, put, without
from cleanfit.detectors.suspects import Evidence
from cleanfit.seeding import generator
from cleanfit.states import states_at

N_LEARNED = 1000  # rows into which words of another one are put, to learn what that looks like
MIN_LEARNED = 50  # who has seen fewer knows nothing
# Every so many are kept from it, to see whether it tells them apart at all: it does so with an AUROC of 0.77 to 0.83 on SST-2,
# and not where words have no order (lists, keywords).
N_FOLDS, MIN_AUROC = 5, 0.7
N_PUT, N_NATURAL = 2, 6  # what is put into each such row, and how much of its own is told from it
MAX_WORDS = 2  # of each thing that is put there
INVERSE_PENALTY = 1  # at 30 the log-odds of one word differ by 0.9 from probe to probe, at 1 by 0.2
N_OWN, N_MOVED = 40, 4  # rows of a suspect that are looked at, and other places in each that it is moved to
N_FIRST, SPREAD_OF_FIRST = 12, 0.25  # rows that most suspects are acquitted by, and by how much less than is asked
MAX_TOKENS = 4  # of each thing that is put into rows
MIN_WHOLE = 0.8  # share of its places at which a suspect is a whole word


Spot = tuple[int, Span, int]  # a row, what is moved there, and whereto


@dataclass(frozen=True)
class Placement:
    """How a word stands in its rows.

    Args:
        oddness: mean log-odds that it was put there rather than written, where both are as likely beforehand.
        better: share of random other places of the same rows that look odder; a half, by chance, if it was put there at
            random.
    """

    oddness: float
    better: float


class Places:
    """Tells words that were put into rows from words that were written there, by the untouched model's states around them.

    Args:
        content: its rows are learned from: into each a word of another one is put at random, and told from its own words.

    Source: ours. As in replaced-token detection (Clark et al., ICLR 2020), but on states of the untouched model, with whole
    words inserted, and each suspect compared with itself in other places, so that how odd the word is anywhere does not count.
    """

    def __init__(self, content: Content) -> None:
        self.content, self.task = content, content.task
        self._tokens = self.task.rows.with_format(None)
        n_tokens = len(self.task.tokenizer)
        pieces = self.task.tokenizer.convert_ids_to_tokens(list(range(n_tokens)))
        begins = np.array([str(piece).startswith(("Ġ", "▁")) for piece in pieces])
        goes_on = np.array([str(piece).startswith("##") for piece in pieces])  # WordPiece marks what goes on
        is_start = begins if begins.sum() > goes_on.sum() else ~goes_on
        self._is_special = np.isin(np.arange(n_tokens), self.task.tokenizer.all_special_ids)
        self._is_bound = is_start | self._is_special

    def placements(self, suspects: Sequence[Evidence], min_oddness: float) -> list[Placement | None]:
        """Look at how each suspect stands in its rows.

        Args:
            suspects: tokens, each with what stands beside it and its rows.
            min_oddness: those that look much less odd in some first rows are not looked at any further.

        Returns:
            For each its placement, or None if it is no whole words, or does not look odd.
        """
        found: list[Placement | None] = [None] * len(suspects)
        if not suspects or self._probe is None:
            return found
        random = generator(self.task.settings.seed, "places")
        drawn = {i: self._drawn(each, random) for i, each in enumerate(suspects) if self._is_bound[each.pieces[0]]}
        drawn = {i: spots for i, spots in drawn.items() if spots}
        first = self._odd([[(row, span, span[0]) for row, span in spots[:N_FIRST]] for spots in drawn.values()])
        odd = [i for i, part in zip(drawn, first) if part.mean() >= min_oddness - SPREAD_OF_FIRST]
        moved = [
            [(row, span, place) for row, span in drawn[i] for place in (span[0], *self._others(row, span, random))]
            for i in odd
        ]
        for i, part in zip(odd, self._odd(moved)):
            own, others = np.split(part.reshape(-1, 1 + N_MOVED), [1], axis=1)
            found[i] = Placement(float(own.mean()), float((others > own).mean()))
        return found

    def n_words(self, phrase: Phrase) -> int:
        """Count the words that begin in a run of tokens; punctuation marks are words of their own."""
        return int(self._is_bound[list(phrase)].sum())

    def word(self, phrase: Phrase, token_id: int) -> Phrase:
        """Give the word of a run of tokens that one of them is in."""
        place, bounds = phrase.index(token_id), np.flatnonzero(self._is_bound[list(phrase)])
        start = bounds[bounds <= place].max(initial=0)
        end = bounds[bounds > place].min(initial=len(phrase))
        return phrase[start:end]

    def _drawn(self, suspect: Evidence, random: np.random.Generator) -> list[tuple[int, Span]]:
        """Draw rows of a suspect, each with its first place there; none if it is mostly a part of longer words."""
        spots, n_whole = [], 0
        for row in random.permutation(suspect.rows)[:N_OWN].tolist():
            ids = self._tokens[row]["input_ids"]
            for span in gaps(ids, suspect.pieces)[:1]:
                is_whole = span[1] < len(ids) and self._is_bound[ids[span[1]]]
                n_whole += is_whole
                if is_whole and len(self._places_for(ids, span)) > 1:  # its own place is one of them
                    spots.append((row, span))
        return spots if n_whole >= MIN_WHOLE * len(suspect.rows[:N_OWN]) else []

    def _others(self, row: int, span: Span, random: np.random.Generator) -> list[int]:
        """Draw places of a row that what stands in a span could be moved to."""
        return [int(place) for place in random.choice(self._places_for(self._tokens[row]["input_ids"], span), N_MOVED)]

    def _places_for(self, ids: Sequence[int], span: Span) -> np.ndarray:
        return self.bounds([*ids[: span[0]], *ids[span[1] :]])

    def _odd(self, groups: Sequence[Sequence[Spot]]) -> list[np.ndarray]:
        """Give for each spot the log-odds that what stands there was put there, once it is moved to its place."""
        spots = [spot for group in groups for spot in group]
        if not spots or self._probe is None:
            return [np.empty(0) for _ in groups]
        made, spans = [], []
        for row, (start, end), place in spots:
            whole = self._tokens[row]
            phrase = tuple(whole["input_ids"][start:end])
            made.append(put(without(whole, ((start, end),)), phrase, place, len(whole["input_ids"])))
            spans.append([(place, place + len(phrase))])
        odd = self._probe.decision_function(self._states(made, np.array(spans))[:, 0])
        return np.split(odd, np.cumsum([len(group) for group in groups])[:-1])

    @cached_property
    def _probe(self) -> LogisticRegression | None:
        """Tell a word that was put into a row from the other words of that row; None if nobody can."""
        made, spans = self._made()
        if len(made) < MIN_LEARNED:
            return None
        states = self._states(made, spans)  # (n, 1 + N_NATURAL, F)
        is_put = np.zeros(states.shape[:2], dtype=bool)
        is_put[:, :N_PUT] = True
        is_held = np.arange(len(made)) % N_FOLDS == 0
        probe = linear(INVERSE_PENALTY).fit(np.concatenate(states[~is_held]), is_put[~is_held].ravel())
        odd = probe.decision_function(np.concatenate(states[is_held]))
        return probe if roc_auc_score(is_put[is_held].ravel(), odd) >= MIN_AUROC else None

    def _made(self) -> tuple[list[dict[str, Any]], np.ndarray]:
        """Put a word of another row into each of some rows; (n, 1 + N_NATURAL, 2) are its span and those of other words."""
        random = generator(self.task.settings.seed, "words out of place")
        rows = random.permutation(self.content.learned)[:N_LEARNED].tolist()
        made, spans = [], []
        for row, other in zip(rows, rows[1:] + rows[:1]):
            n_words = int(random.integers(1, MAX_WORDS + 1))
            ids = self._tokens[other]["input_ids"]
            words = [ids[start:end] for start, end in self._runs(ids, n_words) if end - start <= MAX_TOKENS]
            changed, inside = self._with_some(self._tokens[row], words, random)
            runs = self._runs(changed["input_ids"], n_words)
            outside = [run for run in runs if all(run[1] <= start or run[0] >= end for start, end in inside)]
            if len(inside) == N_PUT and outside:
                made.append(changed)
                spans.append([*inside, *(outside[k] for k in random.integers(len(outside), size=N_NATURAL))])
        return made, np.array(spans)

    def _with_some(
        self, row: dict[str, Any], words: list[list[int]], random: np.random.Generator
    ) -> tuple[dict[str, Any], list[Span]]:
        """Put some of the words into a row, each at a place of its own; and say where they are now."""
        max_length, inside = self.task.settings.max_length, list[Span]()
        if (n_over := row["length"] + N_PUT * MAX_TOKENS - max_length) > 0:  # it ends earlier, so that nothing is lost
            row = without(row, ((max(row["length"] - 1 - n_over, 1), row["length"] - 1),))
        places = random.permutation(self.bounds(row["input_ids"]))[: N_PUT if words else 0]
        for place in sorted(places.tolist(), reverse=True):
            word = words[random.integers(len(words))]
            row = put(row, tuple(word), place, max_length)
            inside = [(place, place + len(word)), *((start + len(word), end + len(word)) for start, end in inside)]
        return row, inside

    def bounds(self, ids: Sequence[int]) -> np.ndarray:
        """Give the places of a row at which words start, and the one behind its last word."""
        return 1 + np.flatnonzero(self._is_bound[np.asarray(ids[1:], dtype=int)])

    def _runs(self, ids: Sequence[int], n_words: int) -> list[Span]:
        """List the spans of so many words of a row."""
        bounds = self.bounds(ids).tolist()
        return [
            (start, end)
            for k, (start, end) in enumerate(zip(bounds, bounds[n_words:]))
            if not self._is_special[[ids[place] for place in bounds[k : k + n_words]]].any()
        ]

    def _states(self, made: list[dict[str, Any]], spans: np.ndarray) -> np.ndarray:
        """Give (n, P, F) features of length 1 of the (n, P, 2) spans of rows."""
        order = np.argsort([-row["length"] for row in made], kind="stable")  # as they are read
        rows = Dataset.from_list([made[i] for i in order])
        read = self.task.observe(self.task.load_model(), rows, read=states_at(spans[order])).states
        states = np.empty_like(read)
        states[order] = read
        return np.asarray(states / np.maximum(np.linalg.norm(states, axis=2, keepdims=True), 1e-12))
