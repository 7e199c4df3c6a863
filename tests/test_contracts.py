"""What every attack, detector and defense promises, checked over the tables, so that a new one is checked too."""

import dataclasses
import inspect
import os
import pickle
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from cleanfit.attacks import ATTACKS
from cleanfit.defenses import DEFENSES, PlainFineTuning
from cleanfit.defenses.base import Defended
from cleanfit.detectors import DETECTORS
from cleanfit.fitting import Inputs, fit, scan
from cleanfit.model_attacks import MODEL_ATTACKS
from cleanfit.results import Findings, to_plain
from cleanfit.settings import TrainingSettings, configure
from cleanfit.task import Task
from conftest import make_task, sentences, write_tsv

Folders = Callable[[str], str]
METHODS = [*ATTACKS.items(), *MODEL_ATTACKS.items(), *DETECTORS.items(), *DEFENSES.items()]
SETTINGS = TrainingSettings(
    learning_rate=1e-3, num_train_epochs=1, per_device_train_batch_size=16, max_length=32, precision="fp32"
)
ROWS = sentences(48)


@dataclass(frozen=True)
class Onlooker:
    """Train without defense, and write down what can be seen."""

    name: ClassVar[str] = "onlooker"
    seen: ClassVar[list[Task]] = []

    def fit(self, task: Task) -> Defended:
        self.seen.append(task)
        return PlainFineTuning().fit(task)

    def score(self, task: Task) -> Findings:
        self.seen.append(task)
        return Findings()


def global_states() -> tuple[object, ...]:
    return random.getstate(), pickle.dumps(np.random.get_state()), tuple(torch.get_rng_state().tolist())


def with_ground_truth(path: Path, is_told: bool, rows: list[tuple[str, str]] = ROWS) -> Path:
    """Write rows, with columns beside them that only a benchmark may know."""
    lines = [f"{text}\t{label}\t{int(i % 7 == 0)}\tcf" for i, (text, label) in enumerate(rows)]
    header = "text\tlabel\tis_poisoned\ttrigger"
    if not is_told:
        lines, header = [line.rsplit("\t", 2)[0] for line in lines], "text\tlabel"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_is_a_frozen_dataclass_with_a_name_and_a_sentence(name: str, method: Any) -> None:
    assert dataclasses.is_dataclass(method)
    assert method.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert method.name == name
    first = inspect.getdoc(method).split("\n\n")[0]  # type: ignore[union-attr]
    assert first.endswith(".")
    assert ". " not in first
    assert not first.startswith(method.__name__)  # what dataclass writes where there is no docstring


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_method_has_defaults_and_explains_each_of_its_options(name: str, method: Any) -> None:
    assert method() == method()
    for field in dataclasses.fields(method):
        assert f" {field.name}: " in str(method.__doc__), f"{name} does not explain {field.name}"


@pytest.mark.parametrize(("name", "method"), METHODS)
def test_a_methods_settings_survive_being_written_down(name: str, method: Any) -> None:
    def options(configured: Any) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for field in dataclasses.fields(configured):
            value = getattr(configured, field.name)
            flat.update(options(value) if dataclasses.is_dataclass(value) else {field.name: to_plain(value)})
        return flat

    assert configure(method(), options(method())) == method()


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS.keys())
def test_a_detector_scores_every_row_and_does_so_again_the_same(detector: Any, tiny_model: Folders) -> None:
    task = make_task(tiny_model("bert"), ROWS, SETTINGS)
    before = global_states()
    findings = detector().score(task)
    assert global_states() == before
    assert [row.row for row in findings.rows] == list(range(48))
    assert all(0 <= row.score <= 1 for row in findings.rows)
    assert findings.detector == detector.name
    assert all(0 <= token.score <= 1 for token in findings.tokens)
    assert findings.tokens or findings.verdict
    assert detector().score(task) == findings


@pytest.mark.parametrize("defense", DEFENSES.values(), ids=DEFENSES.keys())
def test_a_defense_gives_a_model_for_the_classes_and_does_so_again_the_same(defense: Any, tiny_model: Folders) -> None:
    task = make_task(tiny_model("bert"), ROWS, SETTINGS)
    before = global_states()
    first, again = defense().fit(task), defense().fit(task)
    assert global_states() == before
    assert first.findings == again.findings
    weights = again.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in first.model.state_dict().items())
    assert first.model.config.id2label == {0: "neg", 1: "pos"}
    assert len(first.findings.rows) in (0, 48)  # none where nothing is looked for
    assert first.needs.trusted_rows == 0


