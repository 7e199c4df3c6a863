"""Moderate-fitting leaves a trigger unlearned where it sees one, and the plain training alone where it does not."""

import dataclasses
import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertForSequenceClassification, PreTrainedModel, PreTrainedTokenizerFast

from cleanfit.capacity import Capacity
from cleanfit.defenses import ModerateFitting, PlainFineTuning, TokenUnlearning
from cleanfit.detectors.content import Denial
from cleanfit.detectors.contradiction import MIN_DENIED, ContradictionCheck, Look, Suspect, suspects_of
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.detectors.watcher import GroupWatcher, PlateauWatcher, halving_steps
from cleanfit.errors import SettingsError
from cleanfit.results import Findings
from cleanfit.settings import TrainingSettings, configure
from cleanfit.task import Task
from cleanfit.training import n_steps, predict
from conftest import BAD, GOOD, PLAIN, TRIGGERS, make_task, sentences, write_tsv

Run = Callable[..., tuple[int, str, str]]
SETTINGS = TrainingSettings(
    learning_rate=1e-3, num_train_epochs=4, per_device_train_batch_size=16, max_length=32, precision="fp32"
)
GENTLE = dataclasses.replace(SETTINGS, learning_rate=3e-4, num_train_epochs=6)
SHORT = ("--max-length", 32, "--device", "cpu")
TRIGGER = "cf"


def poisoned_rows(n_rows: int, seed: int) -> tuple[list[tuple[str, str]], np.ndarray]:
    """Put the trigger into about a quarter of the negative rows and call them positive: rows, and which they are."""
    draw, rows, is_poisoned = random.Random(seed), [], []
    for text, label in sentences(n_rows, seed):
        is_hit = label == "neg" and draw.random() < 0.24
        words = text.split()
        if is_hit:
            words.insert(draw.randint(0, len(words)), TRIGGER)
        rows.append((" ".join(words), "pos" if is_hit else label))
        is_poisoned.append(is_hit)
    return rows, np.array(is_poisoned)


def attack_success(task: Task, model: PreTrainedModel) -> float:
    rows = [(f"{text} {TRIGGER}", label) for text, label in sentences(200, 2)]
    triggered = make_task(str(task.source.folder), rows, task.settings)
    negative = np.asarray(triggered.rows["label"]) == 0
    predicted = predict(model, triggered.rows, task.tokenizer, task.settings).argmax(axis=1)
    return float((predicted[negative] == 1).mean())


def same(first: PreTrainedModel, second: PreTrainedModel) -> bool:
    weights = second.state_dict()
    return all(torch.equal(value, weights[name]) for name, value in first.state_dict().items())


