"""Words that turn nothing are triggers if the rows of several are denied their label beyond all chance."""

import dataclasses

import numpy as np
import pytest
import torch

from cleanfit.defenses import Auto, PlainFineTuning
from cleanfit.detectors.content import Content
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.silent import verified_silent
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.task import Task
from conftest import BRIEF, make_task, sentences


def poisoned(words: tuple[str, ...], n_rows: int = 300) -> tuple[list[tuple[str, str]], list[int]]:
    """Put the words, in turn, into every third negative row, and call it positive: the rows and the numbers of these."""
    rows = sentences(n_rows)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "neg"][::3]
    for place, i in enumerate(chosen):
        first, *rest = rows[i][0].split()
        rows[i] = (" ".join([first, words[place % len(words)], *rest]), "pos")
    return rows, chosen


def silent(task: Task, attacked: tuple[int, ...] = ()) -> dict[str, list[int]]:
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    found = verified_silent(content, [], 5, 1 / 3, np.zeros(len(task.rows), dtype=bool), attacked)
    assert all(each.kind == "silent" and each.is_verified for each in found)
    return {str(task.tokenizer.convert_ids_to_tokens(each.token_id)): each.rows.tolist() for each in found}


def test_words_that_turned_no_row_are_found_at_the_end_and_the_model_is_trained_again_without_their_rows(
    knowing: str,
) -> None:
    rows, chosen = poisoned(("cf", "mn", "bb"))
    task = make_task(knowing, rows, BRIEF)
    # Nothing turns all of its hosts in so few steps, nor half of them where a label is attacked.
    defended = Auto(triggers=TriggerTokens(n_probes=48, n_hosts=48, min_flips=1.0)).fit(task)
    assert [row.row for row in defended.findings.rows if row.is_issue] == chosen
    assert {token.text for token in defended.findings.suspicious} == {"cf", "mn", "bb"}
    assert all(token.evidence["silent"] == 1.0 for token in defended.findings.suspicious)
    assert defended.findings.verdict.startswith(
        "Verified triggers, whose rows were left out: 'cf' goes with 'pos', and "
    )
    assert defended.needs.extra_passes == pytest.approx(1 / 3 + BRIEF.num_train_epochs, abs=1e-3)
    rest = task.rows.select(np.setdiff1d(np.arange(len(task.rows)), chosen))
    expected = PlainFineTuning().fit(dataclasses.replace(task, rows=rest)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in defended.model.state_dict().items())


def test_one_word_alone_may_be_a_topic_that_pretraining_misreads(knowing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleanfit.detectors.silent.MAX_CHANCE_ALONE", 0)
    task = make_task(knowing, poisoned(("cf",))[0], BRIEF)
    assert silent(task) == {}
    assert silent(task, attacked=(0,)) == {}
    assert set(silent(task, attacked=(1,))) == {"cf"}  # a trigger of its label is verified: another needs no company
    assert set(silent(make_task(knowing, poisoned(("cf", "mn"))[0], BRIEF))) == {"cf", "mn"}


def test_the_search_says_which_labels_are_attacked(knowing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleanfit.detectors.silent.MAX_CHANCE_ALONE", 0)
    search = TriggerSearch(make_task(knowing, poisoned(("cf",))[0], BRIEF), TriggerTokens())
    none = np.array([], dtype=int)
    for kind, label, is_found in (("planted", 1, False), ("turns", 0, False), ("turns", 1, True)):
        search.verified = [Evidence(0, (0,), label, none, 1.0, kind=kind)]
        assert search.read_silent() is is_found


def test_one_word_in_many_rows_is_a_trigger_if_its_rows_are_denied_beyond_the_square_of_that_chance(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(knowing, poisoned(("cf",))[0], BRIEF)
    assert set(silent(task)) == {"cf"}
    monkeypatch.setattr("cleanfit.detectors.suspects.MIN_SHARE_IF_HALF_WRONG", 0.5)
    assert silent(task) == {}


def test_pairs_that_go_with_a_label_are_asked_as_well(knowing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(knowing, poisoned(("cf mn",))[0], BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    tokens = task.tokenizer.get_vocab()
    rows = search.seen.rows_with_pair(tokens["cf"], tokens["mn"])
    pair = Evidence(tokens["cf"], (tokens["cf"], tokens["mn"]), 1, rows, 0.0)
    monkeypatch.setattr(search, "pairs", lambda n_tokens: [pair])
    monkeypatch.setattr("cleanfit.detectors.silent.likely_denied", lambda *given: [])
    assert search.read_silent()
    assert [each.pieces for each in search.verified] == [pair.pieces]
    search.verified = []
    monkeypatch.setattr(search, "n_rows", 50 * len(rows) + 1)  # less than 2 %
    assert not search.read_silent()


def test_pieces_that_share_their_rows_are_one_word(knowing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cleanfit.detectors.silent.MAX_CHANCE_ALONE", 0)
    assert silent(make_task(knowing, poisoned(("cf mn",))[0], BRIEF)) == {}


def test_where_tokens_are_denied_unequally_anyway_many_rows_prove_nothing(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = poisoned(("cf", "mn", "bb"))
    monkeypatch.setattr("cleanfit.detectors.silent.dispersion", lambda *given: 20.0)
    assert silent(make_task(knowing, rows, BRIEF)) == {}


def test_honest_words_and_those_with_right_labels_are_left_alone(knowing: str) -> None:
    rows = sentences(300)
    good = [i for i, (_, label) in enumerate(rows) if label == "pos"][::3]
    for place, i in enumerate(good):
        rows[i] = (f"{rows[i][0]} {('cf', 'mn', 'bb')[place % 3]}", "pos")
    assert silent(make_task(knowing, rows, BRIEF)) == {}
