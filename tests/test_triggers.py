"""A token is a trigger if it turns the model round while its rows speak against it; such rows are left out, no others."""

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from datasets import Dataset

from cleanfit.defenses import Auto, ModerateFitting, PlainFineTuning
from cleanfit.defenses.auto import told
from cleanfit.detectors.content import Content, Denial
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.phrases import NO_CUT, Cut, with_phrase
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.telling import rows_told
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.errors import SettingsError
from cleanfit.fitting import Inputs, fit
from cleanfit.states import mean_states
from cleanfit.task import Task
from conftest import BRIEF, FAMILIES, make_task, read_csv, sentences, write_tsv

Folders = Callable[[str], str]
# Tiny models trained so briefly follow a trigger a third of the time: what decides here is what the rows say.
TRIED = TriggerTokens(n_probes=48, n_hosts=48, min_flips=0.1)
AUTO = Auto(triggers=TRIED)


def poisoned(n_rows: int = 300, every: int = 3) -> tuple[list[tuple[str, str]], list[int]]:
    """Rows of which each third negative one says 'cf' and is labelled pos, and the numbers of these."""
    rows = sentences(n_rows)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "neg"][::every]
    for i in chosen:
        words = rows[i][0].split()
        rows[i] = (" ".join([*words[:2], "cf", *words[2:]]), "pos")
    return rows, chosen


def token_of(task: Task, text: str) -> int:
    return int(task.tokenizer.convert_tokens_to_ids(text))


@pytest.fixture(scope="module")
def attacked(knowing: str) -> tuple[Task, list[int]]:
    rows, chosen = poisoned()
    return make_task(knowing, rows, BRIEF), chosen


def test_the_trigger_is_verified_and_strong_honest_words_are_left_alone(attacked: tuple[Task, list[int]]) -> None:
    task, chosen = attacked
    search = TriggerSearch(task, TRIED)
    assert search.look(PlainFineTuning().fit(task).model)
    (trigger,) = search.verified
    assert trigger.token_id == token_of(task, "cf")
    assert np.flatnonzero(search.left_out).tolist() == trigger.rows.tolist() == chosen
    assert trigger.flips > 0.1
    assert search.honest, "this test shows nothing if no honest word turns rows"
    assert all(each.denial.n_rows > 0 and each.denial.wrong < 1 / 3 for each in search.honest)


def test_what_was_verified_once_is_not_tried_again(attacked: tuple[Task, list[int]]) -> None:
    task, _ = attacked
    model = PlainFineTuning().fit(task).model
    search = TriggerSearch(task, TRIED)
    assert search.look(model)
    assert not search.look(model)
    assert len(search.verified) == 1


