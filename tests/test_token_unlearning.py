"""Unlearning overwrites exactly what it says, once, and composes with any base defense and with trusted rows."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from cleanfit import training
from cleanfit.defenses import PlainFineTuning, TokenUnlearning
from cleanfit.defenses.base import Defended
from cleanfit.defenses.token_unlearning import unlearn
from cleanfit.detectors import EmbeddingDrift
from cleanfit.errors import SettingsError
from cleanfit.results import Findings, Needs, TokenFinding
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task
from conftest import make_task, sentences

Folders = Callable[[str], str]
SETTINGS = TrainingSettings(
    learning_rate=1e-3, num_train_epochs=2, per_device_train_batch_size=8, max_length=32, precision="fp32"
)

# Four tokens, three dimensions. Tokens 1 and 2 are suspicious; tokens 0 and 3 are not, and 3 did not move.
PRETRAINED = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
CHANGE = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.4, 0.5], [-1.2, 0.2, 0.5], [0.0, 0.0, 0.0]])
TRAINED = PRETRAINED + CHANGE
NEUTRAL = torch.tensor([-1.0, -2.0, -3.0])
# All changes squared add up to 2.23; its root 1.4933 over 4 tokens is 0.3733. The changes of the two tokens that moved
# add up to 3.1, over 6 values 0.5167. The medians of the rows are 0.4 and 0.5, and only more than that counts.
ABERRANT = {
    "fro_over_vocab": [[False, True, True], [True, False, True]],
    "mean_abs_seen": [[False, False, False], [True, False, False]],
    "row_median": [[False, False, True], [True, False, False]],
}
SOURCES = {
    "pad": [[-1.0, -2.0, -3.0]] * 2,
    "original": [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]],
    "mean": [[3.0, 3.75, 4.5]] * 2,
    "zero": [[0.0, 0.0, 0.0]] * 2,
}


@dataclass(frozen=True)
class Known:
    """Find the tokens that the test names."""

    token_ids: tuple[int, ...] = ()

    def score(self, task: Task) -> Findings:
        return Findings("known", tuple(TokenFinding(i, f"t{i}", True, 1.0, {}, {}, 1, 1, {}) for i in self.token_ids))

    def passes(self, n_rows: int) -> float:
        return 1.5


@dataclass(frozen=True)
class Shift:
    """Train nothing; add a constant to all embeddings, and say what was asked for."""

    name: ClassVar[str] = "shift"
    asked: list[Task] = dataclasses.field(default_factory=list)

    def fit(self, task: Task) -> Defended:
        self.asked.append(task)
        model = task.load_model()
        with torch.no_grad():
            model.get_input_embeddings().weight.add_(0.5)
        task.on_stage("trained", model)
        return Defended(model, Findings(), Needs(extra_passes=2.0))


def changed(**options: Any) -> TokenUnlearning:
    return TokenUnlearning(**options)


@pytest.fixture
def task(tiny_model: Folders) -> Task:
    return make_task(tiny_model("bert"), sentences(24), SETTINGS)


@pytest.mark.parametrize("replacement", SOURCES)
@pytest.mark.parametrize("threshold", ABERRANT)
def test_the_aberrant_dimensions_and_only_they_are_overwritten(replacement: str, threshold: str) -> None:
    how = changed(scope="dims", replacement=replacement, threshold=threshold)
    after, shares = unlearn(PRETRAINED, TRAINED, [1, 2], NEUTRAL, how)
    mask, source = ABERRANT[threshold], torch.tensor(SOURCES[replacement])
    for token in (1, 2):
        for dim in range(3):
            expected = source[token - 1][dim] if mask[token - 1][dim] else TRAINED[token][dim]
            assert after[token][dim] == expected
    assert shares == pytest.approx([sum(mask[0]) / 3, sum(mask[1]) / 3])
    assert torch.equal(after[[0, 3]], TRAINED[[0, 3]])


@pytest.mark.parametrize("replacement", SOURCES)
def test_scope_row_overwrites_the_whole_row(replacement: str) -> None:
    after, shares = unlearn(PRETRAINED, TRAINED, [1, 2], NEUTRAL, changed(scope="row", replacement=replacement))
    assert after[[1, 2]].tolist() == SOURCES[replacement]
    assert shares == [1.0, 1.0]
    assert torch.equal(after[[0, 3]], TRAINED[[0, 3]])


@pytest.mark.parametrize("threshold", ABERRANT)
def test_the_order_of_tokens_does_not_matter_and_the_threshold_is_computed_once(threshold: str) -> None:
    how = changed(scope="dims", threshold=threshold)
    both, shares = unlearn(PRETRAINED, TRAINED, [1, 2], NEUTRAL, how)
    turned, turned_shares = unlearn(PRETRAINED, TRAINED, [2, 1], NEUTRAL, how)
    assert torch.equal(both, turned)
    assert shares == turned_shares[::-1]
    # A threshold that grew with every edit, as in the published code, would spare more of the second token.
    for token in (1, 2):
        alone, _ = unlearn(PRETRAINED, TRAINED, [token], NEUTRAL, how)
        assert torch.equal(alone[token], both[token])


def test_a_token_that_did_not_move_keeps_its_values() -> None:
    after, shares = unlearn(PRETRAINED, TRAINED, [3], NEUTRAL, changed(scope="dims"))
    assert torch.equal(after, TRAINED)
    assert shares == [0.0]


def test_nothing_moved_is_nothing_aberrant() -> None:
    after, shares = unlearn(PRETRAINED, PRETRAINED, [1], NEUTRAL, changed(scope="dims", threshold="mean_abs_seen"))
    assert torch.equal(after, PRETRAINED)
    assert shares == [0.0]


def test_without_suspicious_tokens_a_copy_comes_back() -> None:
    after, shares = unlearn(PRETRAINED, TRAINED, [], NEUTRAL, TokenUnlearning())
    assert torch.equal(after, TRAINED)
    assert after.data_ptr() != TRAINED.data_ptr()
    assert shares == []


def test_the_trained_embeddings_are_not_changed_in_place() -> None:
    before = TRAINED.clone()
    unlearn(PRETRAINED, TRAINED, [1, 2], NEUTRAL, TokenUnlearning())
    assert torch.equal(TRAINED, before)


def test_a_base_that_resizes_the_embeddings_is_refused() -> None:
    with pytest.raises(SettingsError, match="changed the embeddings"):
        unlearn(PRETRAINED, TRAINED[:3], [1], NEUTRAL, TokenUnlearning())


def test_the_published_preset_has_the_published_values() -> None:
    preset = TokenUnlearning.preset("published")
    assert (preset.replacement, preset.scope, preset.threshold) == ("pad", "dims", "fro_over_vocab")
    assert preset.base == PlainFineTuning()
    expected = {
        "rounds": (1, 2, 3),
        "alpha": 0.0005,
        "combine": "union",
        "ranking": "none",
        "bag_moves": "embeddings",
        "bag_learning_rate": 2e-5,
        "bag_batch_size": 256,
        "bag_epochs": 1.0,
        "full_learning_rate": 2e-5,
        "full_batch_size": 64,
        "full_epochs": 1.0,
    }
    assert {name: getattr(preset.detector, name) for name in expected} == expected
    assert preset.detector.passes(6920) == pytest.approx(108 * 64 / 6920, abs=1e-3)


@pytest.mark.parametrize("option", ["replacement", "scope", "threshold"])
def test_an_unknown_choice_is_refused(option: str) -> None:
    with pytest.raises(SettingsError, match=f"{option} is 'other'; expected one of"):
        changed(**{option: "other"})


def with_trusted(task: Task, n_rows: int) -> Task:
    return dataclasses.replace(task, trusted=task.rows.select(range(n_rows)))


def test_any_base_defense_is_composed_and_sees_no_trusted_rows(task: Task) -> None:
    base = Shift()
    stages: dict[str, Tensor] = {}

    def listen(stage: str, model: PreTrainedModel) -> None:
        stages[stage] = model.get_input_embeddings().weight.detach().clone()

    trusting = dataclasses.replace(with_trusted(task, 10), on_stage=listen)
    defense = TokenUnlearning(base=base, detector=Known((20, 30)), scope="row")  # type: ignore[arg-type]
    defended = defense.fit(trusting)
    assert [asked.trusted for asked in base.asked] == [None]
    assert base.asked[0].rows is trusting.rows
    assert list(stages) == ["trained", "unlearned", "tuned"]
    fresh = task.load_model().get_input_embeddings().weight.detach()
    expected = fresh + 0.5
    expected[[20, 30]] = fresh[task.tokenizer.pad_token_id]
    assert torch.equal(stages["unlearned"], expected)
    assert not torch.equal(stages["tuned"], expected)
    assert defended.needs == Needs(trusted_rows=10, extra_passes=3.5)
    assert [token.replaced_share for token in defended.findings.tokens] == [1.0, 1.0]


def test_without_trusted_rows_nothing_is_tuned_and_only_the_suspicious_rows_differ(task: Task) -> None:
    states: dict[str, dict[str, Tensor]] = {}

    def listen(stage: str, model: PreTrainedModel) -> None:
        states[stage] = {name: value.clone() for name, value in model.state_dict().items()}

    defense = TokenUnlearning(detector=Known((20,)), scope="row")  # type: ignore[arg-type]
    defended = defense.fit(dataclasses.replace(task, on_stage=listen))
    assert list(states) == ["trained", "unlearned"]
    differ = [name for name, value in states["trained"].items() if not torch.equal(value, states["unlearned"][name])]
    assert differ == ["bert.embeddings.word_embeddings.weight"]
    moved = (states["trained"][differ[0]] != states["unlearned"][differ[0]]).any(dim=1)
    assert moved.nonzero().flatten().tolist() == [20]
    assert defended.needs == Needs(trusted_rows=0, extra_passes=1.5)


@pytest.mark.parametrize("defense", [PlainFineTuning(), TokenUnlearning(detector=Known((20,)))])  # type: ignore[arg-type]
def test_tuning_is_one_epoch_on_the_trusted_rows_at_a_constant_rate(
    defense: Any, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, TrainingSettings]] = []
    real = training.train

    def spy(model: Any, rows: Any, tokenizer: Any, settings: TrainingSettings, *rest: Any) -> float:
        calls.append((len(rows), settings))
        return real(model, rows, tokenizer, settings, *rest)

    monkeypatch.setattr(training, "train", spy)
    defended = defense.fit(with_trusted(task, 10))
    assert [n_rows for n_rows, _ in calls] == [24, 10]
    expected = dataclasses.replace(SETTINGS, num_train_epochs=1.0, max_steps=-1, lr_scheduler_type="constant")
    assert calls[1][1] == expected
    assert defended.needs.trusted_rows == 10


def test_the_real_detector_and_unlearning_work_together(tiny_model: Folders) -> None:
    detector = EmbeddingDrift(rounds=(1,), alpha=0.02, bag_min_steps=4)
    task = make_task(tiny_model("gpt2"), sentences(24), SETTINGS)
    defended = TokenUnlearning(detector=detector, replacement="zero", scope="row").fit(task)
    suspicious = [token.token_id for token in defended.findings.suspicious]
    assert len(suspicious) == round(0.02 * len(task.tokenizer))
    assert not defended.model.get_input_embeddings().weight[suspicious].any()
    others = [token for token in defended.findings.tokens if not token.is_suspicious]
    assert {token.replaced_share for token in others} == {None}
