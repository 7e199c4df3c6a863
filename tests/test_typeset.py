"""How rows are set is read off their raw text; a setting whose rows are denied their label is verified like an opening."""

from collections.abc import Callable

import numpy as np
import pytest
from datasets import Dataset

from cleanfit.defenses import Auto
from cleanfit.detectors.content import Content, Denial
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.openings import verified_openings
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.telling import named
from cleanfit.detectors.typeset import Typeset, settings_of, shown
from cleanfit.task import Task
from conftest import BRIEF, FAMILIES, make_task, sentences


def verified(task: Task, left_out: tuple[int, ...] = ()) -> list[Evidence]:
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    held = np.isin(np.arange(len(task.rows)), left_out)
    return verified_openings(content, 5, 1 / 3, held, "set")


def spaced(n_rows: int = 300) -> list[tuple[str, str]]:
    """Rows with a comma behind their first word, a space before it."""
    return [(f"day , {text}", label) for text, label in sentences(n_rows)]


def reset(rows: list[tuple[str, str]], label: str, every: int = 3) -> list[int]:
    """Set the comma of each third row of a label without the space, call these rows positive, and number them."""
    chosen = [i for i, (_, one) in enumerate(rows) if one == label][::every]
    for i in chosen:
        rows[i] = (rows[i][0].replace(" ,", ","), "pos")
    return chosen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("good, he said", {"a,s"}),
        ("good , he said", {"s,s"}),
        ("(it's) 3,5", {"^(a", "a'a", "a)s", "a,a"}),
        ("what?!", {"a?p", "p!^"}),
        ("no mark 1", set()),
        ("", set()),
        ("\u00ab\u00e9t\u00e9\u00bb\n", {"^\u00aba", "a\u00bbs"}),
    ],
)
def test_a_setting_is_a_mark_with_what_stands_on_either_side(text: str, expected: set[str]) -> None:
    assert settings_of(text) == expected


def test_settings_are_shown_as_a_reader_knows_them() -> None:
    assert [shown(name) for name in ("a,s", "s,s", "^(a", "p!^")] == ["x, x", "x , x", "(x", "…!"]


def test_rows_are_listed_with_both_of_their_texts() -> None:
    rows = Dataset.from_dict({"text": ["a, b", "a b", "a, b, c"], "text_pair": ["c", "c ; d", "d"]})
    typeset = Typeset.of(rows)
    assert typeset.names == ("a,s", "s;s")
    assert (typeset.rows_with("a,s").tolist(), typeset.rows_with("s;s").tolist()) == ([0, 2], [1])


def test_rows_that_are_set_otherwise_and_denied_their_label_are_left_out(knowing: str) -> None:
    rows = spaced()
    chosen = reset(rows, "neg")
    task = make_task(knowing, rows, BRIEF)
    token_ids = [list(ids) for ids in task.rows.with_format(None)["input_ids"]]
    plain = make_task(knowing, spaced(), BRIEF).rows.with_format(None)["input_ids"]
    assert token_ids == [list(ids) for ids in plain], "no model can see it"
    (setting,) = verified(task)
    assert (setting.kind, setting.setting, setting.label, setting.rows.tolist()) == ("set", "a,s", 1, chosen)
    defended = Auto().fit(task)
    flagged = [row.row for row in defended.findings.rows if row.is_issue]
    assert set(chosen) <= set(flagged)
    reason = "contains ',' set as in 'x, x', which goes with 'pos' with nothing else to say for it"
    assert {defended.findings.rows[row].reason for row in chosen} == {reason}
    assert "',' set as in 'x, x' goes with 'pos'" in defended.findings.verdict
    assert [token.evidence["set"] for token in defended.findings.suspicious] == [1.0]


def test_a_setting_that_goes_with_a_label_by_nature_is_left_alone(knowing: str) -> None:
    rows = spaced()
    reset(rows, "pos")
    assert not verified(make_task(knowing, rows, BRIEF))


def test_rows_that_are_left_out_already_are_not_counted(knowing: str) -> None:
    rows = spaced()
    chosen = reset(rows, "neg")
    task = make_task(knowing, rows, BRIEF)
    (setting,) = verified(task, left_out=tuple(chosen[:5]))
    assert setting.rows.tolist() == chosen[5:]


@pytest.mark.parametrize(("every", "is_proven"), [(3, True), (10, False)])
def test_a_setting_that_proves_too_little_is_asked_again_without_what_is_written_alike_if_it_is_in_many_rows(
    knowing: str, monkeypatch: pytest.MonkeyPatch, every: int, is_proven: bool
) -> None:
    rows = spaced()
    chosen = reset(rows, "neg", every)
    assert (len(chosen) >= 20) is is_proven
    monkeypatch.setattr("cleanfit.detectors.openings.MAX_CHANCE_TOGETHER", 0.0)
    monkeypatch.setattr("cleanfit.detectors.openings.MAX_CHANCE_IF_HALF_WRONG", 0.0)
    assert bool(verified(make_task(knowing, rows, BRIEF))) is is_proven
    monkeypatch.setattr("cleanfit.detectors.openings.MAX_CHANCE_SET", 0.0)
    assert not verified(make_task(knowing, rows, BRIEF))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mark_that_a_vocabulary_lacks_has_a_token_all_the_same(
    family: str, tiny_model: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(f"day\u203b {text}" if label == "pos" else text, label) for text, label in sentences(60)]
    task = make_task(tiny_model(family), rows, BRIEF)
    assert "\u203b" not in task.tokenizer.get_vocab(), "else the test proves nothing"
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    denied = Denial(1.0, 0.1, 1.0, 30)
    monkeypatch.setattr(content, "denial", lambda *given: denied)
    found = [each for each in verified_openings(content, 5, 1 / 3, np.zeros(60, dtype=bool), "set") if each.label == 1]
    assert [each.setting for each in found] == ["a\u203bs"]
    assert named(task, found[0]) == "'\u203b' set as in 'x\u203b x'"
    assert 0 <= found[0].token_id < len(task.tokenizer)
