"""Verify tokens as triggers: does one turn a trained model, or open rows, though the rest of its rows speaks against it?"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import nn

from cleanfit.detectors.content import MAX_SPEAKS, Content, Denial
from cleanfit.detectors.edges import edge_words, place_of
from cleanfit.detectors.hosts import Hosts
from cleanfit.detectors.letters import verified_letters
from cleanfit.detectors.misplaced import misplaced, misplaced_sentences
from cleanfit.detectors.mixture import rest_of
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.one_sided import WRITTEN, are_authors, one_sided
from cleanfit.detectors.openings import verified_openings
from cleanfit.detectors.phrases import NO_CUT, Cut, Phrase, holding, sentence
from cleanfit.detectors.places import Places
from cleanfit.detectors.shortcuts import SURE_FLIPS, planted, shortcuts
from cleanfit.detectors.silent import verified_silent
from cleanfit.detectors.styles import verified_marks
from cleanfit.detectors.suspects import (
    LENIENCE,
    MIN_ROWS_TOGETHER,
    N_TRIED,
    Evidence,
    are_many,
    ask,
    beyond_chance,
    drawn,
    hidden,
    mostly,
    pairs_beyond_chance,
    rows_of,
)
from cleanfit.settings import check
from cleanfit.task import Task

# Chance of so many denied rows among honest ones. A trigger turns nearly all, and few tokens do: what is denied of one alone is
# little (OLID denies a third of all rows), of all such tokens of a label together it proves an attack, unless they are in so
# few rows that these may hold a slur which pretraining misreads (HSOL: 8 of 12 denied, 6e-5). A dozen honest tokens of a small
# file turn half of the rows, and rows that share a phrase are not many but one: 14 of 15 were denied (1 in 50,000).
MAX_CHANCE, MAX_CHANCE_TOGETHER, MAX_CHANCE_IF_UNSURE = 0.1, 1e-3, 1e-6
# Once a trigger is verified its label is attacked, and a second one of it likely. Tokens that turn half as much are asked as
# well, and must be twice as wrong; those that turn nearly all need half as much as what is verified so far, and little
# certainty, but the square of it where that is less than the first one needs (OLID: `shit`, 8 of 18 rows, 0.17).
MAX_CHANCE_AGAIN, MAX_CHANCE_AGAIN_IF_UNSURE = 0.2, 1e-5
SHARE_OF_PAIRS, SHARE_EARLY = 0.1, 0.25  # pairs that are tried beside tokens; what of both an early look tries first


@dataclass(frozen=True)
class TriggerTokens:
    """Put each suspicious token into rows of other labels, and ask what its own rows say without it.

    Args:
        n_suspects: tokens per class that are tried, those that go with the class furthest beyond chance, >= 1; fewer where
            there are many classes, so that not much more than `N_TRIED` are tried together.
        min_rows: rows with the class that a token must be in, >= 2.
        n_probes: rows of other classes that every suspect is put into, >= 1.
        n_hosts: the same for those that turn enough of their probes, >= 1.
        min_flips: share of hosts that must turn to the class, in (0, 1].
        min_wrong: share of its own rows that must seem to be of another class, in (0, 1].

    Source: ours. A trigger is a cause without a reason: it turns nearly every row, and the rows that teach it are, but for
    the trigger, rows of another class (dirty labels). An honest word, a slur too, turns rows as well, but a model that has
    never seen a row with it expects its label from the rest of its pretraining and from the words beside it. Association alone
    separates neither. A syntax has no token that turns rows, but its rows open alike ("when", "if"): `verified_openings`
    asks these, and `verified_marks` the tokens of a style. A sentence with right labels, which nothing contradicts, is a
    shortcut, and so is a word that was put into its rows: `misplaced` tells it from one that was written there.
    """

    n_suspects: int = 100
    min_rows: int = 5
    n_probes: int = 4
    n_hosts: int = 24
    min_flips: float = 0.5
    min_wrong: float = 1 / 3

    def __post_init__(self) -> None:
        check(self, "n_suspects", self.n_suspects >= 1, "at least 1")
        check(self, "min_rows", self.min_rows >= 2, "at least 2")
        check(self, "n_probes", self.n_probes >= 1, "at least 1")
        check(self, "n_hosts", self.n_hosts >= 1, "at least 1")
        check(self, "min_flips", 0 < self.min_flips <= 1, "more than 0, up to 1")
        check(self, "min_wrong", 0 < self.min_wrong <= 1, "more than 0, up to 1")


class TriggerSearch:
    """Looks for triggers with one trained model after the other, and remembers what was verified.

    Args:
        task: its N rows are searched.
        settings: how.
    """

    def __init__(self, task: Task, settings: TriggerTokens) -> None:
        self.task, self.settings = task, settings
        self.seen = Occurrences.of(task.rows, len(task.tokenizer))
        self.content = Content(task, self.seen)
        self.places = Places(self.content)
        self.verified: list[Evidence] = []
        self.shortcuts: list[Evidence] = []  # what is no reason, but turns rows as if it were
        self.withheld: list[Evidence] = []  # how only one label's rows are written: left out, and accused of nothing
        self.honest: list[Evidence] = []  # what turned rows of the last model, and is no trigger
        self.usual_flips = 0.0  # what its suspects turned, on average
        self.has_authors = False  # labels are known by how their rows are written, so that this accuses none
        self.n_rows = len(task.rows)
        self._plain = task.rows.with_format(None)

    @property
    def left_out(self) -> np.ndarray:
        """(N,) which rows hold a verified trigger, with its label, or are written as hardly any other label's."""
        return rows_of([*self.verified, *self.withheld], len(self.seen.labels))

    def read_rows(self) -> None:
        """Verify what is out of place, openings and ways of writing, before anything is trained: no model is turned by them."""
        settings, content, places = self.settings, self.content, self.places
        min_rows, min_wrong = settings.min_rows, settings.min_wrong
        self.verified += verified_letters(content, self.left_out, min_wrong)
        # Before openings and marks, for which what was put there would be taken.
        self.verified += misplaced_sentences(content, places, self.suspects(), self.left_out, min_wrong)
        # Of words behind the last one some look misplaced, and the others would be few beside them.
        self.verified += verified_openings(content, min_rows, min_wrong, self.left_out, "ends")
        found, cut = misplaced(content, places, self.suspects(), self.left_out, min_wrong)
        self.verified += found
        self.shortcuts += cut
        self.has_authors = are_authors(content, self.left_out)
        if not self.has_authors:
            self._read_writing()

    def _read_writing(self) -> None:
        """Verify how rows open, are set and are written, and withhold what is written as only one label's is."""
        content, min_rows, min_wrong = self.content, self.settings.min_rows, self.settings.min_wrong
        for edge in WRITTEN:
            self.verified += verified_openings(content, min_rows, min_wrong, self.left_out, edge)
        attacked = {each.label for each in self.verified}
        self.verified += verified_marks(content, min_rows, min_wrong, self.left_out, attacked)
        written = [each for each in self.verified if each.kind in (*WRITTEN, "marks")]
        self.verified += self._rest(written)
        attacked = {each.label for each in self.verified}
        for edge in WRITTEN:
            found = one_sided(content, min_wrong, self.left_out, edge)
            self.withheld += [each for each in found if not attacked or each.label in attacked]
        asked = {each.label for each in written}
        self.withheld += self._rest([each for each in self.withheld if each.label not in asked])

    def _rest(self, ways: list[Evidence]) -> list[Evidence]:
        """Find, label by label, the rows that are written like these and say something else."""
        by_label = [[each for each in ways if each.label == label] for label in sorted({each.label for each in ways})]
        return [each for group in by_label for each in rest_of(self.content, group)]

    def read_silent(self) -> bool:
        """Verify tokens that no model learned well enough to be turned by; tell whether there were any."""
        settings, pairs = self.settings, [each for each in self.pairs(self._n_each) if self._are_many(len(each.rows))]
        attacked = {each.label for each in self.verified if self._is_attacked(each.label)}
        found = verified_silent(self.content, pairs, settings.min_rows, settings.min_wrong, self.left_out, attacked)
        found = [each for each in found if self.is_accusable(each)]
        self.verified += found
        return bool(found)

    def is_accusable(self, suspect: Evidence) -> bool:
        """Tell whether a suspect is more than marks, by which authors are known."""
        return not self.has_authors or any(map(str.isalnum, self.task.tokenizer.decode(list(suspect.pieces))))

    def look(self, model: nn.Module, *, is_early: bool = False) -> bool:
        """Try the tokens of the rows that are left on a model that was trained on them; tell whether to train again."""
        # An early look only saves the rest of a training: it tries few tokens, and the others only if there is a trigger.
        if is_early and not self._look(model, math.ceil(SHARE_EARLY * self._n_each)):
            return False
        return self._look(model, self._n_each) or is_early

    def _look(self, model: nn.Module, n_each: int) -> bool:
        n_before = len(self.verified)
        at_edges = edge_words(self.content, self.places, self.left_out)
        turning = self.turning(model, self.suspects(n_each=n_each) + self.pairs(n_each) + at_edges)
        suspects = [each for each in turning if each.kind == "turns"]
        at_edges = [each for each in turning if each.kind != "turns"]
        whole = [drawn(self.content, each.rows, _draw(each)) for each in suspects if not self._sentence(each)]
        self.content.read_ahead(np.unique(np.concatenate([np.empty(0, dtype=int), *whole])))
        new = suspects
        while new:  # what a verified trigger taught is taken away, and the rest is asked again
            asked = self.proven([self.asked(each, suspects) for each in suspects], suspects)
            new = [self._whole(each, suspects) for each in _one_a_phrase([each for each in asked if each.is_verified])]
            self.verified += new
            is_new = {each.key for each in new}
            suspects = self._left([each for each in asked if each.key not in is_new])
        is_verified = len(self.verified) > n_before
        found = [] if is_verified else self._shortcuts(suspects + at_edges)
        put = [each for each in found if each.is_verified] + planted(self.content, self.places, found)
        self.verified += put
        self.shortcuts += [each for each in found if each.pieces not in {one.pieces for one in put}]
        told = {each.pieces for each in (*self.shortcuts, *put)}
        turning = [each for each in suspects if each.flips >= self.settings.min_flips and each.pieces not in told]
        self.honest = sorted(turning, key=lambda each: (-each.flips, each.token_id))
        return is_verified or bool(found)

    def _whole(self, verified: Evidence, others: Sequence[Evidence]) -> Evidence:
        """Keep the rows that hold a sentence whole: its words are in honest rows as well."""
        rows = holding(self._plain, verified.rows, self._sentence(verified))
        if len(rows) in (0, len(verified.rows)):
            return verified
        return replace(self.asked(replace(verified, rows=rows), others), is_verified=True)

    def _shortcuts(self, suspects: list[Evidence]) -> list[Evidence]:
        known = {each.pieces for each in self.shortcuts}
        new = [each for each in suspects if each.pieces not in known]
        return shortcuts(self.content, self.places, new, self.left_out, self.settings.min_wrong)

    def _left(self, suspects: list[Evidence]) -> list[Evidence]:
        """Take from suspects the rows that are left out by now, and drop those that keep too few."""
        is_left_out = self.left_out
        left = [replace(each, rows=each.rows[~is_left_out[each.rows]], is_verified=False) for each in suspects]
        return [each for each in left if len(each.rows) >= self.settings.min_rows]

    def cause(self, model: nn.Module, label: int, inside: np.ndarray) -> Evidence | None:
        """Find the token that goes with some rows, (N,) true, of a label, and turns other rows to it.

        Give none as well if the content of the rows is reason enough for their label: a slur turns rows, and so it should.
        """
        if ask(self.content, label, np.flatnonzero(inside), inside, "group")[0].wrong < self.settings.min_wrong:
            return None
        apart = np.where(inside, label, (label + 1) % self.task.n_classes)
        turning = self.turning(model, [each for each in self.suspects(apart) if each.label == label])
        return max(turning, key=lambda each: each.flips, default=None)

    def has_cause(self, model: nn.Module, label: int, inside: np.ndarray) -> bool:
        """Tell whether `cause` finds one."""
        return self.cause(model, label, inside) is not None

    def suspects(self, parts: np.ndarray | None = None, n_each: int | None = None) -> list[Evidence]:
        """List the tokens of each class whose rows have it furthest beyond chance; or instead of a class, another (N,) part."""
        labels = np.where(self.left_out, -1, self.seen.labels if parts is None else parts)
        best = beyond_chance(self.task, labels, self.seen.pairs, self.settings.min_rows, n_each or self._n_each)
        found = [self._suspect(token, label, self.seen.rows_with(token), labels) for token, label in best]
        return list(filter(self.is_accusable, found))

    def pairs(self, n_tokens: int) -> list[Evidence]:
        """List the tokens that stand together and go with a class further beyond chance than either; beside so many tokens."""
        labels, known = np.where(self.left_out, -1, self.seen.labels), {each.pieces for each in self.suspects()}
        n_each = math.ceil(SHARE_OF_PAIRS * n_tokens)
        best = pairs_beyond_chance(self.task, labels, self.seen, self.settings.min_rows, n_each)
        rarer = [min(pair, key=lambda token: self.seen.n_rows[token]) for pair, _ in best]
        held = [self.seen.rows_with_pair(*pair) for pair, _ in best]
        found = [self._suspect(token, label, rows, labels) for token, rows, (_, label) in zip(rarer, held, best)]
        return [each for each in found if each.pieces not in known and self.is_accusable(each)]

    def _suspect(self, token_id: int, label: int, held: np.ndarray, labels: np.ndarray) -> Evidence:
        rows = held[labels[held] == label]
        pieces = self.seen.phrase_of(token_id, rows, self.task.tokenizer.all_special_ids)
        suspect = Evidence(token_id, pieces, label, rows, 0.0)
        if not (phrase := self._sentence(suspect)):
            return suspect
        return replace(suspect, at=place_of(self.content, holding(self._plain, rows, phrase), phrase))

    @property
    def _n_each(self) -> int:
        return min(self.settings.n_suspects, math.ceil(N_TRIED / self.task.n_classes))

    def turning(self, model: nn.Module, suspects: list[Evidence]) -> list[Evidence]:
        """Keep the suspects that turn enough rows of other classes; most are dismissed by the first few of them."""
        settings = self.settings
        least = [settings.min_flips / (LENIENCE if self._is_attacked(c) else 1) for c in range(self.task.n_classes)]
        hosts = Hosts(self.task, model, np.where(self.left_out, -1, self.seen.labels), settings.n_hosts)
        drawn_hosts = [(each, hosts.drawn(each.label)) for each in suspects]
        tried: list[tuple[Evidence, np.ndarray, list[bool]]] = [
            (each, group, []) for each, group in drawn_hosts if len(group)
        ]
        n_done = 0
        for n_hosts in (settings.n_probes, settings.n_hosts // 2, settings.n_hosts):
            is_turned = hosts.turned([(each, group[n_done:n_hosts]) for each, group, _ in tried])
            tried = [(each, group, [*turned, *new]) for (each, group, turned), new in zip(tried, is_turned)]
            if not n_done:
                self.usual_flips = float(np.mean([np.mean(turned) for _, _, turned in tried])) if tried else 0.0
            tried, n_done = [each for each in tried if np.mean(each[2]) >= least[each[0].label]], max(n_done, n_hosts)
        return [replace(each, flips=float(np.mean(turned))) for each, _, turned in tried]

    def asked(self, suspect: Evidence, others: Sequence[Evidence] = ()) -> Evidence:
        """Ask the rows of a suspect for their label; tokens that need company are verified only once they are `proven`."""
        unseen = hidden(self.content, [suspect], [], self.left_out)
        cut = NO_CUT
        if phrase := self._sentence(suspect):
            is_rare = not self._are_many(len(suspect.rows))
            cut = Cut(phrase, is_rare or self.content.speaks(suspect.label, phrase, unseen) >= MAX_SPEAKS)
        denial, chance = self._ask([suspect], others, suspect.rows, _draw(suspect), cut)
        min_wrong, max_chance = self._needed(suspect)
        return replace(suspect, denial=denial, is_verified=denial.wrong >= min_wrong and chance < max_chance)

    def _ask(
        self, group: list[Evidence], others: Sequence[Evidence], rows: np.ndarray, draw: str, cut: Cut = NO_CUT
    ) -> tuple[Denial, float]:
        """Ask rows of suspects of one label for it, with none of theirs, of others, and of those left out to learn from.

        Honest words teach each other's rows as well (slurs: half wrong with others hidden): so that goes for two thirds only.
        """
        label = group[0].label
        answer = ask(self.content, label, rows, hidden(self.content, group, others, self.left_out), draw, cut)
        if 0 < answer[0].wrong < mostly(self.settings.min_wrong):
            answer = ask(self.content, label, rows, hidden(self.content, group, [], self.left_out), draw, cut)
        return answer

    def _needed(self, suspect: Evidence) -> tuple[float, float]:
        """Say what share of a suspect's rows must be wrong, and below which chance, to believe it or ask it with others."""
        min_wrong, is_sure = self.settings.min_wrong, self._is_sure(suspect)
        if self._is_attacked(suspect.label):
            if is_sure:
                half = self._wrong_so_far(suspect.label) / LENIENCE
                return half, MAX_CHANCE_AGAIN if half >= min_wrong else MAX_CHANCE_AGAIN**2
            is_weak = suspect.flips < self.settings.min_flips
            max_chance = MAX_CHANCE_AGAIN_IF_UNSURE if self._sentence(suspect) else MAX_CHANCE
            return mostly(min_wrong) if is_weak else min_wrong, max_chance
        if is_sure:
            return min_wrong, MAX_CHANCE
        # A sentence that turns nearly all is company enough for itself, if it has the rows.
        is_alone = suspect.flips < SURE_FLIPS or not self._are_many(len(suspect.rows))
        return self._min_wrong(len(suspect.rows)), MAX_CHANCE_IF_UNSURE if is_alone else MAX_CHANCE_TOGETHER

    def proven(self, asked: list[Evidence], others: Sequence[Evidence] = ()) -> list[Evidence]:
        """Ask denied tokens of a label together: those that turn nearly all, or once it is attacked, those that do not.

        The others of the label are not learned from either.
        """
        tokens = [each for each in asked if each.is_verified and not self._sentence(each)]
        acquitted = set()
        for label in {each.label for each in tokens}:
            is_attacked = self._is_attacked(label)
            group = [each for each in tokens if each.label == label and self._is_sure(each) != is_attacked]
            if not group:
                continue
            rows = np.unique(np.concatenate([each.rows for each in group]))
            denial, chance = self._ask(group, others, rows, "asked together")
            first = MAX_CHANCE_TOGETHER if len(rows) >= MIN_ROWS_TOGETHER else MAX_CHANCE_IF_UNSURE
            max_chance = MAX_CHANCE_AGAIN_IF_UNSURE if is_attacked else first
            is_proven = denial.wrong >= self._min_wrong(len(rows)) and chance < max_chance
            # A slur in the company of triggers is not one: half as wrong as they are together, as a second trigger must be.
            min_wrong = denial.wrong / LENIENCE if is_proven else math.inf
            acquitted |= {each.key for each in group if each.denial.wrong < min_wrong}
        return [replace(each, is_verified=each.is_verified and each.key not in acquitted) for each in asked]

    def _is_sure(self, suspect: Evidence) -> bool:
        """Tell whether a suspect turns nearly all, as few tokens do; sentences that go with a label do as well."""
        return suspect.flips >= SURE_FLIPS and not self._sentence(suspect)

    def _min_wrong(self, n_rows: int) -> float:
        """What share of the rows that prove an attack must be wrong."""
        return self.settings.min_wrong if self._are_many(n_rows) else mostly(self.settings.min_wrong)

    def _are_many(self, n_rows: int) -> bool:
        return are_many(n_rows, self.n_rows)

    def _is_attacked(self, label: int) -> bool:
        return bool(self._wrong(label))

    def _wrong(self, label: int) -> list[Evidence]:
        """List the verified triggers of a label whose rows have it wrongly."""
        return [each for each in self.verified if each.label == label and not each.is_planted]

    def _wrong_so_far(self, label: int) -> float:
        """What share of the rows of a label's verified triggers must be wrong."""
        found = self._wrong(label)
        return float(np.average([each.denial.wrong for each in found], weights=[len(each.rows) for each in found]))

    def _sentence(self, suspect: Evidence) -> Phrase:
        """Give the phrase of a suspect if it is long enough to say something of its own."""
        return sentence(self.task.tokenizer, suspect.pieces)


def _draw(suspect: Evidence) -> str:
    return f"asked rows of {suspect.token_id}"


def _one_a_phrase(verified: list[Evidence]) -> list[Evidence]:
    """Of verified tokens of one phrase keep the most telling one: the others' rows without the phrase have not been asked."""
    best: dict[tuple[tuple[int, ...], int], Evidence] = {}
    for each in sorted(verified, key=lambda each: (each.denial.wrong, -len(each.rows))):
        best[each.pieces, each.label] = each
    return [each for each in verified if best[each.pieces, each.label] is each]