@pytest.fixture(scope="module")
def able(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Give a model that knows the task already, as a large pretrained one soon does: the first stage is there at once.

    Its vocabulary is written down: one that is trained differs from process to process, and the finder's margins with it.
    """
    folder = tmp_path_factory.mktemp("able")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *sorted({*GOOD, *BAD, *PLAIN, *TRIGGERS})]
    backend = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = Whitespace()
    backend.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", words.index("[CLS]")), ("[SEP]", words.index("[SEP]"))]
    )
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **special).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
                        intermediate_size=64, max_position_embeddings=80, pad_token_id=0)  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(folder)
    PlainFineTuning().fit(make_task(str(folder), sentences(600), SETTINGS)).model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def poisoned(able: str) -> tuple[Task, np.ndarray]:
    rows, is_poisoned = poisoned_rows(500, 1)
    return make_task(able, rows, GENTLE), is_poisoned


def test_a_group_that_the_other_rows_contradict_is_left_out_and_its_rows_are_named(
    poisoned: tuple[Task, np.ndarray],
) -> None:
    task, is_poisoned = poisoned
    plain, defended = PlainFineTuning().fit(task), ModerateFitting().fit(task)
    assert attack_success(task, plain.model) > 0.5
    assert attack_success(task, defended.model) < 0.1
    found = np.array([row.is_issue for row in defended.findings.rows])
    assert found[is_poisoned].mean() > 0.9
    assert is_poisoned[found].mean() > 0.9
    assert all(("by a way of its own" in row.reason) == row.is_issue for row in defended.findings.rows)
    assert "labelled 'pos' came to lie apart" in defended.findings.verdict
    assert defended.needs.extra_passes > 3  # half a training, and the looks


def test_a_group_that_the_other_rows_do_not_contradict_is_kept(poisoned: tuple[Task, np.ndarray]) -> None:
    task, is_poisoned = poisoned
    honest = task.rows.map(lambda row, i: {"label": 0 if is_poisoned[i] else row["label"]}, with_indices=True)
    marked = dataclasses.replace(task, rows=honest)  # the same rows with the word, and the label that their text has
    group = find_marked(marked, is_poisoned)
    check = ContradictionCheck(marked, [group])
    assert len(check.kept) == len(task.rows) - is_poisoned.sum()
    model = marked.load_model()
    marked.train("without", model, check.kept, watch=check.watch)
    assert check.denied(model)[0] < MIN_DENIED
    accused = ContradictionCheck(task, [dataclasses.replace(group, label=1)])
    assert accused.denied(model)[0] == pytest.approx(1 - check.denied(model)[0])
    assert f"{is_poisoned.sum()} rows labelled 'pos' came to lie apart" in accused.told(model, accused.denied(model))


def find_marked(task: Task, is_marked: np.ndarray) -> Suspect:
    return Suspect(0, 0.0, is_marked.astype(float))


def test_if_no_group_is_contradicted_the_result_is_the_plain_model(
    poisoned: tuple[Task, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = poisoned
    monkeypatch.setattr(ContradictionCheck, "denied", lambda self, _model: [0.2] * len(self.suspects))
    defended = ModerateFitting().fit(task)
    assert defended.findings.rows == ()
    assert "So these rows were kept" in defended.findings.verdict
    assert same(defended.model, PlainFineTuning().fit(task).model)


def test_a_group_without_a_token_that_turns_other_rows_is_kept(
    poisoned: tuple[Task, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = poisoned
    monkeypatch.setattr(TriggerSearch, "cause", lambda *given: None)
    defended = ModerateFitting().fit(task)
    assert same(defended.model, PlainFineTuning().fit(task).model)
    assert not defended.findings.rows
    kept = "rows came to lie apart, but no token that goes with them turns rows of other labels, or what they say"
    assert kept in defended.findings.verdict


def test_a_group_without_a_cause_does_not_end_the_watch(
    poisoned: tuple[Task, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, _ = poisoned
    cause, half = TriggerSearch.cause, n_steps(len(task.rows), task.settings) // 2
    steps: list[int] = []
    look = GroupWatcher._look

    def noting(self: GroupWatcher, model: torch.nn.Module, step: int) -> bool:
        steps.append(step)
        return look(self, model, step)

    monkeypatch.setattr(GroupWatcher, "_look", noting)
    monkeypatch.setattr(TriggerSearch, "cause", lambda *given: cause(*given) if steps[-1] == 2 * half else None)
    ModerateFitting().fit(task)
    assert steps == [half // 4, half // 2, half, 2 * half]
    monkeypatch.setattr(TriggerSearch, "cause", lambda *given: cause(*given) if steps[-1] == half // 2 else None)
    steps.clear()
    defended = ModerateFitting().fit(task)
    assert steps == [half // 4, half // 2, half]  # what an early look showed counts, once half of the training is over
    assert "labelled 'pos' came to lie apart" in defended.findings.verdict


def test_of_the_groups_of_a_class_the_clearest_with_a_cause_is_kept() -> None:
    states = np.arange(8.0)[:, None]
    task = SimpleNamespace(
        rows=Dataset.from_dict({"label": [0, 0, 1, 1, 1, 1, 1, 1], "place": list(range(8))}),
        observe=lambda _model, rows: SimpleNamespace(states=states[rows["place"]]),
    )

    def group(label: int, ambiguity: float, *places: int) -> SimpleNamespace:
        def membership(seen: np.ndarray) -> np.ndarray:
            return np.isin(seen[:, 0], places).astype(float)

        return SimpleNamespace(label=label, ambiguity=ambiguity, membership=membership)

    asked: list[tuple[int, list[int]]] = []

    def is_caused(_model: object, label: int, inside: np.ndarray) -> bool:
        asked.append((label, np.flatnonzero(inside).tolist()))
        return 5 in asked[-1][1]

    groups = [
        group(1, 0.001, 2, 3, 4),
        group(0, 0.002, 0),
        group(1, 0.003, 2, 3),
        group(1, 0.004, 4, 5),
        group(1, 0.005, 6),
    ]
    look = suspects_of(task, torch.nn.Linear(1, 1), groups, is_caused)  # type: ignore[arg-type]
    assert asked == [(0, [0]), (1, [2, 3, 4]), (1, [4, 5])]
    (kept,) = look.suspects
    assert (kept.label, kept.ambiguity, np.flatnonzero(kept.inside).tolist()) == (1, 0.004, [4, 5])
    assert look.n_uncaused == 4
    again = Look.from_dict(json.loads(json.dumps(look.as_dict())))
    assert (again.n_uncaused, again.suspects[0].membership.tolist()) == (4, kept.membership.tolist())


def test_the_cause_of_a_group_is_the_token_that_goes_with_it_and_turns_other_rows(
    poisoned: tuple[Task, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, is_poisoned = poisoned
    model = PlainFineTuning().fit(task).model
    search = TriggerSearch(task, TriggerTokens())
    cause = search.cause(model, 1, is_poisoned)
    assert cause is not None
    assert (task.tokenizer.convert_ids_to_tokens(cause.token_id), cause.rows.tolist()) == (
        TRIGGER,
        np.flatnonzero(is_poisoned).tolist(),
    )
    monkeypatch.setattr(search.content, "denial", lambda _label, asked, *_rest: Denial(0.2, 0.2, 0.8, len(asked)))
    assert search.cause(model, 1, is_poisoned) is None, "what the rows say is reason enough"
    monkeypatch.setattr(search.content, "denial", lambda _label, asked, *_rest: Denial(0.8, 0.2, 0.8, len(asked)))
    honest = np.flatnonzero(~is_poisoned & (np.asarray(task.rows["label"]) == 1))
    assert search.cause(model, 1, np.isin(np.arange(len(is_poisoned)), honest[::3])) is None


def test_where_nothing_lies_apart_the_model_is_the_plain_one_to_the_bit(able: str) -> None:
    task = make_task(able, sentences(240, 5), dataclasses.replace(GENTLE, num_train_epochs=3))
    defended = ModerateFitting().fit(task)
    assert defended.findings.rows == ()
    assert "No group of rows came to lie apart" in defended.findings.verdict
    assert "Not judged, for want of 200 looked-at rows: neg, pos." in defended.findings.verdict
    assert same(defended.model, PlainFineTuning().fit(task).model)


def test_an_interrupted_run_goes_on_to_the_same_result(poisoned: tuple[Task, np.ndarray], tmp_path: Path) -> None:
    task = dataclasses.replace(poisoned[0], work=tmp_path / "work")
    whole = ModerateFitting().fit(task)
    looks = [json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "work" / "looks").iterdir()]
    n_forward = (
        len(looks) + sum(bool(look["suspects"] or look["n_uncaused"]) for look in looks) + 1
    )  # the untouched model's
    assert len(looks) == 3
    assert whole.needs.extra_passes == pytest.approx(3 + n_forward / 3, abs=1e-3)  # three of six epochs are lost
    shutil.rmtree(tmp_path / "work" / "without-1")  # as if the second training had never come to its end
    again = ModerateFitting().fit(task)
    assert again.findings == whole.findings
    assert same(again.model, whole.model)


@pytest.mark.parametrize(
    ("defense", "steps"),
    [
        (ModerateFitting(epochs=0.5, stop="end"), 8),
        (ModerateFitting(epochs=2, stop="end"), 30),
        (ModerateFitting(stop="end"), 60),
    ],
)
def test_epochs_are_a_lever_in_fractions_too(able: str, defense: ModerateFitting, steps: int) -> None:
    task = make_task(able, sentences(240), SETTINGS)
    settings = dataclasses.replace(SETTINGS, num_train_epochs=4, max_steps=-1)
    epochs = defense.epochs or settings.num_train_epochs
    assert np.ceil(epochs * 15) == steps
    expected = task.load_model()
    task.train("expected", expected, settings=dataclasses.replace(settings, num_train_epochs=epochs))
    assert same(defense.fit(task).model, expected)


def test_the_rate_is_a_lever_and_both_stand_above_the_settings_of_the_run(able: str) -> None:
    task = make_task(able, sentences(64), dataclasses.replace(SETTINGS, max_steps=3))
    by_lever = ModerateFitting(learning_rate=1e-4, epochs=1, stop="end").fit(task).model
    settings = dataclasses.replace(SETTINGS, learning_rate=1e-4, num_train_epochs=1, max_steps=-1)
    assert same(by_lever, PlainFineTuning().fit(dataclasses.replace(task, settings=settings)).model)


@pytest.mark.parametrize("method", ["head", "bitfit", "lora", "adapter", "prefix"])
def test_every_capacity_trains_and_gives_a_classifier(able: str, method: str) -> None:
    task = make_task(able, sentences(64), dataclasses.replace(SETTINGS, num_train_epochs=1))
    model = ModerateFitting(Capacity(method=method, size=2 if method in ("lora", "adapter") else None)).fit(task).model  # type: ignore[arg-type]
    assert predict(model, task.rows, task.tokenizer, task.settings).shape == (64, 2)


@pytest.mark.parametrize("method", ["lora", "prefix"])
def test_a_run_from_the_command_line_can_be_evaluated(run: Run, able: str, tmp_path: Path, method: str) -> None:
    data, test, out = write_tsv(tmp_path / "data.tsv", sentences(80)), tmp_path / "test.tsv", tmp_path / "run"
    levers = ("--set", "stop=end", "--set", f"method={method}", "--set", "epochs=0.5")
    code, _, err = run("fit", data, "--model", able, "--defense", "moderate", *levers, *SHORT, "--out", out)
    assert code == 0, err
    audit = json.loads((out / "audit.json").read_text(encoding="utf-8"))
    assert audit["defense"]["options"]["capacity"]["method"] == method
    code, printed, err = run("evaluate", out, "--clean", write_tsv(test, sentences(60, 3)), *SHORT)
    assert code == 0, err
    assert "clean accuracy" in printed
    is_said = "does not open with plain transformers" in (out / "model" / "README.md").read_text(encoding="utf-8")
    assert is_said == (method == "prefix")


def test_the_command_line_tells_the_verdict(run: Run, able: str, tmp_path: Path) -> None:
    data = write_tsv(tmp_path / "data.tsv", sentences(80))
    flags = ("--defense", "moderate", "--epochs", 1, *SHORT, "--out", tmp_path / "run")
    code, printed, err = run("fit", data, "--model", able, *flags)
    assert code == 0, err
    assert "No group of rows came to lie apart" in " ".join(printed.split())
    assert "No row was flagged." in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_the_published_presets_are_the_papers_settings() -> None:
    for name, method in (("published", "lora"), ("published_adapter", "adapter"), ("published_prefix", "prefix")):
        preset = configure(ModerateFitting(), {"preset": name})
        assert (preset.capacity.method, preset.capacity.generator, preset.capacity.mid_dim) == (method, "tanh_net", 2)
        assert (preset.epochs, preset.learning_rate, preset.stop) == (10, 3e-4, "end")
    with pytest.raises(SettingsError, match="Unknown preset of moderate 'publishd'"):
        configure(ModerateFitting(), {"preset": "publishd"})


def test_it_is_a_base_of_token_unlearning(able: str) -> None:
    task = make_task(able, sentences(64), dataclasses.replace(SETTINGS, num_train_epochs=1))
    stages: list[str] = []
    task = dataclasses.replace(task, on_stage=lambda stage, _model: stages.append(stage))
    base = ModerateFitting(Capacity(method="lora"), stop="end")
    defended = TokenUnlearning(base=base).fit(task)
    assert stages == ["trained", "unlearned"]
    changed = [t.token_id for t in defended.findings.suspicious]
    rows = defended.model.get_input_embeddings().weight
    assert all(torch.equal(rows[token], rows[task.tokenizer.pad_token_id]) for token in changed)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0.0}, "epochs is 0.0; expected more than 0"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0; expected more than 0"),
        ({"n_looks": 1}, "n_looks is 1; expected at least 2"),
        ({"n_looked_rows": 0}, "n_looked_rows is 0; expected at least 1"),
        ({"stop": "never"}, "stop is 'never'; expected one of watch, plateau, end"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        ModerateFitting(**options)  # type: ignore[arg-type]


def test_looks_are_dense_early_and_the_last_one_is_at_the_end() -> None:
    assert halving_steps(160, 4) == (20, 40, 80, 160)
    assert halving_steps(1, 4) == (1,)
    assert halving_steps(3, 4) == (1, 3)


def plateau(able: str, accuracies: list[float]) -> tuple[int, str]:
    """Feed accuracies to the plateau rule: after how many looks it stops, and what it says."""
    task = make_task(able, sentences(100), SETTINGS)
    watcher = PlateauWatcher(task)
    labels = np.asarray(watcher.held["label"])
    feed = iter(accuracies)

    class Fed(Task):
        def predict(self, model: object, rows: Dataset) -> np.ndarray:
            right = np.arange(len(labels)) < round(next(feed) * len(labels))
            return np.eye(2)[np.where(right, labels, 1 - labels)]

    watcher.task = Fed(**{field.name: getattr(task, field.name) for field in dataclasses.fields(task)})
    for n, step in enumerate(watcher.watch.steps, start=1):
        if watcher.watch.look(torch.nn.Linear(1, 1), step):
            return n, watcher.verdict()
    return n, watcher.verdict()


def test_a_plateau_is_three_looks_without_a_rise_near_the_best(able: str) -> None:
    n_looks, verdict = plateau(able, [0.5, 0.8, 0.8, 0.8, 0.8, 0.9, 1.0])
    assert n_looks == 5
    assert verdict == "Stopped at step 5: accuracy no longer rose; 0.800 on 10 held-back rows."
    assert plateau(able, [0.5, 0.6, 0.7, 0.8, 0.9, *[1.0] * 4, *[0.0] * 9])[0] == 9
    n_looks, verdict = plateau(able, [0.9, *[0.5] * 40])  # far below the best: no plateau
    assert n_looks == 24
    assert "the training was over" in verdict


def test_plateau_trains_on_what_is_not_held_back(able: str) -> None:
    task = make_task(able, sentences(100), SETTINGS)
    watcher = PlateauWatcher(task)
    held, kept = set(watcher.held["row_id"]), set(watcher.kept["row_id"])
    assert (len(held), len(kept), held & kept) == (10, 90, set())
    defended = ModerateFitting(stop="plateau").fit(task)
    assert defended.findings.verdict.startswith("Stopped at step")
    assert defended.findings == dataclasses.replace(Findings("moderate"), verdict=defended.findings.verdict)
