"""Training is repeatable to the bit, also when it was interrupted; predictions are in row order."""

import dataclasses
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import PreTrainedModel

from cleanfit import training
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task
from cleanfit.training import TRAINED_FILE, LengthGroupedSampler, use_bf16
from conftest import FAMILIES, make_task, sentences

Folders = Callable[[str], str]
# 44 rows in batches of 8: six steps an epoch, the last one with four rows.
SETTINGS = TrainingSettings(
    learning_rate=1e-3, num_train_epochs=2, per_device_train_batch_size=8, max_length=32, precision="fp32"
)
ROWS = sentences(44)


@pytest.fixture
def task(tiny_model: Folders) -> Task:
    return make_task(tiny_model("bert"), ROWS, SETTINGS)


def trained(task: Task, folder: Path | None = None, settings: TrainingSettings | None = None) -> PreTrainedModel:
    model = task.load_model()
    training.train(model, task.rows, task.tokenizer, settings or task.settings, folder)
    return model


def fail_at(model: PreTrainedModel, step: int) -> None:
    """Let a model's forward pass of a step (from 1) fail, as a power cut would."""
    n_passes = 0

    def count(*_args: Any) -> None:
        nonlocal n_passes
        n_passes += 1
        if n_passes == step:
            raise RuntimeError("power cut")

    model.register_forward_pre_hook(count)


def interrupted(task: Task, folder: Path, step: int) -> None:
    model = task.load_model()
    fail_at(model, step)
    with pytest.raises(RuntimeError, match="power cut"):
        training.train(model, task.rows, task.tokenizer, task.settings, folder)


def same(first: PreTrainedModel, second: PreTrainedModel) -> bool:
    others = second.state_dict()
    return all(torch.equal(value, others[name]) for name, value in first.state_dict().items())


def global_states() -> tuple[object, ...]:
    return random.getstate(), repr(np.random.get_state()), tuple(torch.get_rng_state().tolist())


def test_the_same_seed_gives_the_same_weights_to_the_bit(task: Task) -> None:
    first = trained(task)
    torch.manual_seed(99)
    assert same(first, trained(task))
    assert not same(first, task.load_model())


@pytest.mark.parametrize(
    ("steps_between", "fails_at", "checkpoint"),
    [
        (500, 7, "checkpoint-6"),  # at the end of the first epoch
        (2, 7, "checkpoint-6"),
        (2, 4, "checkpoint-2"),  # inside the first epoch
        (2, 11, "checkpoint-10"),  # inside the second epoch
    ],
)
def test_an_interrupted_training_goes_on_to_the_same_weights(
    steps_between: int, fails_at: int, checkpoint: str, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", steps_between)
    interrupted(task, tmp_path / "trained", fails_at)
    assert [path.name for path in (tmp_path / "trained").iterdir()] == [checkpoint]
    resumed = task.load_model()
    passes: list[int] = []
    resumed.register_forward_pre_hook(lambda *_args: passes.append(1))
    training.train(resumed, task.rows, task.tokenizer, task.settings, tmp_path / "trained")
    assert len(passes) == 12 - int(checkpoint.split("-")[1])
    assert same(resumed, trained(task))
    assert [path.name for path in (tmp_path / "trained").iterdir()] == [TRAINED_FILE]


def test_a_half_written_checkpoint_is_passed_over(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_STEPS", 2)
    folder = tmp_path / "trained"
    interrupted(task, folder, 7)
    for step, state in ((8, None), (10, '{"epoch": 1.')):
        half = Path(shutil.copytree(folder / "checkpoint-6", folder / f"checkpoint-{step}"))
        (half / "trainer_state.json").unlink()
        (half / "model.safetensors").write_bytes(b"half")
        if state:
            (half / "trainer_state.json").write_text(state)
    assert same(trained(task, folder), trained(task))


def test_a_finished_training_is_loaded_with_its_time_and_not_repeated(task: Task, tmp_path: Path) -> None:
    model, again = task.load_model(), task.load_model()
    seconds = training.train(model, task.rows, task.tokenizer, task.settings, tmp_path / "trained")
    fail_at(again, 1)
    assert training.train(again, task.rows, task.tokenizer, task.settings, tmp_path / "trained") == seconds
    assert same(model, again)


def test_only_what_requires_gradients_moves_and_is_saved(task: Task, tmp_path: Path) -> None:
    model, fresh = task.load_model(), task.load_model()
    model.requires_grad_(False)
    model.classifier.requires_grad_(True)
    training.train(model, task.rows, task.tokenizer, SETTINGS, tmp_path / "head")
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, fresh.state_dict()[name])}
    assert moved == {"classifier.weight", "classifier.bias"}
    fail_at(fresh, 1)
    training.train(fresh, task.rows, task.tokenizer, SETTINGS, tmp_path / "head")
    assert same(model, fresh)


