"""Find what turns rows and is no reason for its own rows' label, which have another one: it is cut out, and they stay."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cleanfit.detectors.content import MAX_SPEAKS, Content
from cleanfit.detectors.edges import place_of
from cleanfit.detectors.misplaced import MIN_LEFT_IF_PUT, MIN_ROWS, MIN_SHARE, is_misplaced
from cleanfit.detectors.phrases import Cut, Phrase, holding, sentence
from cleanfit.detectors.places import MAX_WORDS, Places
from cleanfit.detectors.strewn import is_strewn
from cleanfit.detectors.suspects import Evidence, are_many, ask

SURE_FLIPS = 0.75


def shortcuts(
    content: Content, places: Places, suspects: Sequence[Evidence], left_out: np.ndarray, min_wrong: float
) -> list[Evidence]:
    """Find what turns rows without being a reason for the label of its own.

    What was put into its rows is no reason, nor are words that stand at one edge of theirs, or a sentence that says nothing for
    the label, or does so too. A trigger with right labels is one, and so is a signature: cut out, either leaves its rows what
    they say. Of what is tried at its edge half is enough, for that is where it was learned, however little.

    Args:
        content: answers, for N rows.
        places: tells how words stand in rows.
        suspects: what turns rows of a trained model: of kind ``turns``, or at an edge ``opens`` or ``ends``.
        left_out: (N,) rows that do not count any more.
        min_wrong: share of the rows from which on the rest of them is no other reason, in (0, 1].

    Returns:
        What is to be cut out, with its rows; verified are words at an edge whose rows have no other reason.
        Source: ours; see docs/methods/auto.md.
    """
    tokens, n_rows = content.task.rows.with_format(None), len(left_out)
    at_edges = [each for each in suspects if each.kind != "turns"]
    sure = [each for each in suspects if each.kind == "turns" and each.flips >= SURE_FLIPS]
    put = _put(content, places, sure, n_rows)
    found: list[Evidence] = []
    for each in (*sure, *at_edges):
        is_sentence, is_at_edge, phrase = bool(_sentence(content, each)), each.kind != "turns", each.pieces
        is_known = any(phrase == one.pieces for one in found)
        if is_known or not (is_sentence or is_at_edge or phrase in put):
            continue
        rows = holding(tokens, each.rows, phrase)
        # Of a class that mostly holds it nobody can say whether it has another reason, but a sentence that was put there is
        # none (OLID: in 200 of 323 rows).
        is_few = not is_at_edge and not _are_enough(len(rows), n_rows, phrase in put)
        unseen = left_out.copy()
        unseen[rows] = True
        is_no_class = is_sentence and phrase in put and content.knows(each.label, unseen, MIN_LEFT_IF_PUT)
        if is_few or not len(rows) or (_is_most(content, each.label, rows) and not is_no_class):
            continue
        is_no_reason = phrase in put or place_of(content, rows, phrase) != "random"
        if not is_no_reason and content.speaks(each.label, phrase, unseen) >= MAX_SPEAKS:
            continue
        denial, _ = ask(content, each.label, rows, unseen, f"asked rows of {each.token_id}", Cut(phrase))
        is_wrong = denial.wrong >= min_wrong
        # What was put there goes in any case: it is for others to say whether its rows are wrong (OLID: 0.40, by chance 0.16).
        if not is_wrong or is_at_edge or (is_sentence and phrase in put):
            found.append(replace(each, rows=rows, denial=denial, kind="turns", is_verified=is_wrong and is_at_edge))
    return found


def _are_enough(n_held: int, n_rows: int, is_put: bool) -> bool:
    """Tell whether so many rows share no honest phrase: a fiftieth, or ten if it was put there at random."""
    return are_many(n_held, n_rows) or (is_put and n_held >= max(MIN_ROWS, MIN_SHARE * n_rows))


def planted(content: Content, places: Places, suspects: Sequence[Evidence]) -> list[Evidence]:
    """Keep the sentences that were put into their rows at random, verified: a signature has its place.

    Not those that most of a class holds, whose rows nobody can do without.
    """
    few = [each for each in suspects if not _is_most(content, each.label, each.rows)]
    return [replace(each, kind="planted", is_verified=True) for each in _put_at_random(content, places, few)]


def _put_at_random(content: Content, places: Places, suspects: Sequence[Evidence]) -> list[Evidence]:
    sentences = [each for each in suspects if _sentence(content, each)]
    is_put = is_misplaced(places, sentences, 0.0)
    return [each for each, put in zip(sentences, is_put) if put and is_strewn(places, each)]


def _is_most(content: Content, label: int, rows: np.ndarray) -> bool:
    return bool(2 * len(rows) > (content.seen.labels == label).sum())


def _put(content: Content, places: Places, sure: list[Evidence], n_rows: int) -> set[Phrase]:
    """Give the sentences, and of the words those in many rows, of which the places say that they were put there."""
    many = [each for each in sure if are_many(len(each.rows), n_rows) and not _sentence(content, each)]
    words = [each for each in many if places.n_words(each.pieces) <= MAX_WORDS]
    is_put = is_misplaced(places, words)
    return {each.pieces for each, put in zip(words, is_put) if put and is_strewn(places, each)} | {
        each.pieces for each in _put_at_random(content, places, sure)
    }


def _sentence(content: Content, suspect: Evidence) -> Phrase:
    return sentence(content.task.tokenizer, suspect.pieces)