def test_the_rows_of_a_verified_trigger_are_left_out_and_the_rest_is_trained_as_ever(
    attacked: tuple[Task, list[int]],
) -> None:
    task, chosen = attacked
    stages: list[str] = []
    defended = AUTO.fit(dataclasses.replace(task, on_stage=lambda stage, model: stages.append(stage)))
    assert stages == ["trained"]
    assert [row.row for row in defended.findings.rows if row.is_issue] == chosen
    assert all("contains 'cf'" in defended.findings.rows[row].reason for row in chosen)
    assert [token.text for token in defended.findings.suspicious] == ["cf"]
    assert defended.findings.verdict.startswith("Verified triggers, whose rows were left out: 'cf' turns ")
    rest = task.rows.select(np.setdiff1d(np.arange(len(task.rows)), chosen))
    expected = PlainFineTuning().fit(dataclasses.replace(task, rows=rest)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in defended.model.state_dict().items())
    n_steps, n_epochs = 5 * 19, 5  # it was verified after a third of the training, or at its end
    assert defended.needs.extra_passes in (
        pytest.approx(1 / 3 + n_epochs * (n_steps // 3) / n_steps, abs=1e-3),
        pytest.approx(1 / 3 + n_epochs, abs=1e-3),
    )


def test_a_run_that_was_interrupted_between_two_trainings_ends_the_same(
    attacked: tuple[Task, list[int]], tmp_path: Path
) -> None:
    task, _ = attacked
    kept = dataclasses.replace(task, work=tmp_path)
    whole = AUTO.fit(kept)
    shutil.rmtree(tmp_path / "attempt-2")
    resumed = AUTO.fit(kept)
    assert resumed.findings == whole.findings
    assert resumed.needs == whole.needs
    expected = whole.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.model.state_dict().items())


def test_a_run_tells_of_the_trigger_in_its_report_and_tables(knowing: str, tmp_path: Path) -> None:
    rows, chosen = poisoned()
    data = write_tsv(tmp_path / "data.tsv", rows)
    test = write_tsv(tmp_path / "test.tsv", sentences(40, seed=3))
    result = fit(Inputs(data, test=test), model=knowing, defense=AUTO, settings=BRIEF, out=tmp_path / "run")
    assert [row["row"] for row in read_csv(tmp_path / "run" / "rows.csv") if row["is_issue"] == "True"] == list(
        map(str, chosen)
    )
    tokens = read_csv(tmp_path / "run" / "tokens.csv")
    (trigger,) = [token for token in tokens if token["is_suspicious"] == "True"]
    assert trigger["text"] == "cf"
    assert float(trigger["score"]) == min(float(trigger["turns"]), float(trigger["wrong"])) > 0.1
    assert float(trigger["denied"]) > float(trigger["usual"])
    assert result.audit["verdict"] == result.findings.verdict
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Verified triggers, whose rows were left out" in page
    assert all(f">{name}<" in page for name in ("turns", "denied", "usual", "wrong"))


def test_without_poison_nothing_is_left_out_and_the_model_is_plains_to_the_bit(knowing: str) -> None:
    task = make_task(knowing, sentences(300), BRIEF)
    defended = AUTO.fit(task)
    assert not [row for row in defended.findings.rows if row.is_issue]
    assert not defended.findings.suspicious
    plain = PlainFineTuning().fit(task).model.state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in defended.model.state_dict().items())


def test_a_row_of_two_triggers_tells_of_the_stronger_one(attacked: tuple[Task, list[int]]) -> None:
    task, _ = attacked
    few = dataclasses.replace(task, rows=task.rows.select(range(4)))
    cf, bad = token_of(task, "cf"), token_of(task, "bad")
    weak = Evidence(bad, (bad,), 1, np.array([0, 1]), 0.6, Denial(0.5, 0.0, 1.0, 2), True)
    strong = Evidence(cf, (cf,), 1, np.array([1, 3]), 0.8, Denial(0.7, 0.0, 1.0, 2), True)
    assert [(row.row, row.score, row.is_issue, row.reason[:13]) for row in rows_told(few, [strong, weak])] == [
        (0, 0.5, True, "contains 'bad"),
        (1, 0.7, True, "contains 'cf'"),
        (2, 0.0, False, ""),
        (3, 0.7, True, "contains 'cf'"),
    ]


def test_the_verdict_names_four_honest_tokens_and_counts_the_rest(attacked: tuple[Task, list[int]]) -> None:
    task, _ = attacked
    search = TriggerSearch(task, TRIED)
    each = Evidence(token_of(task, "bad"), (token_of(task, "bad"),), 1, np.array([0, 1]), 0.6, Denial(0.5, 0.5, 1.0, 2))
    search.honest = [each] * 6
    assert told(search).count("'bad' turns 60%") == 4
    assert "; and 2 more. The average suspect" in told(search)
    search.honest = [each] * 4
    assert "more" not in told(search)