def test_max_steps_wins_over_the_epochs(task: Task) -> None:
    model = task.load_model()
    widths = seen_widths(model)
    settings = TrainingSettings(max_steps=3, per_device_train_batch_size=8, max_length=32, precision="fp32")
    training.train(model, task.rows, task.tokenizer, settings)
    assert len(widths) == 3


def seen_widths(model: PreTrainedModel) -> list[tuple[int, int]]:
    shapes: list[tuple[int, int]] = []
    model.register_forward_pre_hook(
        lambda _model, _args, inputs: shapes.append(tuple(inputs["input_ids"].shape)), with_kwargs=True
    )
    return shapes


def test_the_model_sees_the_samplers_batches_in_both_epochs(task: Task) -> None:
    model = task.load_model()
    shapes = seen_widths(model)
    training.train(model, task.rows, task.tokenizer, SETTINGS)
    sampler = LengthGroupedSampler(np.asarray(task.rows["length"]), 8, SETTINGS.seed)
    expected = []
    for sampler.epoch in (0, 1):
        order = list(sampler)
        batches = [order[start : start + 8] for start in range(0, 44, 8)]
        expected += [(len(batch), max(task.rows["length"][row] for row in batch)) for batch in batches]
    assert shapes == expected
    assert expected[:6] != expected[6:]


@pytest.mark.parametrize("n_rows", [3, 40, 1003])
def test_the_sampler_gives_every_row_once(n_rows: int) -> None:
    sampler = LengthGroupedSampler(np.arange(n_rows) % 7, 10, seed=0)
    assert sorted(sampler) == list(range(n_rows))
    assert len(sampler) == n_rows


def test_the_order_of_rows_depends_on_seed_and_epoch_alone() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        sampler = LengthGroupedSampler(np.arange(200) % 9, 10, seed)
        sampler.epoch = epoch
        return list(sampler)

    first = order(0, 0)
    torch.manual_seed(5)
    np.random.seed(5)
    assert order(0, 0) == first
    assert first not in (order(0, 1), order(1, 0))
    assert {frozenset(first[i : i + 10]) for i in range(0, 200, 10)} != {
        frozenset(order(0, 1)[i : i + 10]) for i in range(0, 200, 10)
    }


def test_rows_of_like_length_share_a_batch_and_long_batches_do_not_all_come_first() -> None:
    lengths = np.random.default_rng(0).integers(5, 55, size=2003)
    order = list(LengthGroupedSampler(lengths, 10, seed=0))
    batches = [lengths[order[start : start + 10]] for start in range(0, 2000, 10)]
    # 500 rows of 50 lengths a window: about ten rows a length, so a batch of ten spans one or two lengths, seldom more.
    assert np.mean([batch.max() - batch.min() for batch in batches]) < 2
    assert len(order[2000:]) == 3
    means = [batch.mean() for batch in batches]
    assert abs(np.corrcoef(np.arange(200), means)[0, 1]) < 0.3


@pytest.mark.parametrize("family", ["bert", "gpt2"])
def test_predictions_are_in_row_order_whatever_the_batch_size(family: str, tiny_model: Folders) -> None:
    learn = TrainingSettings(
        learning_rate=3e-3, num_train_epochs=6, per_device_train_batch_size=8, max_length=32, precision="fp32"
    )
    task = make_task(tiny_model(family), sentences(96), learn)
    model = task.load_model()
    task.train("trained", model)
    with torch.no_grad():
        ones = [model.eval()(input_ids=torch.tensor([ids])).logits.softmax(-1)[0] for ids in task.rows["input_ids"]]
    expected = torch.stack(ones).numpy()
    assert expected[:, 0].std() > 0.02  # rows can be told apart
    for batch_size in (1, 7, 64):
        settings = dataclasses.replace(learn, per_device_eval_batch_size=batch_size)
        found = training.predict(model, task.rows, task.tokenizer, settings)
        assert np.abs(found - expected).max() < 1e-5


def test_predictions_do_not_look_at_the_labels(task: Task) -> None:
    model = task.load_model()
    flipped = task.rows.map(lambda row: {"label": 1 - row["label"]}, keep_in_memory=True)
    assert np.array_equal(task.predict(model, task.rows), task.predict(model, flipped))


