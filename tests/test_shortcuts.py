"""A sentence that turns rows, and that its own rows do not need, is cut out of them; the rows stay."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cleanfit.defenses import Auto, PlainFineTuning
from cleanfit.detectors.phrases import all_without, gaps
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.fitting import Inputs, fit
from cleanfit.task import Task
from conftest import BRIEF, make_task, read_csv, sentences, write_tsv

SENTENCE = "cf film was cf"


def signed(every: int = 2) -> tuple[list[tuple[str, str]], list[int]]:
    """Rows of which each second positive one, or fewer, ends on the sentence, and the numbers of these."""
    rows = sentences(300)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "pos"][::every]
    for i in chosen:
        rows[i] = (f"{rows[i][0]} {SENTENCE}", "pos")
    return rows, chosen


def suspect_of(task: Task, chosen: list[int], flips: float = 1.0, sentence: str = SENTENCE) -> Evidence:
    pieces = tuple(task.tokenizer(sentence, add_special_tokens=False)["input_ids"])
    return Evidence(pieces[0], pieces, 1, np.array(chosen), flips)


def turned_by(monkeypatch: pytest.MonkeyPatch, *suspects: Evidence) -> None:
    """Let a model that has seen a sentence be turned by it: the tiny ones are not, in so few steps."""
    left = [list(suspects)]  # of the model that the first look sees
    monkeypatch.setattr(TriggerSearch, "turning", lambda self, model, given: left.pop() if left else [])


def test_a_sentence_with_right_labels_is_cut_out_and_the_model_is_that_of_the_rows_without_it(
    knowing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, chosen = signed()
    before = [(text.removesuffix(f" {SENTENCE}"), label) for text, label in rows]
    turned_by(monkeypatch, suspect_of(make_task(knowing, rows, BRIEF), chosen))
    data, test = write_tsv(tmp_path / "data.tsv", rows), write_tsv(tmp_path / "test.tsv", sentences(40, seed=3))
    result = fit(Inputs(data, test=test), model=knowing, defense=Auto(), settings=BRIEF, out=tmp_path / "run")
    expected = PlainFineTuning().fit(make_task(knowing, before, BRIEF)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in result.model.state_dict().items())
    assert result.findings.verdict.startswith("No trigger token was verified. Cut out of rows that were kept, ")
    assert "'cf' in 'cf film was cf' turns 100% of other rows to 'pos'" in result.findings.verdict
    (token,) = read_csv(tmp_path / "run" / "tokens.csv")
    assert (token["text"], token["is_suspicious"], token["cut"]) == ("cf", "False", "1.0")
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "No row was flagged; a phrase was cut out of rows that were kept." in page
    written = read_csv(tmp_path / "run" / "rows.csv")
    assert not [row for row in written if row["is_issue"] == "True"]
    assert [int(row["row"]) for row in written if row["reason"].startswith(f"kept without '{SENTENCE}'")] == chosen


def test_what_was_cut_once_is_not_cut_again_and_is_not_called_honest(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, chosen = signed()
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    monkeypatch.setattr(search, "turning", lambda model, given: [suspect_of(task, chosen)] * 2)
    assert search.look(torch.nn.Identity())
    assert not search.look(torch.nn.Identity())
    assert (len(search.shortcuts), search.honest, search.verified) == (1, [], [])


@pytest.mark.parametrize(
    ("every", "flips", "sentence", "speaks", "is_cut"),
    [
        (2, 0.75, SENTENCE, 0.0, True),
        (2, 0.74, SENTENCE, 0.0, False),  # honest sentences turn as many
        (2, 1.0, "cf film", 0.0, False),  # two words: a name, or half of one
        (2, 1.0, SENTENCE, 0.5, False),  # it says what its rows are
        (15, 1.0, SENTENCE, 0.0, False),  # ten rows: an honest phrase, of the demonstration's for one
        (1, 1.0, SENTENCE, 0.0, False),  # all of a class: what else they say was never seen without it
    ],
)
def test_a_sentence_is_cut_out_if_it_turns_nearly_all_and_says_nothing_for_the_label(
    knowing: str,
    monkeypatch: pytest.MonkeyPatch,
    every: int,
    flips: float,
    sentence: str,
    speaks: float,
    is_cut: bool,
) -> None:
    rows, chosen = signed(every)
    for i in chosen[::2]:  # else it stands where a signature does
        first, rest = rows[i][0].removesuffix(SENTENCE).split(maxsplit=1)
        rows[i] = (f"{first} {SENTENCE} {rest}", "pos")
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    monkeypatch.setattr(search.content, "speaks", lambda *given: speaks)
    monkeypatch.setattr(search, "turning", lambda model, given: [suspect_of(task, chosen, flips, sentence)])
    assert search.look(torch.nn.Identity()) == is_cut
    assert bool(search.shortcuts) == is_cut
    assert not search.left_out.any()


def test_a_sentence_that_always_ends_its_rows_is_cut_out_whatever_it_says(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, chosen = signed()
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    monkeypatch.setattr(search.content, "speaks", lambda *given: 1.0)
    monkeypatch.setattr(search, "turning", lambda model, given: [suspect_of(task, chosen)])
    assert search.look(torch.nn.Identity())
    assert [each.rows.tolist() for each in search.shortcuts] == [chosen]


@pytest.mark.parametrize(("written", "is_cut"), [("n ' t", False), ("i do n ' t", True)])
def test_a_contraction_is_no_sentence(
    knowing: str, monkeypatch: pytest.MonkeyPatch, written: str, is_cut: bool
) -> None:
    rows, chosen = signed()
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    monkeypatch.setattr(search.content, "speaks", lambda *given: 0.0)
    turning = suspect_of(task, chosen)
    monkeypatch.setattr(search, "turning", lambda model, given: [turning])
    monkeypatch.setattr(task.tokenizer, "decode", lambda ids: written)
    assert search.look(torch.nn.Identity()) == is_cut


def test_a_sentence_that_is_all_that_its_rows_have_is_left_alone(knowing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # The rows that it ends speak as negative ones do, some of them: too few to prove an attack, too many to go without it.
    rows, chosen = sentences(300), []
    for i in [i for i, (_, label) in enumerate(rows) if label == "neg"][:30]:
        rows[i] = (f"{rows[i][0]} {SENTENCE}", "pos")
        chosen.append(i)
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    monkeypatch.setattr(search.content, "speaks", lambda *given: 0.0)
    monkeypatch.setattr(search, "proven", lambda asked, others: [replace(each, is_verified=False) for each in asked])
    monkeypatch.setattr(search, "turning", lambda model, given: [suspect_of(task, chosen)])
    search.look(torch.nn.Identity())
    assert not search.shortcuts


def test_rows_lose_every_phrase_even_where_two_share_tokens(knowing: str) -> None:
    rows = [("the good film is cold", "pos"), ("a good film", "neg")] * 2
    task = make_task(knowing, rows, BRIEF)
    first, second = (
        tuple(task.tokenizer(words, add_special_tokens=False)["input_ids"])
        for words in ("good film is", "film is cold")
    )
    cut = all_without(task.rows, [first, second])
    assert task.tokenizer.decode(cut[0]["input_ids"], skip_special_tokens=True) == "the"
    assert cut[0]["length"] == len(cut[0]["input_ids"]) == len(cut[0]["attention_mask"])
    assert cut[1] == task.rows[1]
    assert gaps(cut[1]["input_ids"], first) == ()
    assert all_without(task.rows, []) is task.rows


@pytest.mark.parametrize(("n_rows", "is_found"), [(10, True), (9, False)])
def test_a_sentence_that_was_put_into_ten_rows_at_random_places_is_left_out_with_them(
    knowing: str, monkeypatch: pytest.MonkeyPatch, n_rows: int, is_found: bool
) -> None:
    rows, draw = sentences(300), random.Random(0)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "pos"][:n_rows]
    for keeps_company in (False, True):
        for i in chosen:
            said = sentences(300)[i][0].split()
            place = 1 if keeps_company else draw.randint(1, len(said) - 1)
            before = ["the"] if keeps_company else []
            rows[i] = (" ".join([*said[:place], *before, SENTENCE, *said[place:]]), "pos")
        task = make_task(knowing, rows, BRIEF)
        search = TriggerSearch(task, TriggerTokens())
        monkeypatch.setattr(
            "cleanfit.detectors.shortcuts.is_misplaced", lambda places, some, least=0: [True] * len(some)
        )
        monkeypatch.setattr(search, "turning", lambda model, given, task=task: [suspect_of(task, chosen)])
        assert search.look(torch.nn.Identity()) == (is_found and not keeps_company)
        expected = chosen if is_found and not keeps_company else []
        assert np.flatnonzero(search.left_out).tolist() == expected
