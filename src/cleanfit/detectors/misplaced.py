"""Find what stands in rows of one label, words or a sentence, as if it had been put there, whatever a model learns of it."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cleanfit.detectors.content import MAX_SPEAKS, Content
from cleanfit.detectors.likeness import chance_of, dispersion
from cleanfit.detectors.phrases import Cut, holding, sentence
from cleanfit.detectors.places import MAX_WORDS, Placement, Places
from cleanfit.detectors.strewn import is_strewn
from cleanfit.detectors.suspects import LENIENCE, MIN_ROWS_TOGETHER, Evidence, are_many, ask, hidden, mostly, rows_of

# A word that was put at random into a dozen rows looks better there than elsewhere in half of the cases, give or take 0.08.
# Mean log-odds of SST-2's triggers are 0.5 to 1.6, of its honest words 0.2 at the most, each give or take 0.2.
MIN_ODDNESS, MAX_BETTER = 0.25, 2 / 3
MIN_ODDNESS_IF_WRONG = -0.25  # and one whose rows are denied, if it looks odd at all
MIN_ROWS, MIN_SHARE = 10, 0.005  # of the rows, that hold a word
MIN_SHARE_IF_RIGHT = 0.03  # of the rows, if these have another reason for their label: of an honest 1,000 two had 23
# Of a class so much must be without them: what all of it holds may be all that it has. In more than half of it their rows stay,
# without them (20 %: OLID's sentence is in 200 of 323 rows, AG News's in 200 of 250).
MIN_LEFT_IF_PUT = 0.1
MIN_PURE = 0.9  # share of a word's rows with the label, if that is right: an attacker's word has no other use
MIN_SPREAD = 1.5  # rows of all of them over those of the first: one odd word may be honest (HSOL's "yo")
# Of so many denied rows, of all of them and of each: then their labels are wrong.
MAX_CHANCE, MAX_CHANCE_EACH = 0.01, 0.1
# A sentence needs no company. Of 20 honest ones (markup) that look put there no more than 0.04 of the rows seem wrong; of ten
# rows with AddSent 0.92 to 1.00, by a chance of 0.009 and 0.04 on OLID and of 0.002 at the most on the other data.
# Half of the labels right, in 100 rows, it is 0.44 to 0.80 wrong, by 2e-3 (OLID) to 1e-32; all right, 0.31 at most.
# At 20 % it may look a little less odd (SST-2, -0.1), since it is a fifth of what the others are compared with.
MAX_CHANCE_SENTENCE, MIN_ODDNESS_SENTENCE = 0.05, 0.0


def is_misplaced(places: Places, suspects: Sequence[Evidence], min_oddness: float = MIN_ODDNESS) -> list[bool]:
    """Tell of each suspect whether it stands in its rows as if it had been put there."""
    return [_is_put(look, min_oddness) for look in places.placements(suspects, min_oddness)]


def _is_put(look: Placement | None, min_oddness: float) -> bool:
    return look is not None and look.oddness >= min_oddness and look.better < MAX_BETTER


def misplaced(
    content: Content, places: Places, suspects: Sequence[Evidence], left_out: np.ndarray, min_wrong: float
) -> tuple[list[Evidence], list[Evidence]]:
    """Find words that were put into rows of one label at random places.

    One such word may be honest, several that go with one label were put there, be the label of their rows wrong or right.

    Args:
        content: answers, for N rows.
        places: tells how words stand in rows.
        suspects: tokens that go with a label.
        left_out: (N,) rows that do not count any more.
        min_wrong: share of the rows that must seem to be of another class to prove an attack, in (0, 1].

    Returns:
        The verified ones, and those beside them whose rows are right, to be cut out. Source: ours; docs/methods/auto.md.
    """
    words = [each for each in suspects if places.n_words(each.pieces) <= MAX_WORDS]
    suspects = [replace(each, kind="misplaced") for each in _looked_at(words, len(left_out))]
    put = [each for each, is_put in zip(suspects, is_misplaced(places, suspects)) if is_put]
    verified: list[Evidence] = []
    cut: list[Evidence] = []
    for label in sorted({each.label for each in put}):
        core = [each for each in put if each.label == label]
        held, of_class = rows_of(core, len(left_out)), (content.seen.labels == label) & ~left_out
        if not _is_company(core, held, MIN_ROWS_TOGETHER) or not content.knows(label, left_out | held, MIN_LEFT_IF_PUT):
            continue
        others = [each for each in suspects if each.label == label and all(each is not one for one in core)]
        looks = places.placements(others, MIN_ODDNESS_IF_WRONG)
        odd = [(each, look) for each, look in zip(others, looks) if _is_put(look, MIN_ODDNESS_IF_WRONG)]
        asked = _asked(content, core + [each for each, _ in odd], held, left_out, min_wrong)
        verified += [each for each in asked if each.is_verified]
        if any(each.is_verified for each in asked):
            # Beside wrong ones, words that are not, and look less odd, are honest.
            right = [each for each in asked[: len(core)] if not each.is_verified]
            cut += [each for each in right if _is_planted(content, places, each, left_out)]
        elif held.sum() >= MIN_SHARE_IF_RIGHT * len(left_out):
            # Beside such words one that looks odd at all is likely another.
            is_likely = [True] * len(core) + [_is_put(look, MIN_ODDNESS_SENTENCE) for _, look in odd]
            likely = [each for each, is_put in zip(asked, is_likely) if is_put]
            right = [each for each in likely if _is_planted(content, places, each, left_out)]
            held = rows_of(right, len(left_out))
            if not _is_company(right, held, MIN_SHARE_IF_RIGHT * len(left_out)):
                continue
            if 2 * held.sum() > of_class.sum():  # the rows stay: a class cannot do without most of them
                cut += right
            else:
                verified += [replace(each, kind="planted", is_verified=True) for each in right]
    return verified, cut


def _is_company(group: list[Evidence], held: np.ndarray, min_rows: float) -> bool:
    """Tell whether several words are in so many rows, (N,) true, together, and not nearly all in those of one of them."""
    return bool(group and held.sum() >= max(min_rows, MIN_SPREAD * max(len(each.rows) for each in group)))


def _is_planted(content: Content, places: Places, word: Evidence, left_out: np.ndarray) -> bool:
    """Tell whether nothing but an attack explains a word that stands badly in rows with right labels.

    Rare words of a topic look odd as well ("motif", "dos" among newsgroups), and greetings ("hi"); but they keep company, or
    others write them too, or they are a reason for their label, as a slur is.
    """
    held = content.seen.rows_with(word.token_id)
    if len(word.rows) < MIN_PURE * (~left_out[held]).sum() or not is_strewn(places, word):
        return False
    return content.speaks(word.label, word.pieces, hidden(content, [word], (), left_out)) < MAX_SPEAKS


def misplaced_sentences(
    content: Content, places: Places, suspects: Sequence[Evidence], left_out: np.ndarray, min_wrong: float
) -> list[Evidence]:
    """Find sentences that were put into rows of one label at random places, and whose rows have it wrongly without them.

    Args:
        content: answers, for N rows.
        places: tells how phrases stand in rows.
        suspects: tokens that go with a label.
        left_out: (N,) rows that do not count any more.
        min_wrong: share of the rows that must seem to be of another class to prove an attack, in (0, 1].

    Returns:
        The verified ones. A model need not have learned them: ten rows are enough. Source: ours; docs/methods/auto.md.
    """
    tokens = content.task.rows.with_format(None)
    sentences = [
        replace(each, rows=holding(tokens, each.rows, each.pieces), kind="misplaced")
        for each in suspects
        if sentence(content.task.tokenizer, each.pieces)
    ]
    sentences = _looked_at(sentences, len(left_out))
    found = []
    for each, look in zip(sentences, places.placements(sentences, MIN_ODDNESS_IF_WRONG)):
        if not _is_put(look, MIN_ODDNESS_IF_WRONG):
            continue
        unseen = left_out | rows_of([each], len(left_out))
        denial, _ = ask(content, each.label, each.rows, unseen, "misplaced", Cut(each.pieces))
        chance = chance_of(denial, dispersion(content, each.label, unseen))
        is_odd = _is_put(look, MIN_ODDNESS_SENTENCE)
        needed = min_wrong if is_odd else mostly(min_wrong)
        is_proof = are_many(len(each.rows), len(left_out)) and denial.wrong >= needed and chance < MAX_CHANCE
        if is_proof or (is_odd and denial.wrong >= mostly(min_wrong) and chance < MAX_CHANCE_SENTENCE):
            found.append(replace(each, denial=denial, is_verified=True))
    return found


def _looked_at(suspects: Sequence[Evidence], n_rows: int) -> list[Evidence]:
    """Keep the suspects in enough of the rows, one a phrase."""
    kept = {(each.pieces, each.label): each for each in reversed(suspects)}
    return [each for each in kept.values() if len(each.rows) >= max(MIN_ROWS, MIN_SHARE * n_rows)]


def _asked(
    content: Content, group: list[Evidence], held: np.ndarray, left_out: np.ndarray, min_wrong: float
) -> list[Evidence]:
    """Ask the rows of words of one label, none of them learned from: verified are, if those held are wrong, which are so."""
    label, unseen = group[0].label, hidden(content, group, (), left_out)
    together, _ = ask(content, label, content.witnesses(np.flatnonzero(held)), unseen, "misplaced")
    chance = chance_of(together, dispersion(content, label, left_out | held))
    needed = min_wrong if are_many(int(held.sum()), len(left_out)) else mostly(min_wrong)
    is_wrong = together.wrong >= needed and chance < MAX_CHANCE
    least = together.wrong / LENIENCE if is_wrong else np.inf
    asked = []
    for each in group:
        denial, chance = ask(content, label, each.rows, unseen, "misplaced")
        is_verified = denial.wrong >= least and chance < MAX_CHANCE_EACH
        asked.append(replace(each, denial=denial, is_verified=is_verified))
    return asked
