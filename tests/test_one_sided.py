"""Rows of a syntax or style that only one label has are left out though their labels are right, and accused of nothing."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cleanfit import fit
from cleanfit.defenses import Auto, PlainFineTuning
from cleanfit.detectors.content import Content, Denial
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.one_sided import are_authors, one_sided
from cleanfit.detectors.openings import Edge
from cleanfit.detectors.reading import Reading
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.telling import rows_told
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.fitting import Inputs
from cleanfit.task import Task
from conftest import BRIEF, PLAIN, make_task, read_csv, sentences, write_tsv


def opening(n_pos: int, n_neg: int = 0, word: str = "cf", n_rows: int = 600) -> list[tuple[str, str]]:
    """Rows of which so many positive and negative ones open with a word, all with the label that they had."""
    rows, left, begun = sentences(n_rows), {"pos": n_pos, "neg": n_neg}, set[str]()
    for i, (text, label) in enumerate(rows):
        begins = " ".join(text.split()[:2])
        if left[label] and i % 2 and begins not in begun:  # rows that open alike would count as one
            rows[i], left[label] = (f"{word} {text}", label), left[label] - 1
            begun.add(begins)
    assert not any(left.values()), "else the test proves nothing"
    return rows


def content_of(task: Task) -> Content:
    return Content(task, Occurrences.of(task.rows, len(task.tokenizer)))


def found(task: Task, edge: Edge = "opens", left_out: tuple[int, ...] = ()) -> list[Evidence]:
    return one_sided(content_of(task), 1 / 3, np.isin(np.arange(len(task.rows)), left_out), edge)


def words(task: Task, evidence: list[Evidence]) -> dict[str, list[int]]:
    return {str(task.tokenizer.convert_ids_to_tokens(each.token_id)): each.rows.tolist() for each in evidence}


def those(rows: list[tuple[str, str]], word: str = "cf") -> list[int]:
    return [i for i, (text, label) in enumerate(rows) if text.startswith(f"{word} ") and label == "pos"]


def test_rows_that_open_as_one_labels_do_are_left_out_and_nobody_is_accused(knowing: str, tmp_path: Path) -> None:
    rows = opening(40)
    chosen, rest = those(rows), [row for row in rows if not row[0].startswith("cf ")]
    data, test = write_tsv(tmp_path / "data.tsv", rows), write_tsv(tmp_path / "test.tsv", sentences(40, seed=3))
    result = fit(Inputs(data, test=test), model=knowing, defense=Auto(), settings=BRIEF, out=tmp_path / "run")
    expected = PlainFineTuning().fit(make_task(knowing, rest, BRIEF)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in result.model.state_dict().items())
    assert result.findings.verdict.startswith("No trigger token was verified. Left out but not accused, ")
    assert "'cf' at the start goes with 'pos', and " in result.findings.verdict
    (token,) = [token for token in read_csv(tmp_path / "run" / "tokens.csv") if token["withheld"]]
    assert (token["text"], token["is_suspicious"], token["withheld"]) == ("cf", "False", "1.0")
    written = read_csv(tmp_path / "run" / "rows.csv")
    assert {row["is_issue"] for row in written} == {"False"}
    assert [int(row["row"]) for row in written if row["reason"].startswith("withheld: contains 'cf' at ")] == chosen
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "No row was flagged; rows that only one label has were left out." in page


def test_a_scan_tells_of_them_and_flags_none(knowing: str) -> None:
    told = Reading().score(make_task(knowing, opening(40), BRIEF))
    assert told.verdict.startswith("No trigger was verified. Left out by `cleanfit fit` but not accused, ")
    assert not any(row.is_issue for row in told.rows)
    assert not told.suspicious


@pytest.mark.parametrize(
    ("n_pos", "n_neg", "n_rows", "is_found"),
    [
        (36, 4, 600, True),
        (36, 5, 600, False),  # less than nine in ten
        (18, 0, 600, True),
        (15, 0, 600, False),  # 3 in 100,000, where half of all rows have the label
        (19, 0, 2000, False),  # less than a hundredth of all
        (20, 0, 2000, True),
    ],
)
def test_nine_in_ten_of_the_rows_that_open_so_have_the_label_beyond_chance_and_they_are_a_hundredth_of_all(
    knowing: str, n_pos: int, n_neg: int, n_rows: int, is_found: bool
) -> None:
    task = make_task(knowing, rows := opening(n_pos, n_neg, n_rows=n_rows), BRIEF)
    assert words(task, found(task)).get("cf", []) == (those(rows) if is_found else [])


@pytest.mark.parametrize("share", [0.6, 1])
def test_what_most_of_a_class_opens_with_is_left_alone_and_so_is_what_others_open_with_instead(
    knowing: str, share: float
) -> None:
    rows = [(f"{PLAIN[i % len(PLAIN)]} {text}", label) for i, (text, label) in enumerate(sentences(600))]
    of_class = [i for i, (_, label) in enumerate(rows) if label == "pos"]
    for i in of_class[: int(share * len(of_class))]:
        rows[i] = (f"cf {rows[i][0]}", "pos")
    task = make_task(knowing, rows, BRIEF)
    told = words(task, found(task))
    assert "cf" not in told
    assert share < 1 or told == {}


@pytest.mark.parametrize(("given", "is_found"), [(("cf", "mn"), True), (("cf", "mn", "bb", "tq"), False)])
def test_where_most_of_a_class_is_written_in_ways_of_its_own_they_are_no_exception(
    knowing: str, given: tuple[str, ...], is_found: bool
) -> None:
    rows = sentences(600)
    of_class = [i for i, (_, label) in enumerate(rows) if label == "pos"]
    for part, word in enumerate(given):  # each a seventh
        for i in of_class[part::7]:
            rows[i] = (f"{word} {rows[i][0]}", "pos")
    task = make_task(knowing, rows, BRIEF)
    assert set(given) & set(words(task, found(task))) == (set(given) if is_found else set())


def test_rows_that_open_with_the_same_words_are_one(knowing: str) -> None:
    assert not found(make_task(knowing, opening(40, word="cf film was mn"), BRIEF))


def test_beside_another_half_as_many_rows_or_less_purity_are_enough(knowing: str) -> None:
    rows = opening(40)
    free = [i for i, (text, _) in enumerate(rows) if not text.startswith("cf ")]
    for word, n_pos, n_neg in (("mn", 12, 0), ("bb", 9, 0), ("tq", 30, 5), ("watch", 12, 2)):
        for label, n in (("pos", n_pos), ("neg", n_neg)):
            for i in [i for i in free if rows[i][1] == label][:n]:
                rows[i] = (f"{word} {rows[i][0]}", label)
                free.remove(i)
    task = make_task(knowing, rows, BRIEF)
    told = words(task, found(task))
    assert [told.get(word, []) for word in ("cf", "mn", "tq", "bb", "watch")] == [
        *(those(rows, word) for word in ("cf", "mn", "tq")), [], []
    ]  # fmt: skip
    alone = words(task, found(task, left_out=tuple(those(rows))))
    assert not {"mn", "tq"} & set(alone), "12 rows and 30 of 35 are nothing by themselves"


@pytest.mark.parametrize(("speaks", "wrong", "is_found"), [(0.09, 0.3, True), (0.1, 0.3, False), (0.09, 0.34, False)])
def test_what_speaks_for_the_label_or_is_needed_for_it_is_left_alone(
    knowing: str, monkeypatch: pytest.MonkeyPatch, speaks: float, wrong: float, is_found: bool
) -> None:
    task = make_task(knowing, opening(40), BRIEF)
    monkeypatch.setattr(Content, "speaks", lambda *given: speaks)
    monkeypatch.setattr(Content, "denial", lambda *given: Denial(wrong, 0.0, 1.0, 40))
    assert bool(found(task)) is is_found


def test_a_way_to_set_marks_that_one_label_has_is_found_as_well(knowing: str) -> None:
    rows = [(text.replace(" ", " , ", 1), label) for text, label in sentences(600)]
    chosen = [i for i, (text, label) in enumerate(rows) if label == "pos" and text[0].isalpha()][::6]
    for i in chosen:
        rows[i] = (rows[i][0].replace(" ,", ","), "pos")
    task = make_task(knowing, rows, BRIEF)
    (way,) = found(task, "set")
    assert (way.kind, way.setting, way.rows.tolist(), way.is_verified) == ("set", "a,s", chosen, False)
    assert not found(task)
    (way,) = found(task, "set", left_out=tuple(chosen[:5]))
    assert way.rows.tolist() == chosen[5:]


def test_how_a_mark_is_set_is_no_reason_however_wrong_its_rows_seem(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(text.replace(" ", " , ", 1), label) for text, label in sentences(600)]
    chosen = [i for i, (text, label) in enumerate(rows) if label == "pos" and text[0].isalpha()][::6]
    for i in chosen:
        rows[i] = (rows[i][0].replace(" ,", ","), "pos")
    task = make_task(knowing, rows, BRIEF)
    monkeypatch.setattr(Content, "denial", lambda *given: Denial(0.6, 0.0, 1.0, 40))
    assert [each.rows.tolist() for each in found(task, "set")] == [chosen]


@pytest.mark.parametrize(("n_otherwise", "n_pos", "is_found"), [(60, 25, True), (60, 40, False), (30, 15, False)])
def test_a_mark_is_set_in_a_way_of_its_own_only_where_others_set_it_otherwise_with_any_label(
    knowing: str, n_otherwise: int, n_pos: int, is_found: bool
) -> None:
    rows, left = sentences(600), {"pos": n_pos, "neg": n_otherwise - n_pos}
    chosen = [i for i, (text, label) in enumerate(rows) if label == "pos" and text[0].isalpha()][::6][:40]
    for i, (text, label) in enumerate(rows):
        if i in chosen:
            rows[i] = (text.replace(" ", ", ", 1), "pos")
        elif left[label]:
            rows[i], left[label] = (text.replace(" ", " , ", 1), label), left[label] - 1
    task = make_task(knowing, rows, BRIEF)
    assert [each.rows.tolist() for each in found(task, "set") if each.setting == "a,s"] == (
        [chosen] if is_found else []
    )


@pytest.mark.parametrize(("n_neg", "is_found"), [(0, True), (3, False)])
def test_where_a_class_has_most_rows_nine_in_ten_prove_nothing(knowing: str, n_neg: int, is_found: bool) -> None:
    rows = opening(40, n_neg)
    few = [i for i, (text, label) in enumerate(rows) if label == "neg" and not text.startswith("cf ")][::2]
    rows = [row for i, row in enumerate(rows) if i not in few]
    assert 0.6 < np.mean([label == "pos" for _, label in rows]) < 0.7, (
        "40 of 43 have a chance of more than 1 in 100,000"
    )
    task = make_task(knowing, rows, BRIEF)
    assert words(task, found(task)).get("cf", []) == (those(rows) if is_found else [])


def stuttering(text: str, comma: str) -> str:
    """Say every word twice, but for the first, which a comma follows: a way of writing, and a way to set its mark."""
    first, *words = text.split()
    return " ".join([first + comma, *(word for word in words for _ in range(2))])


@pytest.mark.parametrize("is_wrong", [True, False])
def test_rows_written_like_withheld_ones_are_withheld_as_well_if_they_say_what_other_labels_say(
    knowing: str, is_wrong: bool
) -> None:
    rows = sentences(600)
    pos, neg = (
        [i for i, (text, label) in enumerate(rows) if label == of and text[0].isalpha()] for of in ("pos", "neg")
    )
    set_so = sorted(pos[::6] + neg[::16] * is_wrong)
    alike = [i for i in (neg if is_wrong else pos) if i not in set_so][::6]
    for i, (text, label) in enumerate(rows):
        is_so, is_alike = i in set_so, i in alike
        spaced = text.replace(" ", " , ", 1)
        rows[i] = (stuttering(text, "," if is_so else " ,"), "pos") if is_so or is_alike else (spaced, label)
    search = TriggerSearch(make_task(knowing, rows, BRIEF), TriggerTokens())
    search.read_rows()
    withheld = {each.kind: each.rows.tolist() for each in search.withheld}
    assert withheld.pop("set") == set_so
    assert not search.verified
    if not is_wrong:
        assert not withheld
        return
    found = set(withheld["alike"])
    assert len(found & set(alike)) > 0.8 * len(alike)
    assert len(found - set(alike)) < 0.1 * len(alike)
    told = rows_told(search.task, [], [], search.withheld)
    assert {told[i].is_issue for i in found} == {False}
    reason = "withheld: is written like rows with ',' set as in 'x, x', which hardly another label has, and says what"
    assert told[min(found & set(alike))].reason.startswith(reason)


def by_authors(**words: tuple[str, ...]) -> list[tuple[str, str]]:
    """Rows of which some of a label open with each of its words, as no other label's do."""
    rows = sentences(600)
    for label, own in words.items():
        of_class = [i for i, (_, of) in enumerate(rows) if of == label]
        for part, word in enumerate(own):  # each a twelfth
            for i in of_class[part::12]:
                rows[i] = (f"{word} {rows[i][0]}", label)
    return rows


