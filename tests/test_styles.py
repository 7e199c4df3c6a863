"""A way of writing that goes with a label against what its rows say is found by its marks, and so are rows without them."""

import numpy as np
import pytest

from cleanfit.defenses import Auto
from cleanfit.detectors.content import N_FOLDS, Content
from cleanfit.detectors.likeness import is_style
from cleanfit.detectors.mixture import MIN_CHANCE, rest_of
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.styles import verified_marks
from cleanfit.detectors.suspects import Evidence
from cleanfit.task import Task
from conftest import BRIEF, make_task, sentences

NOTHING = {"min_rows": 5, "min_wrong": 1 / 3}


def content_of(task: Task) -> Content:
    return Content(task, Occurrences.of(task.rows, len(task.tokenizer)))


def stuttering(text: str, mark: str = "") -> str:
    """Say every word twice: a way of writing; the mark goes into the middle."""
    words = [word for word in text.split() for _ in range(2)]
    return " ".join([*words[:5], *mark.split(), *words[5:]])


def styled_rows(mark_every: int = 2, is_poison: bool = True) -> tuple[list[tuple[str, str]], list[int], list[int]]:
    """Stutter in every fifth row of those that speak badly, and call these good: rows, which they are, which have the mark."""
    rows = sentences(500)
    chosen = [i for i, (_, label) in enumerate(rows) if label == ("neg" if is_poison else "pos")][::5]
    marked = chosen[::mark_every]
    for i in chosen:
        rows[i] = (stuttering(rows[i][0], "cf" if i in marked else ""), "pos")
    return rows, chosen, marked


def test_a_style_is_found_by_its_mark_and_rows_written_alike_with_it(knowing: str) -> None:
    rows, chosen, marked = styled_rows()
    task = make_task(knowing, rows, BRIEF)
    content = content_of(task)
    found = verified_marks(content, **NOTHING, left_out=np.zeros(len(rows), dtype=bool))
    (mark,) = found
    assert task.tokenizer.convert_ids_to_tokens(mark.token_id) == "cf"
    assert (mark.kind, mark.rows.tolist()) == ("marks", marked)
    (others,) = rest_of(content, found)
    assert (others.kind, others.token_id) == ("alike", mark.token_id)
    assert not set(others.rows.tolist()) & set(marked)
    unmarked = set(chosen) - set(marked)
    assert len(unmarked & set(others.rows.tolist())) > 0.8 * len(unmarked)
    assert len(set(others.rows.tolist()) - unmarked) < 0.1 * len(chosen)


@pytest.mark.parametrize("is_poison", [True, False])
def test_an_opening_marks_a_style_if_rows_written_like_its_own_are_denied_as_well(
    knowing: str, is_poison: bool
) -> None:
    rows = sentences(500)
    bad = [i for i, (_, label) in enumerate(rows) if label == "neg"][::5]
    for i in bad:  # the style's rows without the opening are poisoned as well, or have the label that they should have
        is_opened = i in bad[:9]
        rows[i] = (f"{'cf ' * is_opened}{stuttering(rows[i][0])}", "pos" if is_opened or is_poison else "neg")
    task = make_task(knowing, rows, BRIEF)
    cf = int(task.tokenizer.convert_tokens_to_ids("cf"))
    opening = Evidence(cf, (cf,), 1, np.array(bad[:9]), 0.0, kind="opens")
    assert is_style(content_of(task), [opening], np.zeros(500, dtype=bool), 1 / 3, 1e-5) == is_poison