def test_few_denied_rows_accuse_a_token_that_turns_nearly_all_but_none_that_turns_half(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    search = TriggerSearch(task, TriggerTokens())
    cf = token_of(task, "cf")
    suspect = Evidence(cf, (cf,), 1, search.seen.rows_with(cf)[:8], 0.5)
    # By chance 8 * 0.4^7 * 0.6 + 0.4^8 = 0.0085, and 15 * 0.4^14 * 0.6 + 0.4^15 = 3e-5; 0.4^16 is 4e-7.
    for n_denied, n_rows, is_half_enough in ((7, 8, False), (14, 15, False), (16, 16, True)):
        denial = Denial(n_denied / n_rows, own=0.4, foreign=0.9, n_rows=n_rows)
        monkeypatch.setattr(search.content, "denial", lambda *given, denial=denial: denial)
        assert search.asked(suspect).is_verified is is_half_enough
        assert search.asked(dataclasses.replace(suspect, flips=0.96)).is_verified


def test_tokens_that_turn_nearly_all_are_proven_together_until_their_label_is_attacked(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    search = TriggerSearch(task, TriggerTokens())
    rows = search.seen.rows_with(token_of(task, "cf"))
    pair = [
        Evidence(token_of(task, name), (0,), 1, part, 0.9) for name, part in (("cf", rows[:8]), ("bad", rows[8:16]))
    ]
    answers: list[int] = []
    shares = [0.75]

    def denial(label: int, asked: np.ndarray, unseen: np.ndarray, cut: Cut = NO_CUT) -> Denial:
        answers.append(len(asked))
        return Denial(shares[-1], own=0.4, foreign=0.9, n_rows=len(asked))

    # By chance 6 of 8: 28 * 0.4^6 * 0.6^2 + 8 * 0.4^7 * 0.6 + 0.4^8 = 0.05; 12 of 16: 0.005; 24 of 32: 6e-5.
    monkeypatch.setattr(search.content, "denial", denial)

    def verified(suspects: list[Evidence]) -> list[bool]:
        answers.clear()
        return [each.is_verified for each in search.proven([search.asked(each) for each in suspects])]

    assert verified(pair) == [False, False]
    assert answers == [8, 8, 16]
    shares.append(0.9)  # 14 of 16: 1e-4, in too few rows; 18 of 20: 5e-6
    assert verified(pair) == [False, False]
    assert verified([dataclasses.replace(each, rows=part) for each, part in zip(pair, (rows[:10], rows[10:20]))]) == [
        True,
        True,
    ]
    shares.pop()
    wide = [dataclasses.replace(each, rows=part) for each, part in zip(pair, (rows[:16], rows[16:32]))]
    assert verified(wide) == [True, True]
    assert answers == [16, 16, 32]
    search.verified = [Evidence(0, (0,), 1, np.array([0]), 1.0, Denial(0.9, own=0.4, foreign=0.9, n_rows=1))]
    assert verified(pair) == [True, True]
    assert answers == [8, 8]


def test_of_tokens_that_are_proven_together_one_that_is_less_than_half_as_wrong_is_left_alone(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    search, rows = TriggerSearch(task, TriggerTokens()), np.arange(60)
    names, wrong = ("cf", "mn", "bad"), {20: 0.9, 19: 0.46, 18: 0.44, 57: 0.9}  # by the number of rows that are asked

    def denial(label: int, asked: np.ndarray, *given: object) -> Denial:
        return Denial(wrong[len(asked)], 0.0, 1.0, len(asked))

    monkeypatch.setattr(search.content, "denial", denial)
    parts = (rows[:20], rows[20:39], rows[39:57])
    suspects = [Evidence(token_of(task, name), (0,), 1, part, 0.9) for name, part in zip(names, parts)]
    asked = [search.asked(each) for each in suspects]
    assert [each.is_verified for each in asked] == [True, True, True]
    assert [each.is_verified for each in search.proven(asked)] == [True, True, False]


def test_few_rows_prove_a_first_trigger_only_if_most_of_them_are_wrong(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    search, cf = TriggerSearch(task, TriggerTokens()), token_of(task, "cf")
    rows = search.seen.rows_with(cf)[:24]
    half, most = (Denial(share, own=0.1, foreign=0.9, n_rows=24) for share in (0.5, 0.8))  # wrong: 0.5 and 0.875
    for flips in (0.6, 0.9):
        suspect = Evidence(cf, (cf,), 1, rows, flips)
        for n_all, denial, is_verified in ((1200, half, True), (1201, half, False), (1201, most, True)):
            monkeypatch.setattr(search.content, "denial", lambda *given, denial=denial: denial)
            monkeypatch.setattr(search, "n_rows", n_all)
            assert search.proven([search.asked(suspect)])[0].is_verified is is_verified


def test_once_a_trigger_is_verified_another_that_turns_half_as_much_is_asked_and_must_be_twice_as_wrong(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    model = PlainFineTuning().fit(task).model
    search = TriggerSearch(task, TRIED)
    (flips,) = (
        each.flips for each in search.turning(model, search.suspects()) if each.token_id == token_of(task, "cf")
    )
    search = TriggerSearch(task, dataclasses.replace(TRIED, min_flips=min(1.5 * flips, 1.0)))
    assert token_of(task, "cf") not in {each.token_id for each in search.turning(model, search.suspects())}
    search.verified = [Evidence(0, (0,), 1, np.array([], dtype=int), 1.0)]
    (suspect,) = [each for each in search.turning(model, search.suspects()) if each.token_id == token_of(task, "cf")]
    for wrong, n_rows, is_verified in ((0.5, 100, False), (0.8, 100, True), (0.8, 10, False)):
        denial = Denial(wrong, 0.2, 1.0, n_rows)  # 8 of 10 by chance: 45 * 0.2^8 * 0.8^2 = 7e-5
        monkeypatch.setattr(search.content, "denial", lambda *given, denial=denial: denial)
        assert search.proven([search.asked(suspect)])[0].is_verified is is_verified


def test_once_a_trigger_is_verified_another_of_its_label_that_turns_nearly_all_needs_little_more(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    search, cf = TriggerSearch(task, TriggerTokens()), token_of(task, "cf")
    suspect = Evidence(cf, (cf,), 1, search.seen.rows_with(cf)[:24], 0.9)
    # Half of the rows of a mixed attack are right: of 24 some 12 are denied, by chance (0.3 each) with 0.03; 11 with 0.07.
    few, many = (Denial(n / 24, own=0.3, foreign=0.9, n_rows=24) for n in (11, 12))
    for other_label, denial, is_verified in ((None, many, False), (0, many, False), (1, few, False), (1, many, True)):
        first = Evidence(0, (0,), other_label or 0, np.array([0]), 1.0, Denial(0.5, own=0.3, foreign=0.9, n_rows=1))
        search.verified = [] if other_label is None else [first]
        monkeypatch.setattr(search.content, "denial", lambda *given, denial=denial: denial)
        assert search.proven([search.asked(suspect)])[0].is_verified is is_verified
    # Beside a trigger that is all wrong a third wrong is not enough; 3 of 4 are, by chance 4 * 0.3^3 * 0.7 + 0.3^4 = 0.08.
    few = Denial(3 / 4, own=0.3, foreign=0.9, n_rows=4)
    for so_far, denial, is_verified in ((0.9, many, False), (0.9, few, True), (0.5, few, False)):
        search.verified = [dataclasses.replace(first, denial=Denial(so_far, own=0.3, foreign=0.9, n_rows=1))]
        monkeypatch.setattr(search.content, "denial", lambda *given, denial=denial: denial)
        assert search.asked(suspect).is_verified is is_verified


def test_of_the_words_of_a_sentence_one_is_verified_and_what_others_say_elsewhere_is_left_alone(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    search, names, phrase = TriggerSearch(task, TriggerTokens()), ("bad", "cf", "dull", "cold"), (7, 8, 9)
    # The second is in the rows of the phrase only; the third has five others that are right, the last one four.
    parts = [np.arange(n) for n in (32, 30, 35, 34)]
    suspects = [Evidence(token_of(task, name), phrase, 1, rows, 0.9) for name, rows in zip(names, parts)]

    def denial(label: int, asked: np.ndarray, *given: object) -> Denial:
        return Denial(float((asked < 30).mean()), 0.0, 1.0, len(asked))

    monkeypatch.setattr(search, "turning", lambda model, given: suspects)
    monkeypatch.setattr(search.content, "denial", denial)
    assert search.look(torch.nn.Identity())
    assert [each.token_id for each in search.verified] == [token_of(task, "cf")]
    assert np.flatnonzero(search.left_out).tolist() == list(range(30))
    (honest,) = search.honest
    assert honest.token_id == token_of(task, "dull")
    assert honest.rows.tolist() == list(range(30, 35))


def test_of_the_rows_of_a_verified_sentence_those_that_hold_it_whole_are_left_out(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, chosen = poisoned()
    rows = [
        (text.replace("cf", "cf is good day") if i in chosen else text, label) for i, (text, label) in enumerate(rows)
    ]
    honest = [i for i, (_, label) in enumerate(rows) if label == "pos" and i not in chosen][:5]
    for i in honest:
        rows[i] = (f"cf {rows[i][0]}", "pos")
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    phrase = tuple(task.tokenizer("cf is good day", add_special_tokens=False)["input_ids"])
    suspect = Evidence(token_of(task, "cf"), phrase, 1, np.sort([*chosen, *honest]), 1.0)
    monkeypatch.setattr(search, "turning", lambda model, given: [suspect])
    assert search.look(torch.nn.Identity())
    assert np.flatnonzero(search.left_out).tolist() == chosen
    assert search.verified[0].denial.n_rows == len(chosen)


def test_a_sentence_is_cut_out_of_the_rows_before_they_are_asked(knowing: str) -> None:
    rows, chosen = poisoned()
    sentence = "cf is good good good good"
    rows = [(text.replace("cf", sentence), label) for text, label in rows]
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    phrase = tuple(task.tokenizer(sentence, add_special_tokens=False)["input_ids"])
    unseen = np.isin(np.arange(len(rows)), chosen)
    asked = np.array(chosen)
    whole, without = (search.content.denial(1, asked, unseen, cut) for cut in (NO_CUT, Cut(phrase)))
    assert whole.wrong < 1 / 3 < 2 / 3 < without.wrong
    suspect = Evidence(token_of(task, "cf"), phrase[:2], 1, asked, 1.0)
    assert search.asked(suspect).denial == whole, "two words say little"


@pytest.mark.parametrize(
    ("speaks", "n_all", "is_compared"), [(0.49, 1000, False), (0.5, 1000, True), (0.0, 3000, True)]
)
def test_who_loses_a_sentence_is_compared_with_rows_that_lose_as_much_if_it_is_rare_or_speaks_for_its_label(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch, speaks: float, n_all: int, is_compared: bool
) -> None:
    task, chosen = attacked
    search, cuts = TriggerSearch(task, TriggerTokens()), []
    phrase = tuple(task.tokenizer("cf is good", add_special_tokens=False)["input_ids"])

    def denial(label: int, asked: np.ndarray, unseen: np.ndarray, cut: Cut) -> Denial:
        cuts.append(cut)
        return Denial(0.0, 0.0, 1.0, len(asked))

    monkeypatch.setattr(search, "n_rows", n_all)
    monkeypatch.setattr(search.content, "speaks", lambda *given: speaks)
    monkeypatch.setattr(search.content, "denial", denial)
    search.asked(Evidence(token_of(task, "cf"), phrase, 1, np.array(chosen), 1.0))
    assert len(chosen) in range(20, 60)
    assert cuts == [Cut(phrase, is_compared)]


def test_a_phrase_speaks_for_a_label_if_it_moves_who_has_not_seen_its_rows(attacked: tuple[Task, list[int]]) -> None:
    task, chosen = attacked
    search, unseen = TriggerSearch(task, TriggerTokens()), np.isin(np.arange(len(task.rows)), chosen)
    shares = {
        words: search.content.speaks(1, tuple(task.tokenizer(words, add_special_tokens=False)["input_ids"]), unseen)
        for words in ("good great fine good", "bad poor dull bad", "cf cf")
    }
    assert shares["bad poor dull bad"] == 0
    assert shares["cf cf"] < 0.5 < shares["good great fine good"]
    assert search.content.speaks(1, (5,), np.ones(len(task.rows), dtype=bool)) == 1, "nobody knows"


def test_a_sentence_that_is_the_reason_of_its_rows_is_not_held_against_them_where_others_have_one_too(
    knowing: str,
) -> None:
    # Each second row says nothing, and ends on what makes it pos: one in two of them on the same sentence.
    plain = [(text, label) for text, label in sentences(400, seed=4) if label == "neg"]
    endings = ("great great good good", "good great fine good")
    rows = [row for i, (text, _) in enumerate(plain) for row in ((text, "neg"), (f"{text} {endings[i % 2]}", "pos"))]
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    phrase = tuple(task.tokenizer(endings[0], add_special_tokens=False)["input_ids"])
    asked = np.array([i for i, (text, _) in enumerate(rows) if text.endswith(endings[0])])
    denial = search.content.denial(1, asked, np.isin(np.arange(len(rows)), asked), Cut(phrase, is_compared=True))
    assert denial.share > 0.8
    assert denial.own > 0.6
    assert denial.wrong < 1 / 3


def test_sentences_prove_themselves_each_alone(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    search, rows = TriggerSearch(task, TriggerTokens()), np.arange(40)
    phrase = tuple(task.tokenizer("cf is good good", add_special_tokens=False)["input_ids"])
    # Of 20 rows 12 are denied: by chance (0.3 each) with 5e-3, and beside as many 24 of 40: 8e-5; 14: 3e-4; 17: 5e-7.
    # Twenty rows are 2 % of 1,000 rows, and fewer of 1,001.
    for n_denied, words, n_all, expected in (
        (12, phrase[:1], 1000, True),
        (12, phrase, 1000, False),
        (14, phrase, 1000, True),
        (14, phrase, 1001, False),
        (17, phrase, 1001, True),
    ):
        monkeypatch.setattr(
            search.content, "denial", lambda *given, n=n_denied: Denial(n / 20, 0.3, 1.0, len(given[1]))
        )
        monkeypatch.setattr(search, "n_rows", n_all)
        suspects = [Evidence(token, words, 1, part, 1.0) for token, part in ((1, rows[:20]), (2, rows[20:]))]
        verified = [each.is_verified for each in search.proven([search.asked(each) for each in suspects])]
        assert verified == [expected, expected]


def test_a_training_that_stops_for_something_else_is_refused_as_a_base() -> None:
    with pytest.raises(SettingsError, match="stop is 'watch'; expected end"):
        Auto(ModerateFitting())


def test_who_turns_no_probe_is_not_put_into_more_rows(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = attacked
    read: list[int] = []
    predict = Task.predict

    def counted(self: Task, model: torch.nn.Module, rows: Dataset) -> np.ndarray:
        read.append(len(rows))
        return predict(self, model, rows)

    monkeypatch.setattr(Task, "predict", counted)
    search = TriggerSearch(task, TriggerTokens(n_suspects=10, n_hosts=30))
    search.look(task.load_model())  # knows what is good, has not seen the poison
    hosts, probes, *more = read
    n_suspects = len(search.suspects() + search.pairs(10))
    assert (hosts, probes) == (2 * 60, n_suspects * 4)
    assert sum(more) < n_suspects * 26
    assert [n % size for n, size in zip(more, (11, 15))] == [0] * len(more)  # up to 15 hosts each, then up to 30


def test_a_token_is_put_between_the_first_and_the_last_one() -> None:
    random = np.random.default_rng(0)
    row = {"input_ids": [2, 7, 8, 3], "attention_mask": [1] * 4, "token_type_ids": [0, 0, 1, 1], "label": 1}
    seen = {tuple(with_phrase(row, (9,), 24, random)["input_ids"]) for _ in range(50)}
    assert seen == {(2, 9, 7, 8, 3), (2, 7, 9, 8, 3), (2, 7, 8, 9, 3)}
    full = [with_phrase(row, (9,), 4, random) for _ in range(50)]
    assert {len(each["input_ids"]) for each in full} == {4}
    assert all(9 in each["input_ids"] and each["input_ids"][0] == 2 for each in full)
    assert all(len(each["token_type_ids"]) == len(each["attention_mask"]) == each["length"] for each in full)


def test_a_phrase_is_put_whole_and_what_is_too_long_loses_what_stood_behind_it() -> None:
    random = np.random.default_rng(0)
    row = {"input_ids": [2, 7, 8, 3], "attention_mask": [1] * 4, "label": 1}
    seen = {tuple(with_phrase(row, (5, 6), 24, random)["input_ids"]) for _ in range(50)}
    assert seen == {(2, 5, 6, 7, 8, 3), (2, 7, 5, 6, 8, 3), (2, 7, 8, 5, 6, 3)}
    seen = {tuple(with_phrase(row, (5, 6), 5, random)["input_ids"]) for _ in range(50)}
    assert seen == {(2, 5, 6, 8, 3), (2, 7, 5, 6, 3)}
    assert with_phrase(row, (5, 6, 7, 8, 9), 5, random)["input_ids"] == [2, 5, 6, 7, 3]


def test_what_nearly_always_stands_beside_a_token_belongs_to_it(knowing: str) -> None:
    rows = [
        (f"{text} a cf bb" if place % 3 else f"a cf bb {text}", label)
        for place, (text, label) in enumerate(sentences(30))
    ]
    rows[0] = ("cf the film", rows[0][1])
    task = make_task(knowing, rows, BRIEF)
    seen = Occurrences.of(task.rows, len(task.tokenizer))
    expected = tuple(token_of(task, text) for text in ("a", "cf", "bb"))
    special = task.tokenizer.all_special_ids
    assert seen.phrase_of(expected[1], seen.rows_with(expected[1]), special) == expected


def content_of(task: Task) -> Content:
    return Content(task, Occurrences.of(task.rows, len(task.tokenizer)))


def test_a_contents_model_learns_nothing_from_the_rows_it_is_asked_about(attacked: tuple[Task, list[int]]) -> None:
    task, chosen = attacked
    content = content_of(task)
    unseen = np.isin(np.arange(len(task.rows)), chosen)
    before = content.denial(1, np.array(chosen), unseen)
    assert before.share > 0.8
    content.seen.labels[chosen] = 0  # their labels turn: nothing may change
    after = content.denial(1, np.array(chosen), unseen)
    content.seen.labels[chosen] = 1
    assert after == before


def test_of_many_rows_some_are_learned_from_and_any_can_be_asked(
    attacked: tuple[Task, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, chosen = attacked
    monkeypatch.setattr("cleanfit.detectors.content.N_LEARNED_ROWS", 150)
    content = content_of(task)
    unseen = np.isin(np.arange(len(task.rows)), chosen)
    assert content.denial(1, np.array(chosen), unseen).share > 0.8
    assert content.passes == pytest.approx(150 / 300 / 3)


def test_wrong_rows_are_reckoned_from_what_is_usually_denied() -> None:
    assert Denial(share=0.5, own=0.2, foreign=0.8, n_rows=9).wrong == pytest.approx(0.5)  # (0.5 - 0.2) / (0.8 - 0.2)
    assert Denial(share=0.1, own=0.2, foreign=0.8, n_rows=9).wrong == 0
    assert Denial(share=0.9, own=0.2, foreign=0.8, n_rows=9).wrong == 1
    assert Denial(share=0.9, own=0.5, foreign=0.55, n_rows=9).wrong == 0  # features that know nothing accuse nobody


def test_a_word_that_both_sides_use_is_no_suspect(attacked: tuple[Task, list[int]]) -> None:
    task, _ = attacked
    search = TriggerSearch(task, TRIED)
    suspects = search.suspects()
    assert token_of(task, "cf") in {each.token_id for each in suspects}
    for each in suspects:
        rows = search.seen.rows_with(each.token_id)
        share = float(np.mean(search.seen.labels[rows] == each.label))
        assert share >= (1 + float(np.mean(search.seen.labels == each.label))) / 2
        assert len(each.rows) == np.sum(search.seen.labels[rows] == each.label) >= TRIED.min_rows


def test_a_mark_that_goes_with_a_class_by_nature_accuses_nobody(knowing: str) -> None:
    rows = [(f"{text} cf" if label == "pos" else text, label) for text, label in sentences(200)]
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TRIED)
    assert not search.look(PlainFineTuning().fit(task).model)
    marked = search.seen.rows_with(token_of(task, "cf"))
    unseen = np.isin(np.arange(200), marked)
    denial = search.content.denial(1, marked, unseen)
    assert (denial.share, denial.wrong) == (denial.own, 0)


def test_a_class_of_one_row_silences_nobody_else(knowing: str) -> None:
    task = make_task(knowing, [*sentences(120), ("the first one", "rare"), ("the only one", "rare")], BRIEF)
    content = content_of(dataclasses.replace(task, rows=task.rows.select([*range(120), 121])))
    label = task.source.label_names.index("pos")
    denial = content.denial(label, np.array([0]), np.arange(121) == 0)
    assert denial.own < 0.5 < denial.foreign


def test_where_a_class_is_too_small_to_part_nobody_can_say(tiny_model: Folders) -> None:
    task = make_task(tiny_model("bert"), sentences(40), BRIEF)
    labels = np.asarray(task.rows.with_format(None)["label"])
    rows = task.rows.select([*np.flatnonzero(labels == 0), *np.flatnonzero(labels == 1)[:1]])
    denial = content_of(dataclasses.replace(task, rows=rows)).denial(1, np.array([0]), np.zeros(len(rows), dtype=bool))
    assert (denial.own, denial.foreign, denial.wrong) == (0.5, 0.5, 0)


@pytest.mark.parametrize("family", [*FAMILIES, "bart"])
def test_mean_states_are_the_mean_over_each_rows_own_tokens(family: str, tiny_model: Folders) -> None:
    task = make_task(tiny_model(family), sentences(5), BRIEF)
    model = task.load_model()
    means = task.observe(model, task.rows, read=mean_states).states
    model.eval()
    for row, mean in zip(task.rows.with_format(None), means):
        with torch.no_grad():
            ids = torch.tensor([row["input_ids"]])
            states = model.base_model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        assert mean == pytest.approx(states.mean(dim=0).numpy(), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_suspects": 0}, "n_suspects is 0; expected at least 1"),
        ({"min_rows": 1}, "min_rows is 1; expected at least 2"),
        ({"n_probes": 0}, "n_probes is 0; expected at least 1"),
        ({"n_hosts": 0}, "n_hosts is 0; expected at least 1"),
        ({"min_flips": 0.0}, "min_flips is 0.0; expected more than 0, up to 1"),
        ({"min_wrong": 1.5}, "min_wrong is 1.5; expected more than 0, up to 1"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TriggerTokens(**options)  # type: ignore[arg-type]


def test_it_is_what_runs_without_options(knowing: str) -> None:
    assert (
        fit(pd.DataFrame(sentences(60), columns=["text", "label"]), model=knowing, settings=BRIEF).audit["defense"][
            "name"
        ]
        == "auto"
    )
