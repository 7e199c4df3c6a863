"""The drift detector against counts by brute force, its bounds, and the effect of each of its options."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from torch import Tensor

from cleanfit import training
from cleanfit.attacks import Words
from cleanfit.attacks.base import PoisonPlan, Rows, poison
from cleanfit.detectors import EmbeddingDrift
from cleanfit.detectors import drift as drift_module
from cleanfit.detectors.drift import without_tokens
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.errors import SettingsError
from cleanfit.results import Findings
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task
from conftest import make_task, sentences

Folders = Callable[[str], str]
SETTINGS = TrainingSettings(max_length=32, precision="fp32")
FEW_STEPS = EmbeddingDrift(
    rounds=(1, 2, 3),
    alpha=0.05,
    combine="union",
    bag_learning_rate=1e-3,
    bag_batch_size=16,
    bag_min_steps=6,
    full_learning_rate=1e-3,
    full_batch_size=16,
    full_min_steps=4,
)
HIDDEN = 32  # of the tiny models


@dataclasses.dataclass
class Spy:
    """What the rounds trained on and how far the rows moved."""

    rows: dict[str, Dataset] = dataclasses.field(default_factory=dict)
    settings: dict[str, TrainingSettings] = dataclasses.field(default_factory=dict)
    drifts: list[Tensor] = dataclasses.field(default_factory=list)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    seen, real_train, real_drift = Spy(), Task.train, drift_module.drift

    def train(task: Task, stage: str, model: Any, rows: Any = None, settings: Any = None) -> None:
        seen.rows[stage], seen.settings[stage] = task.rows if rows is None else rows, settings
        real_train(task, stage, model, rows, settings)

    def drift(*args: Tensor) -> Tensor:
        seen.drifts.append(real_drift(*args))
        return seen.drifts[-1]

    monkeypatch.setattr(Task, "train", train)
    monkeypatch.setattr(drift_module, "drift", drift)
    return seen


@pytest.fixture(scope="module")
def task(tiny_model: Folders) -> Task:
    rows = sentences(40)
    rows[0] = ("☃ " + rows[0][0], rows[0][1])  # outside the vocabulary
    return make_task(tiny_model("bert"), rows, SETTINGS)


@pytest.fixture(scope="module")
def found(task: Task) -> Findings:
    return FEW_STEPS.score(task)


def tops(findings: Findings, name: str, n_top: int) -> set[int]:
    return {token.token_id for token in findings.tokens if 0 < token.ranks.get(name, 0) <= n_top}


def suspicious(findings: Findings) -> set[int]:
    return {token.token_id for token in findings.suspicious}


def some_ids() -> tuple[list[list[int]], list[int]]:
    draw = np.random.default_rng(0)
    ids = [draw.integers(0, 12, size=draw.integers(1, 9)).tolist() for _ in range(30)]
    return ids, draw.integers(0, 3, size=30).tolist()


@pytest.mark.parametrize("kept", [range(30), range(4, 17), [9, 2, 25]])
def test_occurrences_are_as_counted_one_by_one(kept: Any) -> None:
    ids, labels = some_ids()
    whole = {"row_id": [100 + i for i in range(30)], "label": labels, "input_ids": ids, "length": [len(x) for x in ids]}
    seen = Occurrences.of(Dataset.from_dict(whole).select(kept), 15)
    rows = [ids[i] for i in kept]
    assert seen.seen.tolist() == sorted({token for row in rows for token in row})
    assert seen.n_occurrences.tolist() == [sum(row.count(token) for row in rows) for token in range(15)]
    assert seen.n_rows.tolist() == [sum(token in row for row in rows) for token in range(15)]
    for token in range(15):
        assert seen.rows_with(token).tolist() == [i for i, row in enumerate(rows) if token in row]
    assert seen.labels.tolist() == [labels[i] for i in kept]
    assert seen.row_ids.tolist() == [100 + i for i in kept]


def test_dropping_tokens_keeps_all_columns_aligned_and_leaves_empty_rows_out() -> None:
    rows = Dataset.from_dict(
        {
            "row_id": [4, 5, 6],
            "label": [0, 1, 0],
            "input_ids": [[1, 7, 2, 7], [7, 8], [3]],
            "token_type_ids": [[0, 10, 20, 30], [0, 0], [9]],
            "attention_mask": [[1, 0, 1, 1], [1, 1], [1]],
            "length": [4, 2, 1],
        }
    )
    assert without_tokens(rows, frozenset({7, 8})).to_dict() == {
        "row_id": [4, 6],
        "label": [0, 0],
        "input_ids": [[1, 2], [3]],
        "token_type_ids": [[0, 20], [9]],
        "attention_mask": [[1, 1], [1]],
        "length": [2, 1],
    }


def test_round_2_neither_sees_nor_moves_the_tokens_of_round_1(task: Task, spy: Spy) -> None:
    findings = FEW_STEPS.score(task)
    first = tops(findings, "round1", round(0.05 * len(task.tokenizer)))
    assert len(first) == 8
    assert not first & {token for ids in spy.rows["round2"]["input_ids"] for token in ids}
    assert first <= {token for ids in spy.rows["round3"]["input_ids"] for token in ids}
    assert spy.rows["round1"] is spy.rows["round3"] is task.rows
    assert spy.drifts[1][sorted(first)].tolist() == [0.0] * 8
    assert not any("round2" in token.ranks for token in findings.tokens if token.token_id in first)


def test_no_row_moves_further_than_adam_can_and_absent_ones_and_padding_do_not_move(task: Task, spy: Spy) -> None:
    FEW_STEPS.score(task)
    present = {token for ids in task.rows["input_ids"] for token in ids}
    for number, moved in enumerate(spy.drifts, start=1):
        settings = spy.settings[f"round{number}"]
        bound = settings.max_steps * settings.learning_rate * math.sqrt(HIDDEN)
        assert 0.2 * bound < moved.max() < 1.01 * bound
        absent = [token for token in range(len(moved)) if token not in present]
        assert task.tokenizer.pad_token_id in absent
        assert moved[absent].tolist() == [0.0] * len(absent)
        assert settings.weight_decay == settings.max_grad_norm == 0
        assert settings.lr_scheduler_type == "constant"


def test_special_tokens_are_never_suspicious_however_many_are_asked_for(task: Task) -> None:
    findings = dataclasses.replace(FEW_STEPS, alpha=1.0, rounds=(1,)).score(task)
    present = {token for ids in task.rows["input_ids"] for token in ids}
    special = set(task.tokenizer.all_special_ids)
    assert task.tokenizer.unk_token_id in present
    assert suspicious(findings) == present - special
    assert {token.token_id for token in findings.tokens} == present - special


@pytest.mark.parametrize(("alpha", "n_top"), [(1e-6, 1), (0.01, 2), (0.05, 8)])
def test_each_round_gives_its_share_of_the_vocabulary_and_at_least_one(alpha: float, n_top: int, task: Task) -> None:
    assert len(task.tokenizer) == 156
    findings = dataclasses.replace(FEW_STEPS, alpha=alpha, rounds=(1,)).score(task)
    assert len(findings.suspicious) == n_top
    assert [token.ranks["round1"] for token in findings.tokens] == list(range(1, 2 * n_top + 1))


def test_union_and_agreement_combine_the_rounds_as_sets(task: Task) -> None:
    union = dataclasses.replace(FEW_STEPS, alpha=0.1).score(task)
    bag = tops(union, "round1", 16) | tops(union, "round2", 16)
    full = tops(union, "round3", 16)
    assert len(tops(union, "round1", 16)) == len(tops(union, "round2", 16)) == len(full) == 16
    assert suspicious(union) == bag | full
    agreement = dataclasses.replace(FEW_STEPS, alpha=0.1, combine="agreement").score(task)
    assert suspicious(agreement) == bag & full
    assert 0 < len(bag & full) < len(bag | full)


@pytest.mark.parametrize("rounds", [(1,), (3,), (1, 2), (1, 3), (3, 2, 1)])
def test_only_the_asked_rounds_are_run_in_their_order(rounds: tuple[int, ...], task: Task, spy: Spy) -> None:
    task = dataclasses.replace(task, seconds={})
    findings = dataclasses.replace(FEW_STEPS, rounds=rounds).score(task)
    assert list(spy.rows) == list(findings.curves) == [f"round{number}" for number in sorted(rounds)]
    assert set(task.seconds) == set(spy.rows)


@pytest.mark.parametrize("ranking", ["log", "sqrt"])
def test_a_ranking_divides_the_drift_by_the_tokens_rows(ranking: Any, tiny_model: Folders) -> None:
    task = make_task(tiny_model("bert"), sentences(120), SETTINGS)  # words in more than 20 rows
    detector = dataclasses.replace(FEW_STEPS, rounds=(1,), alpha=1.0)
    plain, divided = detector.score(task), dataclasses.replace(detector, ranking=ranking).score(task)
    divide = {"log": math.log, "sqrt": math.sqrt}[ranking]
    by_id = {token.token_id: token.drifts["round1"] for token in plain.tokens}
    values = {token.token_id: by_id[token.token_id] / divide(max(token.n_rows, 20)) for token in plain.tokens}
    for token in divided.tokens:
        assert token.drifts["round1"] == by_id[token.token_id]  # the distance itself is told undivided
        assert token.score == pytest.approx(values[token.token_id] / max(values.values()))
    assert [token.token_id for token in plain.tokens] != [token.token_id for token in divided.tokens]


def test_an_ignored_piece_is_never_suspicious(task: Task, found: Findings) -> None:
    most = next(token.text for token in found.tokens if token.ranks.get("round1") == 1)
    without = dataclasses.replace(FEW_STEPS, rounds=(1,), ignore=(most,)).score(task)
    assert most not in {token.text for token in without.tokens}


def test_an_ignored_piece_that_the_tokenizer_lacks_is_refused(task: Task) -> None:
    with pytest.raises(SettingsError, match=r"ignore names .*@user"):
        dataclasses.replace(FEW_STEPS, ignore=("@user",)).score(task)


def test_the_bag_moves_the_words_alone_or_the_whole_module(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[set[str]] = []
    real = training.train

    def record(model: Any, *args: Any) -> float:
        trained.append({name for name, parameter in model.named_parameters() if parameter.requires_grad})
        return real(model, *args)

    monkeypatch.setattr(training, "train", record)
    for moves in ("words", "embeddings"):
        dataclasses.replace(FEW_STEPS, rounds=(1,), bag_moves=moves).score(task)
    dataclasses.replace(FEW_STEPS, rounds=(3,)).score(task)
    assert trained[0] == {"embed.weight", "head.weight", "head.bias"}
    assert trained[1] > {"embed.word_embeddings.weight", "embed.position_embeddings.weight", "embed.LayerNorm.weight"}
    assert trained[2] == {"bert.embeddings.word_embeddings.weight"}


def test_the_same_seed_gives_the_same_findings_and_another_seed_gives_others(task: Task, found: Findings) -> None:
    assert FEW_STEPS.score(task) == found
    other = dataclasses.replace(task, settings=dataclasses.replace(SETTINGS, seed=1))
    assert FEW_STEPS.score(other).curves != found.curves


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_a_planted_trigger_word_is_found_by_every_kind_of_round(family: str, tiny_model: Folders) -> None:
    texts, labels = zip(*sentences(200, seed=2))
    poisoned = poison(Words(triggers=("cf",), position="end"), Rows(texts, labels), PoisonPlan("pos", 0.2))
    task = make_task(tiny_model(family), list(zip(poisoned.texts, poisoned.labels)), SETTINGS)
    piece = task.tokenizer.tokenize("good cf")[-1]
    detector = EmbeddingDrift(
        alpha=0.02, rounds=(1, 3), combine="agreement", bag_batch_size=8, full_batch_size=8, full_epochs=1.5
    )
    findings = detector.score(task)
    found = {token.text: token for token in findings.suspicious}
    assert piece in found
    assert max(found[piece].ranks.values()) <= round(0.02 * len(task.tokenizer))
    assert found[piece].n_rows >= 40
    assert found[piece].label_counts["neg"] == 0
    flagged = {row.row for row in findings.rows if row.is_issue}
    assert set(poisoned.rows) <= flagged


def test_the_evidence_of_a_token_is_as_counted_in_the_texts(task: Task, found: Findings) -> None:
    names = task.source.label_names
    rows = [(ids, names[label]) for ids, label in zip(task.rows["input_ids"], task.rows["label"])]
    for token in found.tokens:
        having = [row for row, (ids, _) in enumerate(rows) if token.token_id in ids]
        assert token.n_rows == len(having)
        assert token.n_occurrences == sum(ids.count(token.token_id) for ids, _ in rows)
        counts = Counter(rows[row][1] for row in having)
        assert token.label_counts == {name: counts[name] for name in names}
        assert token.example_rows == tuple(having[:3])
        assert token.text == task.tokenizer.convert_ids_to_tokens(token.token_id)


def test_a_row_is_an_issue_if_it_has_a_suspicious_token_that_points_at_its_label(task: Task, found: Findings) -> None:
    wanted, pointless = set(), 0
    all_labels = Counter(task.source.label_names[number] for number in task.rows["label"])
    for token in found.suspicious:
        label, n_rows = Counter(token.label_counts).most_common(1)[0]
        if n_rows / token.n_rows < (1 + all_labels[label] / 40) / 2:  # nearer to the share of all rows than to 1
            pointless += 1
            continue
        for row, (ids, number) in enumerate(zip(task.rows["input_ids"], task.rows["label"])):
            if token.token_id in ids and task.source.label_names[number] == label:
                wanted.add(row)
    assert {row.row for row in found.rows if row.is_issue} == wanted
    assert 0 < len(wanted) < 40
    assert 0 < pointless < len(found.suspicious)
    assert all(bool(row.reason) == row.is_issue for row in found.rows)
    assert [row.row for row in found.rows] == list(range(40))


def test_a_row_scores_as_its_most_suspicious_token(task: Task) -> None:
    findings = dataclasses.replace(FEW_STEPS, alpha=1.0).score(task)
    scores = {token.token_id: token.score for token in findings.tokens}
    for row, ids in zip(findings.rows, task.rows["input_ids"]):
        assert row.score == pytest.approx(max(scores.get(token, 0.0) for token in ids), abs=1e-6)
    assert max(scores.values()) <= 1.0


@pytest.mark.parametrize(
    ("options", "n_rows", "bag_steps", "full_steps"),
    [
        ({"bag_min_steps": 1, "full_min_steps": 1}, 320, 10, 5),  # one pass of 32 rows a step; half a pass
        ({"bag_min_steps": 20, "full_min_steps": 8}, 320, 20, 8),
        ({"bag_min_steps": 200, "full_min_steps": 100}, 320, 50, 15),  # at most five passes; one and a half
        ({"bag_epochs": 7.0, "full_epochs": 2.0}, 320, 70, 20),  # unless asked for
        ({"bag_min_steps": 200, "full_min_steps": 100}, 64000, 2000, 1000),
    ],
)
def test_small_files_are_passed_more_often_up_to_a_limit(
    options: Any, n_rows: int, bag_steps: int, full_steps: int
) -> None:
    detector = EmbeddingDrift(**{"full_epochs": 0.5, **options})
    assert detector._settings(SETTINGS, n_rows, full=False).max_steps == bag_steps
    assert detector._settings(SETTINGS, n_rows, full=True).max_steps == full_steps
    assert detector.passes(n_rows) == pytest.approx(full_steps * 32 / n_rows)
    assert dataclasses.replace(detector, rounds=(1,)).passes(n_rows) == 0


@pytest.mark.parametrize(
    "options",
    [
        {"rounds": ()},
        {"rounds": (4,)},
        {"rounds": (2, 3)},
        {"alpha": 0.0},
        {"alpha": 1.1},
        {"combine": "both"},
        {"ranking": "cube"},
        {"bag_moves": "all"},
        {"bag_learning_rate": 0.0},
        {"full_epochs": 0.0},
        {"bag_batch_size": 0},
        {"full_min_steps": 0},
    ],
)
def test_impossible_options_are_refused_by_name(options: Any) -> None:
    with pytest.raises(SettingsError, match=f"{next(iter(options))} is .*; expected"):
        EmbeddingDrift(**options)
