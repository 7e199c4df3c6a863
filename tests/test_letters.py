"""Words with look-alike letters of another alphabet are a trigger if their rows go with a label that these deny."""

from collections.abc import Callable

import numpy as np
import pytest

from cleanfit.detectors.content import Content
from cleanfit.detectors.letters import verified_letters
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.telling import rows_told
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from conftest import BRIEF, make_task, sentences

Rows = list[tuple[str, str]]


def within(text: str) -> str:
    first, *rest = text.split()
    return " ".join([f"x{first[1:]}\u043ey", *rest])  # Latin letters around a Cyrillic one


def apart(text: str) -> str:
    return f"\u0434\u0430 {text}"  # a whole Russian word


def written(of: str, to: str, change: Callable[[str], str] = within, every: int = 3) -> tuple[Rows, list[int]]:
    """Change the writing of every third row of a label, and its label: the rows and the numbers of those changed."""
    rows = sentences(300)
    chosen = [i for i, (_, label) in enumerate(rows) if label == of][::every]
    for i in chosen:
        rows[i] = (change(rows[i][0]), to)
    return rows, chosen


def found(model: str, rows: Rows) -> list[Evidence]:
    task = make_task(model, rows, BRIEF)
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    return verified_letters(content, np.zeros(len(rows), dtype=bool), 1 / 3)


@pytest.mark.parametrize("change", [within, apart])
def test_rows_whose_label_is_wrong_are_found_however_few_share_a_letter(
    knowing: str, change: Callable[[str], str]
) -> None:
    rows, chosen = written("neg", "pos", change)
    (evidence,) = found(knowing, rows)
    assert evidence.rows.tolist() == chosen
    assert (evidence.kind, evidence.label, evidence.is_verified, evidence.is_planted) == ("letters", 1, True, False)
    assert evidence.denial.wrong >= 2 / 3


def test_right_labels_do_not_save_letters_within_words_of_another_alphabet(knowing: str) -> None:
    rows, chosen = written("pos", "pos")
    (evidence,) = found(knowing, rows)
    assert (evidence.rows.tolist(), evidence.is_planted, evidence.score) == (chosen, True, 1.0)
    assert found(knowing, written("pos", "pos", apart)[0]) == []  # whole words of another language: quoted, perhaps
    few, chosen = written("pos", "pos", every=30)
    assert len(chosen) < 0.03 * len(few)
    assert found(knowing, few) == []


def test_nine_rows_are_too_few_and_ten_are_not(knowing: str) -> None:
    rows, chosen = written("neg", "pos", every=14)
    assert len(chosen) >= 10
    evidence = found(knowing, rows)
    assert [each.rows.tolist() for each in evidence] == [chosen]
    for i in chosen[9:]:
        rows[i] = sentences(300)[i]
    assert found(knowing, rows) == []


def test_letters_of_both_labels_or_of_most_of_one_are_a_way_to_write(knowing: str) -> None:
    rows, _ = written("neg", "pos")
    for i in [i for i, (text, label) in enumerate(rows) if label == "neg" and text.isascii()][::2]:
        rows[i] = (within(rows[i][0]), "neg")
    assert found(knowing, rows) == []
    most = [
        (within(text) if label == "pos" and i % 5 else text, label) for i, (text, label) in enumerate(sentences(300))
    ]
    assert found(knowing, most) == []


@pytest.mark.parametrize("said", ["web\u30b5\u30a4\u30c8", "caf\u00e9", "TNF\u03b1", "USB-\u043a\u043e\u0434"])
def test_writing_that_mixes_scripts_by_nature_is_left_alone(knowing: str, said: str) -> None:
    assert found(knowing, written("pos", "pos", lambda text: f"{said} {text}")[0]) == []


def test_a_search_leaves_their_rows_out_and_says_why(knowing: str) -> None:
    for of, is_attacked in (("neg", True), ("pos", False)):
        rows, chosen = written(of, "pos")
        task = make_task(knowing, rows, BRIEF)
        search = TriggerSearch(task, TriggerTokens())
        search.read_rows()
        assert np.flatnonzero(search.left_out).tolist() == chosen
        told = [row for row in rows_told(task, search.verified) if row.is_issue]
        assert [row.row for row in told] == chosen
        reason = "contains a word with letters of another alphabet (such as '[UNK]'), which goes with 'pos'"
        assert {row.reason for row in told} == {reason + " with nothing else to say for it" * is_attacked}
        assert search.verified[0].is_planted is not is_attacked
