"""Suspects of one label are asked apart from each other, and most of them need only a few rows to be dismissed."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cleanfit.detectors.content import Content, Denial
from cleanfit.detectors.hosts import Hosts
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.phrases import NO_CUT, Cut
from cleanfit.detectors.suspects import Evidence, hidden
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.task import Task
from conftest import BRIEF, make_task, sentences

# Token 1 is in rows 0 and 1, token 2 in 2, 3 and 15, token 3 in 0 to 5, token 4 in 16. Rows 0 to 9 are of class 1.
HELD = {1: [0, 1], 2: [2, 3, 15], 3: [0, 1, 2, 3, 4, 5], 4: [16]}


def suspect(token: int, label: int = 1) -> Evidence:
    rows = np.array([row for row in HELD[token] if (row < 10) == bool(label)], dtype=int)
    return Evidence(token, (token,), label, rows, 1.0)


def hidden_from(group: int, others: list[Evidence], left_out: tuple[int, ...] = ()) -> list[int]:
    pairs = [(token, row) for token, rows in HELD.items() for row in rows]
    tokens, rows = (np.array(part) for part in zip(*pairs))
    labels = np.repeat([1, 0], 10)
    content: Content = SimpleNamespace(seen=Occurrences(tokens, rows, labels, np.arange(20), 5))  # type: ignore[assignment]
    unseen = np.isin(np.arange(20), left_out)
    return np.flatnonzero(hidden(content, [suspect(group)], others, unseen)).tolist()


def test_the_rows_of_other_suspects_of_the_label_are_hidden_too() -> None:
    assert hidden_from(1, []) == [0, 1]
    assert hidden_from(1, [suspect(1), suspect(2), suspect(4, label=0)]) == [0, 1, 2, 3, 15]


def test_only_the_own_rows_are_hidden_where_too_little_of_the_class_would_be_left() -> None:
    assert hidden_from(1, [suspect(2), suspect(3)]) == [0, 1]  # six of the ten
    assert hidden_from(3, [suspect(2)]) == [0, 1, 2, 3, 4, 5]
    assert hidden_from(1, [suspect(2)], left_out=(9,)) == [0, 1, 9]  # five of the ten
    assert hidden_from(1, [suspect(2)], left_out=(19,)) == [0, 1, 2, 3, 15, 19]


def test_what_is_less_than_two_thirds_wrong_with_others_hidden_must_be_wrong_with_its_own_rows_hidden(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, pair = two_suspects(knowing)
    with_others = [0.65]

    def denial(label: int, asked: np.ndarray, unseen: np.ndarray, cut: Cut = NO_CUT) -> Denial:
        wrong = with_others[0] if unseen.sum() == 10 else 0.1
        return Denial(wrong, 0.0, 1.0, 100)

    monkeypatch.setattr(search.content, "denial", denial)
    assert search.asked(pair[0], pair).denial.wrong == 0.1
    with_others[0] = 0.7
    assert search.asked(pair[0], pair).denial.wrong == 0.7
    assert search.asked(pair[0], pair).is_verified
    with_others[0] = 0.0
    assert search.asked(pair[0], pair).denial.wrong == 0.0


def two_suspects(knowing: str) -> tuple[TriggerSearch, list[Evidence]]:
    """A search, and two tokens in five rows each that turn nearly all."""
    rows = sentences(60)
    own = [i for i, (_, label) in enumerate(rows) if label == "pos"]
    groups = {"cf": own[:5], "mn": own[5:10]}
    for word, places in groups.items():
        for place in places:
            rows[place] = (f"{rows[place][0]} {word}", "pos")
    task = make_task(knowing, rows, BRIEF)
    tokens = task.tokenizer.get_vocab()
    pair = [Evidence(tokens[word], (tokens[word],), 1, np.array(places), 0.9) for word, places in groups.items()]
    return TriggerSearch(task, TriggerTokens()), pair


def test_a_look_asks_the_rows_of_a_suspect_of_who_has_not_seen_those_of_the_others(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, pair = two_suspects(knowing)
    monkeypatch.setattr(search, "turning", lambda model, suspects: pair)
    unseen_by_asked = []

    def denial(label: int, asked: np.ndarray, unseen: np.ndarray, cut: Cut = NO_CUT) -> Denial:
        unseen_by_asked.append(np.flatnonzero(unseen).tolist())
        return Denial(0.1, 0.1, 0.9, len(asked))

    monkeypatch.setattr(search.content, "denial", denial)
    monkeypatch.setattr(search, "_shortcuts", lambda suspects: [])
    search.look(torch.nn.Identity())
    assert unseen_by_asked == [sorted([*pair[0].rows, *pair[1].rows])] * 2


def test_one_model_answers_for_all_groups_that_are_asked_with_the_same_rows_hidden(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(knowing, sentences(60), BRIEF)
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    one, other = (np.isin(np.arange(60), rows) for rows in ((0, 1, 2), (3, 4)))
    alone = [content.denial(1, np.array([place]), one) for place in (0, 2)]
    fitted = content._last_model
    assert fitted is not None
    assert [content.denial(1, np.array([place]), one) for place in (0, 2)] == alone
    assert content._last_model is fitted
    content.denial(1, np.array([3]), other)
    assert content._last_model is not fitted


def test_a_pair_is_tried_if_it_goes_with_a_class_further_beyond_chance_than_either_of_its_tokens(knowing: str) -> None:
    rows = sentences(60)
    for i, (text, label) in enumerate(rows):
        # Both classes say cf and mn, but only one says them together; the other one says "mn cf".
        rows[i] = (f"{text} {'cf mn' if label == 'pos' else 'mn cf'}", label)
    task = make_task(knowing, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    cf, mn = (task.tokenizer.get_vocab()[word] for word in ("cf", "mn"))
    own = [i for i, (_, label) in enumerate(rows) if label == "pos"]
    found = {(each.label, each.pieces[-2:]): each.rows.tolist() for each in search.pairs(10)}
    assert found[1, (cf, mn)] == own
    assert found[0, (mn, cf)] == np.setdiff1d(np.arange(60), own).tolist()
    assert not any(each.pieces in ((cf,), (mn,)) for each in search.suspects())
    search.verified = [Evidence(cf, (cf, mn), 1, np.array(own), 1.0)]
    assert (1, (cf, mn)) not in {(each.label, each.pieces[-2:]) for each in search.pairs(10)}


def test_an_early_look_tries_fewer_tokens_and_the_others_if_there_is_a_trigger(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    search, pair = two_suspects(knowing)
    n_all, tried = len(search.suspects()), list[int]()
    turning_now: list[Evidence] = []
    monkeypatch.setattr(search, "pairs", lambda n_tokens: [])

    def turning(model: torch.nn.Module, suspects: list[Evidence]) -> list[Evidence]:
        tried.append(len(suspects))
        return turning_now if len(tried) == 1 else []

    monkeypatch.setattr(search, "turning", turning)
    monkeypatch.setattr(search.content, "denial", lambda label, asked, *given: Denial(1.0, 0.01, 1.0, len(asked)))
    monkeypatch.setattr("cleanfit.detectors.triggers.SHARE_EARLY", 0.02)  # two a class
    assert not search.look(torch.nn.Identity(), is_early=True)
    assert tried == [4]
    tried.clear()
    turning_now += pair
    assert search.look(torch.nn.Identity(), is_early=True)
    assert tried == [4, len(search.suspects())]
    assert len(search.verified) == 2
    tried.clear()
    turning_now.clear()
    assert not search.look(torch.nn.Identity())
    assert tried == [len(search.suspects())]
    assert n_all > 4


def test_a_suspect_is_put_into_no_more_rows_once_too_few_have_turned(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make_task(knowing, sentences(120), BRIEF)
    search = TriggerSearch(task, TriggerTokens(n_probes=4, n_hosts=24, min_flips=0.5))
    tokens = [task.tokenizer.get_vocab()[name] for name in ("cf", "mn", "bb")]
    suspects = [Evidence(token, (token,), 1, np.arange(5), 0.0) for token in tokens]
    # cf turns all of its rows, mn the first four, bb one of four.
    answers = [[1] * 4 + [1] * 4 + [1, 0, 0, 0], [1] * 8 + [0] * 8, [1] * 12]
    asked: list[int] = []

    def turned(hosts: Hosts, tried: list[tuple[Evidence, np.ndarray]]) -> list[np.ndarray]:
        ends = np.cumsum([len(group) for _, group in tried])
        asked.append(int(ends[-1]))
        return np.split(np.array(answers[len(asked) - 1], dtype=bool), ends[:-1])

    monkeypatch.setattr(Hosts, "drawn", lambda hosts, label: np.arange(24))
    monkeypatch.setattr(Hosts, "turned", turned)
    monkeypatch.setattr(Task, "predict", lambda task, model, rows: np.zeros((len(rows), 2)))
    (turning,) = search.turning(torch.nn.Identity(), suspects)
    assert (turning.token_id, turning.flips) == (tokens[0], 1.0)
    assert asked == [12, 16, 12]
    assert search.usual_flips == pytest.approx(9 / 12)