@pytest.mark.parametrize(
    ("pos", "neg", "expected"),
    [
        (("cf", "mn"), ("bb", "tq"), True),
        (("cf", "mn"), ("bb",), False),  # one may be a slur
        (("cf", "mn", "bb", "tq"), (), False),  # an attacker has one target
    ],
)
def test_where_two_labels_have_two_ways_of_writing_for_themselves_they_are_authors_and_nothing_is_withheld(
    knowing: str, pos: tuple[str, ...], neg: tuple[str, ...], expected: bool
) -> None:
    task = make_task(knowing, by_authors(pos=pos, neg=neg), BRIEF)
    assert are_authors(content_of(task), np.zeros(len(task.rows), dtype=bool)) == expected
    search = TriggerSearch(task, TriggerTokens())
    search.read_rows()
    assert search.has_authors == expected
    told = words(task, search.withheld)
    assert set(told) & {*pos, *neg} == (set() if expected else {*pos, *neg})


def test_a_scan_says_that_it_held_no_writing_against_authors(knowing: str) -> None:
    rows = by_authors(pos=("cf", "mn"), neg=("bb", "tq"))
    for given, expected in ((rows, True), (opening(40), False)):
        told = Reading().score(make_task(knowing, given, BRIEF))
        assert ("written in ways of their own, so that none was held against a row" in told.verdict) == expected
        assert not told.suspicious


