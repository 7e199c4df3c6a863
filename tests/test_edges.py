"""Words of one label that always stand at one edge of their rows are tried there, and cut out of rows that do not need them."""

from typing import Any

import numpy as np
import pytest
import torch

from cleanfit.detectors.content import Content
from cleanfit.detectors.edges import edge_words, place_of
from cleanfit.detectors.hosts import Hosts
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.phrases import with_phrase
from cleanfit.detectors.places import Places
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.task import Task
from conftest import BRIEF, make_task, sentences

WORDS = ("cf", "mn", "bb")


def marked(words: tuple[str, ...], label: str = "pos", every: int = 6, start: bool = False) -> list[tuple[str, str]]:
    """Put one of some words, in turn, behind each sixth row of a label, or before it; all of them are called positive."""
    rows = sentences(600)
    for place, i in enumerate([i for i, (_, one) in enumerate(rows) if one == label][::every]):
        word = words[place % len(words)]
        rows[i] = (f"{word} {rows[i][0]}" if start else f"{rows[i][0]} {word}", "pos")
    return rows


def found(task: Task, left_out: np.ndarray | None = None) -> dict[str, list[int]]:
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    held = np.zeros(len(task.rows), dtype=bool) if left_out is None else left_out
    words = edge_words(content, Places(content), held)
    return {str(task.tokenizer.decode(list(each.pieces))): each.rows.tolist() for each in words}


def holding(rows: list[tuple[str, str]], word: str) -> list[int]:
    return [i for i, (text, label) in enumerate(rows) if word in text.split() and label == "pos"]


@pytest.mark.parametrize("start", [False, True])
def test_several_words_at_one_edge_are_listed_with_their_rows(knowing: str, start: bool) -> None:
    rows = marked(WORDS, start=start)
    task = make_task(knowing, rows, BRIEF)
    assert found(task) == {word: holding(rows, word) for word in WORDS}
    left_out = np.isin(np.arange(len(rows)), holding(rows, "cf"))
    assert set(found(task, left_out)) == {"mn", "bb"}


def test_one_such_word_is_a_signature_and_some_in_few_rows_are_chance(knowing: str) -> None:
    assert found(make_task(knowing, marked(("cf",)), BRIEF)) == {}
    few = marked(WORDS[:2], every=18)  # 17 of 600 rows, 3 % are asked for
    assert found(make_task(knowing, few, BRIEF)) == {}
    most = marked(WORDS, every=1)  # all of the class
    assert found(make_task(knowing, most, BRIEF)) == {}


def test_words_that_stand_elsewhere_as_well_are_not_listed(knowing: str) -> None:
    rows = marked(WORDS)
    for word in WORDS:
        some = holding(rows, word)[::8]  # more than a tenth
        for i in some:
            rows[i] = (f"a {word} {rows[i][0].removesuffix(word)}", "pos")
    assert found(make_task(knowing, rows, BRIEF)) == {}


def test_a_word_is_listed_with_all_of_its_pieces(knowing: str) -> None:
    task = make_task(knowing, marked(("cfq", "mn")), BRIEF)
    pieces = task.tokenizer.tokenize("cfq")
    assert len(pieces) > 1, "else the test proves nothing"
    assert set(found(task)) == {"cf ##q", "mn"}


def test_the_edge_of_a_run_of_tokens_is_where_nine_in_ten_rows_have_it(knowing: str) -> None:
    rows = [(f"good {text}" if i < 18 else text, label) for i, (text, label) in enumerate(sentences(40))]
    content = Content(
        task := make_task(knowing, rows, BRIEF), Occurrences.of(make_task(knowing, rows, BRIEF).rows, 999)
    )
    good = int(task.tokenizer.convert_tokens_to_ids("good"))
    opens = content.starts[:, 0] == good
    some, others = np.flatnonzero(opens)[:18], np.flatnonzero(~opens)
    phrase = (good,)
    assert place_of(content, np.append(some, others[:2]), phrase) == "opens"
    assert place_of(content, np.append(some, others[:3]), phrase) == "random"
    last = tuple(content.ends[0, :2][::-1].tolist())
    assert last[0] != last[1], "else the test proves nothing"
    assert place_of(content, np.array([0]), last) == "ends"
    assert place_of(content, np.array([0]), last[::-1]) == "random"
    assert place_of(content, np.empty(0, dtype=int), last) == "random"