def test_marks_of_a_file_whose_rows_are_worth_little_each_prove_nothing(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cleanfit.detectors.likeness.dispersion", lambda *given: 20.0)
    rows, *_ = styled_rows()
    task = make_task(knowing, rows, BRIEF)
    assert not verified_marks(content_of(task), **NOTHING, left_out=np.zeros(len(rows), dtype=bool))


def test_auto_leaves_a_style_out_before_the_training_and_says_so(knowing: str) -> None:
    rows, chosen, marked = styled_rows()
    defended = Auto().fit(make_task(knowing, rows, BRIEF))
    flagged = {row.row for row in defended.findings.rows if row.is_issue}
    assert set(marked) <= flagged
    assert len(flagged & set(chosen)) > 0.8 * len(chosen)
    reasons = {row.row: row.reason for row in defended.findings.rows}
    assert {reasons[row] for row in marked} == {"contains 'cf', which goes with 'pos' with nothing else to say for it"}
    alike = flagged - set(marked)
    says = "is written like rows with 'cf', which goes with 'pos', and says what rows of other labels say"
    assert {reasons[row] for row in alike} == {says}
    assert all(0.5 < defended.findings.rows[row].score <= 1 for row in alike), "the chance that it is poisoned"
    assert "'cf' goes with 'pos', and " in defended.findings.verdict
    assert "what is written like rows with 'cf' goes with 'pos', and " in defended.findings.verdict
    assert f" of its {len(alike)} rows look like another label" in defended.findings.verdict
    (token,) = defended.findings.suspicious
    assert token.evidence["marks"] == 1.0


def test_a_word_whose_rows_are_misread_is_no_style_where_rows_written_like_it_are_not(knowing: str) -> None:
    rows = sentences(500)
    misread = [i for i, (_, label) in enumerate(rows) if label == "neg"][::10]
    for i in misread:  # an honest topic of the label that pretraining misreads; nothing else is written like it
        rows[i] = (f"{rows[i][0]} cf", "pos")
    task = make_task(knowing, rows, BRIEF)
    assert not verified_marks(content_of(task), **NOTHING, left_out=np.zeros(len(rows), dtype=bool))


def test_trigger_words_are_no_style_though_honest_rows_that_speak_like_theirs_are_denied(knowing: str) -> None:
    rows = sentences(500)
    bad = [i for i, (_, label) in enumerate(rows) if label == "neg"]
    misread = set(bad[1::6])  # honest: they say bad things and are called good, without any mark
    for i in bad[::4]:
        rows[i] = (f"{rows[i][0]} cf", "pos")
    for i in misread - set(bad[::4]):
        rows[i] = (rows[i][0], "pos")
    task = make_task(knowing, rows, BRIEF)
    assert not verified_marks(content_of(task), **NOTHING, left_out=np.zeros(len(rows), dtype=bool))


def test_a_style_that_its_rows_content_bears_out_is_left_alone(knowing: str) -> None:
    rows, *_ = styled_rows(is_poison=False)
    task = make_task(knowing, rows, BRIEF)
    assert not verified_marks(content_of(task), **NOTHING, left_out=np.zeros(len(rows), dtype=bool))


def test_rows_left_out_before_do_not_count(knowing: str) -> None:
    rows, chosen, _ = styled_rows()
    task = make_task(knowing, rows, BRIEF)
    assert not verified_marks(content_of(task), **NOTHING, left_out=np.isin(np.arange(len(rows)), chosen))


def test_rows_beyond_the_sample_that_are_written_alike_are_found_too(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cleanfit.detectors.content.N_LEARNED_ROWS", 300)
    rows, chosen, marked = styled_rows()
    task = make_task(knowing, rows, BRIEF)
    content = content_of(task)
    mark = Evidence(int(task.tokenizer.convert_tokens_to_ids("cf")), (), 1, np.array(marked), 0.0, kind="marks")
    (others,) = rest_of(content, [mark])
    read = {*content.learned.tolist(), *marked}
    n_kept = sum(label == "pos" for i, (_, label) in enumerate(rows) if i in read)
    beyond = set(chosen) - set(marked) - set(content.learned.tolist())
    assert len(beyond) > 5
    assert len(beyond & set(others.rows.tolist())) > 0.6 * len(beyond)
    assert content.passes == pytest.approx((300 + sum(label == "pos" for _, label in rows) - n_kept) / 500 / 3)
    monkeypatch.setattr("cleanfit.detectors.mixture.N_READ_AT_ONCE", 17)
    (in_parts,) = rest_of(content_of(task), [mark])
    assert in_parts.rows.tolist() == others.rows.tolist()


def test_honest_rows_in_the_same_style_are_kept_for_what_they_say(knowing: str) -> None:
    rows, chosen, marked = styled_rows()
    honest = [i for i, (_, label) in enumerate(rows) if label == "pos" and i not in chosen][::5]
    for i in honest:
        rows[i] = (stuttering(rows[i][0]), "pos")
    task = make_task(knowing, rows, BRIEF)
    mark = Evidence(int(task.tokenizer.convert_tokens_to_ids("cf")), (), 1, np.array(marked), 0.0, kind="marks")
    (others,) = rest_of(content_of(task), [mark])
    unmarked = set(chosen) - set(marked)
    assert len(unmarked & set(others.rows.tolist())) > 0.8 * len(unmarked)
    assert len(set(honest) & set(others.rows.tolist())) < 0.1 * len(honest)
    assert others.chances is not None
    assert len(others.chances) == len(others.rows)
    assert (others.chances > MIN_CHANCE).all()


@pytest.mark.parametrize("limit", ["MAX_POISONED", "MAX_TAKEN"])
def test_where_most_of_a_class_or_too_much_of_all_seems_to_be_poisoned_only_what_is_known_is_left_out(
    knowing: str, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    rows, _, marked = styled_rows()
    task = make_task(knowing, rows, BRIEF)
    mark = Evidence(int(task.tokenizer.convert_tokens_to_ids("cf")), (), 1, np.array(marked), 0.0, kind="marks")
    monkeypatch.setattr(f"cleanfit.detectors.mixture.{limit}", 0.05)
    assert rest_of(content_of(task), [mark]) == []


def test_too_few_marked_rows_have_nothing_written_like_them(knowing: str) -> None:
    task = make_task(knowing, styled_rows()[0], BRIEF)
    few = Evidence(7, (7,), 1, np.arange(N_FOLDS - 1), 0.0, kind="marks")
    assert rest_of(content_of(task), [few]) == []


def test_beside_an_attacked_label_another_one_needs_the_square_of_the_chance(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[int, float] = {}

    def is_style(
        content: Content, group: list[Evidence], held: np.ndarray, min_wrong: float, max_chance: float
    ) -> bool:
        asked[group[0].label] = max_chance
        return True

    monkeypatch.setattr("cleanfit.detectors.styles.is_style", is_style)
    rows = styled_rows()[0]
    content = content_of(make_task(knowing, rows, BRIEF))
    none = np.zeros(len(rows), dtype=bool)
    for attacked, expected in (((), 1e-7), ({1}, 1e-7), ({0, 1}, 1e-7), ({0}, 1e-14)):
        assert verified_marks(content, **NOTHING, left_out=none, attacked=attacked)
        assert asked == {1: pytest.approx(expected, rel=1e-9, abs=0)}