def test_a_method_is_given_text_label_and_tokens_and_nothing_else(tiny_model: Folders, tmp_path: Path) -> None:
    told = with_ground_truth(tmp_path / "told.tsv", is_told=True)
    trusted = with_ground_truth(tmp_path / "trusted.tsv", is_told=True, rows=sentences(20, seed=5))
    Onlooker.seen.clear()
    inputs = Inputs(told, trusted=trusted, test=told, triggered=told, target="pos")
    fit(inputs, model=tiny_model("bert"), defense=Onlooker(), settings=SETTINGS)
    scan(told, model=tiny_model("bert"), detector=Onlooker(), settings=SETTINGS)
    columns = ["attention_mask", "input_ids", "label", "length", "row_id", "text"]
    assert len(Onlooker.seen) == 2
    for task in Onlooker.seen:
        assert sorted(set(task.rows.column_names) - {"token_type_ids"}) == columns
        assert len(task.rows) == 48
    assert Onlooker.seen[0].trusted is not None
    assert sorted(set(Onlooker.seen[0].trusted.column_names) - {"token_type_ids"}) == columns
    held = {"source", "processor", "rows", "settings", "trusted", "work", "shared", "on_stage", "seconds"}
    assert {field.name for field in dataclasses.fields(Task)} == held  # a new field must not bring the truth in


@pytest.mark.parametrize("defense", DEFENSES.values(), ids=DEFENSES.keys())
def test_a_result_is_the_same_with_and_without_the_ground_truth_in_the_file(
    defense: Any, tiny_model: Folders, tmp_path: Path
) -> None:
    results = []
    for is_told in (True, False):
        path = with_ground_truth(tmp_path / f"{is_told}.tsv", is_told)
        results.append(fit(path, model=tiny_model("bert"), defense=defense(), settings=SETTINGS))
    assert results[0].findings == results[1].findings
    assert results[0].scores == results[1].scores


@pytest.mark.parametrize("defense", DEFENSES.values(), ids=DEFENSES.keys())
def test_a_run_writes_into_its_folder_only(
    defense: Any, tiny_model: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("here", "temporary", "data", "out"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    data, model = write_tsv(tmp_path / "data" / "data.tsv", ROWS), Path(tiny_model("bert"))
    before = sorted(os.listdir(model))
    fit(data, model=str(model), defense=defense(), settings=SETTINGS, out=tmp_path / "out" / "run")
    assert sorted(os.listdir(model)) == before
    assert os.listdir(tmp_path / "here") == os.listdir(tmp_path / "temporary") == []
    assert os.listdir(tmp_path / "data") == ["data.tsv"]
    assert os.listdir(tmp_path / "out") == ["run"]


def run_python(code: str, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_every_module_configures_nothing_and_writes_nothing(tmp_path: Path) -> None:
    code = """
import importlib, logging, os, pickle, pkgutil, random, warnings
import numpy, torch, transformers, datasets, matplotlib, rich.table, rich.console, typer  # what these do is theirs
from transformers import AutoModelForSequenceClassification, Trainer
def state():
    root = logging.getLogger()
    draws = random.getstate(), pickle.dumps(numpy.random.get_state()), torch.get_rng_state().tolist()
    levels = root.level, list(root.handlers), transformers.logging.get_verbosity(), datasets.logging.get_verbosity()
    return draws, levels, warnings.showwarning, torch.get_num_threads(), dict(os.environ)
before = state()
import cleanfit
names = [m.name for m in pkgutil.walk_packages(cleanfit.__path__, "cleanfit.") if not m.name.endswith("__main__")]
for name in names:
    importlib.import_module(name)
assert len(names) > 30, names
assert state() == before
"""
    run_python(code, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "code",
    [
        "import cleanfit",
        "from cleanfit.cli import main\nsys.argv = ['cleanfit', '--help']\ntry: main()\nexcept SystemExit: pass",
        "from cleanfit.cli import main\nsys.argv = ['cleanfit', 'fit', '--help']\ntry: main()\nexcept SystemExit: pass",
        "from cleanfit import TrainingSettings, RunFolder, Columns",
    ],
)
def test_what_needs_no_model_loads_no_torch(code: str, tmp_path: Path) -> None:
    heavy = "print('loaded:', [n for n in ('torch', 'transformers', 'datasets', 'matplotlib') if n in sys.modules])"
    assert run_python(f"import sys\n{code}\n{heavy}", tmp_path).splitlines()[-1] == "loaded: []"