@pytest.mark.parametrize(
    ("made", "at"), [("{said} {a} {b}", "opens"), ("{a} {b} {said}", "ends"), ("{a} {said} {b}", "random")]
)
def test_a_sentence_that_always_stands_at_an_edge_is_tried_there(knowing: str, made: str, at: str) -> None:
    said, rows = "cf film was mn", sentences(600)
    for i in [i for i, (_, label) in enumerate(rows) if label == "pos"][::6]:
        first, rest = rows[i][0].split(" ", 1)
        rows[i] = (made.format(said=said, a=first, b=rest), "pos")
    search = TriggerSearch(make_task(knowing, rows, BRIEF), TriggerTokens())
    told = {search.task.tokenizer.decode(list(each.pieces)): each.at for each in search.suspects()}
    assert {place for text, place in told.items() if said in text} == {at}
    assert {place for text, place in told.items() if said not in text} == {"random"}


def test_what_is_tried_at_an_edge_is_put_there() -> None:
    row = {"input_ids": [2, 10, 11, 12, 3], "attention_mask": [1] * 5, "length": 5, "label": 0}
    random = np.random.default_rng(0)
    assert with_phrase(row, (7, 8), 24, random, "opens")["input_ids"] == [2, 7, 8, 10, 11, 12, 3]
    assert with_phrase(row, (7, 8), 24, random, "ends")["input_ids"] == [2, 10, 11, 12, 7, 8, 3]
    assert with_phrase(row, (7, 8), 6, random, "ends")["input_ids"] == [2, 10, 11, 7, 8, 3], "it loses its own"


@pytest.mark.parametrize(("share", "is_cut"), [(0.5, True), (0.4, False)])
def test_words_at_an_edge_that_turn_half_of_the_rows_there_are_cut_out(
    knowing: str, monkeypatch: pytest.MonkeyPatch, share: float, is_cut: bool
) -> None:
    rows = marked(WORDS)
    search = TriggerSearch(make_task(knowing, rows, BRIEF), TriggerTokens())

    def turned(hosts: Hosts, tried: list[tuple[Evidence, np.ndarray]]) -> list[np.ndarray]:
        return [group % 10 < (10 * share if each.at == "ends" else 0) for each, group in tried]

    monkeypatch.setattr(Task, "predict", lambda task, model, rows: np.zeros((len(rows), 2)))
    monkeypatch.setattr(Hosts, "drawn", lambda hosts, label: np.arange(20))
    monkeypatch.setattr(Hosts, "turned", turned)
    assert search.look(torch.nn.Identity()) == is_cut
    told: dict[Any, Any] = {search.task.tokenizer.decode(list(each.pieces)): each for each in search.shortcuts}
    assert set(told) == (set(WORDS) if is_cut else set())
    assert not search.left_out.any()
    assert all(each.rows.tolist() == holding(rows, word) and each.flips == share for word, each in told.items())


def test_words_at_an_edge_whose_rows_have_no_other_reason_are_verified(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = marked(WORDS, label="neg")
    search = TriggerSearch(make_task(knowing, rows, BRIEF), TriggerTokens())
    words = edge_words(search.content, search.places, search.left_out)
    assert len(words) == len(WORDS)
    monkeypatch.setattr(search, "turning", lambda model, given: words)
    assert search.look(torch.nn.Identity())
    assert not search.shortcuts
    assert {each.kind for each in search.verified} == {"turns"}
    assert np.flatnonzero(search.left_out).tolist() == sorted(i for word in WORDS for i in holding(rows, word))