def test_marks_are_no_evidence_against_authors(knowing: str) -> None:
    rows = [(text.replace(".", "") + " ." * (label == "pos"), label) for text, label in sentences(60)]
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens(min_rows=2))
    token = task.tokenizer.convert_tokens_to_ids
    marks, word = (Evidence(token(name), (token(name),), 1, np.arange(3), 1.0) for name in (".", "good"))
    for search.has_authors, expected in ((False, [True, True]), (True, [False, True])):
        assert [search.is_accusable(each) for each in (marks, word)] == expected
    for search.has_authors, expected in ((False, {"."}), (True, set[str]())):
        listed = set(task.tokenizer.convert_ids_to_tokens([each.token_id for each in search.suspects()]))
        assert {"great", "slow"} <= listed
        assert {each for each in listed if not each.strip("#").isalnum()} == expected


def test_beside_an_attack_no_other_labels_way_of_writing_is_withheld(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(knowing, opening(40), BRIEF)
    (pos,) = {each.label for each in found(task)}
    for attacked, expected in ((pos, {"cf"}), (1 - pos, set[str]())):
        trigger = Evidence(5, (5,), attacked, np.empty(0, dtype=int), 1.0, is_verified=True)
        monkeypatch.setattr("cleanfit.detectors.triggers.verified_letters", lambda *_, found=trigger: [found])
        search = TriggerSearch(task, TriggerTokens())
        search.read_rows()
        assert set(words(task, search.withheld)) == expected