@pytest.mark.parametrize(
    ("able", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, True),
        ({"amx_bf16": True}, True),
        ({"bf16": True}, True),
        ({"avx512_bf16": False, "avx512_vnni": True}, False),
        ({}, False),
    ],
)
def test_auto_takes_bf16_on_a_cpu_that_multiplies_it(
    able: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert use_bf16(TrainingSettings(device="cpu")) is expected
    assert use_bf16(TrainingSettings(device="cpu", precision="bf16")) is True
    assert use_bf16(TrainingSettings(device="cpu", precision="fp32")) is False


@pytest.mark.parametrize("able", [True, False])
def test_auto_asks_the_accelerator_if_it_is_to_be_used(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_supported(including_emulation: bool = True) -> bool:
        return able or including_emulation

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": not able})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert use_bf16(TrainingSettings(device="auto")) is able
    assert use_bf16(TrainingSettings(device="cpu")) is not able


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_model_learns_in_either_precision(precision: Any, tiny_model: Folders) -> None:
    settings = TrainingSettings(
        learning_rate=3e-3, num_train_epochs=6, per_device_train_batch_size=8, max_length=32, precision=precision
    )
    task = make_task(tiny_model("bert"), sentences(96), settings)
    model = task.load_model()
    task.train("trained", model)
    labels = np.asarray(task.rows["label"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert (task.predict(model, task.rows).argmax(axis=1) == labels).mean() > 0.85
    assert task.seconds["trained"] > 0


def test_training_and_predicting_leave_the_callers_random_draws_alone(task: Task) -> None:
    before = global_states()
    model = trained(task)
    task.predict(model, task.rows)
    assert global_states() == before


def test_nothing_is_written_without_a_folder(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    task.predict(trained(task), task.rows)
    assert list(tmp_path.iterdir()) == []


def test_a_watch_sees_the_steps_it_asked_for_and_changes_nothing(task: Task) -> None:
    seen: list[int] = []

    def look(model: torch.nn.Module, step: int) -> bool:
        seen.append(step)
        torch.rand(3)
        training.predict(model, task.rows, task.tokenizer, task.settings)
        return False

    watched = task.load_model()
    training.train(watched, task.rows, task.tokenizer, task.settings, watch=training.Watch((2, 7, 12, 99), look))
    assert seen == [2, 7, 12]
    assert same(watched, trained(task))


def test_a_watch_can_stop_a_training_which_then_is_the_first_part_of_the_whole(task: Task) -> None:
    weights: dict[int, dict[str, torch.Tensor]] = {}

    def look(model: torch.nn.Module, step: int) -> bool:
        weights[step] = {name: value.clone() for name, value in model.state_dict().items()}
        return False

    training.train(task.load_model(), task.rows, task.tokenizer, task.settings, watch=training.Watch((5,), look))
    stopped = task.load_model()
    watch = training.Watch((5,), lambda _model, _step: True)
    training.train(stopped, task.rows, task.tokenizer, task.settings, watch=watch)
    assert all(torch.equal(value, weights[5][name]) for name, value in stopped.state_dict().items())


def test_the_steps_are_counted_as_the_trainer_counts_them(task: Task) -> None:
    for epochs, max_steps in ((0.4, -1), (1.1, -1), (2.0, -1), (2.0, 5)):
        settings = dataclasses.replace(SETTINGS, num_train_epochs=epochs, max_steps=max_steps)
        seen: list[int] = []
        watch = training.Watch(range(99), lambda _model, step, seen=seen: bool(seen.append(step)))  # type: ignore[misc]
        training.train(task.load_model(), task.rows, task.tokenizer, settings, watch=watch)
        assert training.n_steps(len(task.rows), settings) == seen[-1]


@pytest.mark.parametrize("family", [*FAMILIES, "bart"])
def test_the_observed_states_are_what_the_logits_are_made_of(tiny_model: Folders, family: str) -> None:
    task = make_task(tiny_model(family), ROWS, SETTINGS)
    model = task.load_model()
    observed = training.observe(model, task.rows, task.tokenizer, task.settings)
    probabilities = training.predict(model, task.rows, task.tokenizer, task.settings)
    softmax = np.exp(observed.logits) / np.exp(observed.logits).sum(axis=1, keepdims=True)
    assert np.allclose(softmax, probabilities, atol=1e-6)
    head = [part for part in model.modules() if isinstance(part, torch.nn.Linear)][-1]
    with torch.no_grad():
        assert np.allclose(head(torch.from_numpy(observed.states)).numpy(), observed.logits, atol=1e-5)


def test_a_fingerprint_changes_with_all_that_decides_a_training_and_with_nothing_else(task: Task) -> None:
    def of(model: PreTrainedModel, rows: Dataset = task.rows, settings: TrainingSettings = SETTINGS) -> str:
        return training.fingerprint(model, rows, settings)

    same = of(task.load_model())
    assert of(task.load_model(), task.rows.map(lambda row: {"row_id": row["row_id"] + 7})) == same
    frozen, moved = task.load_model(), task.load_model()
    next(frozen.parameters()).requires_grad_(False)
    with torch.no_grad():
        next(moved.parameters())[0, 0] += 1e-4
    others = [
        of(frozen),
        of(moved),
        of(task.load_model(), task.rows.select(range(11))),
        of(task.load_model(), task.rows.map(lambda row: {"label": 1 - row["label"]})),
        of(task.load_model(), settings=dataclasses.replace(SETTINGS, learning_rate=2e-5)),
        of(task.load_model(), settings=dataclasses.replace(SETTINGS, seed=1)),
    ]
    assert len({same, *others}) == 7
