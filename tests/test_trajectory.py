"""A trajectory sees what a training stopped at that step would show, loses no look, and tells the attacked rows apart."""

import dataclasses
import json
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from cleanfit import training
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.attacks.words import Words
from cleanfit.data import read
from cleanfit.errors import DataError, OutputError, SettingsError
from cleanfit.evaluate import evaluate
from cleanfit.run_folder import RunFolder
from cleanfit.settings import TrainingSettings
from cleanfit.trajectory import Looks, Recipe, Subject, load_trajectory, states, trajectory
from cleanfit.trajectory.looks import Point, cross_entropy, look_steps, summarize
from cleanfit.trajectory.scene import set_scene
from conftest import make_task, sentences, write_tsv

Folders = Callable[[str], str]
# 60 rows in batches of 10: six steps an epoch.
SETTINGS = TrainingSettings(
    learning_rate=3e-3,
    num_train_epochs=2,
    per_device_train_batch_size=10,
    max_length=32,
    precision="fp32",
    device="cpu",
    lr_scheduler_type="constant",
)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    """60 rows, 12 of them poisoned, and the test rows with their triggered copies."""
    folder = tmp_path_factory.mktemp("bad")
    data, test = write_tsv(folder / "data.tsv", sentences(60)), write_tsv(folder / "test.tsv", sentences(30, seed=1))
    poison_files(Sources(data, test), Words(("cf",)), PoisonPlan("pos", 0.2), folder / "bad")
    return Subject(folder / "bad" / "train.tsv", test, folder / "bad" / "manifest.json")


def recipe(folder: str, looks: Looks = Looks(2, None), **changes: Any) -> Recipe:
    return Recipe(folder, dataclasses.replace(SETTINGS, **changes), looks=looks)


def mean_loss(model: nn.Module, tokenizer: Any, rows: Any) -> float:
    """The model's own loss of one row after the other, without padding and batches."""
    losses = []
    with torch.no_grad():
        for row in rows:
            inputs = {"input_ids": torch.tensor([row["input_ids"]]), "labels": torch.tensor([row["label"]])}
            losses.append(float(model.eval()(**inputs).loss))
    return float(np.mean(losses))


def test_a_look_sees_what_a_training_stopped_at_its_step_shows(
    subject: Subject, tiny_model: Folders, tmp_path: Path
) -> None:
    seen = trajectory(subject, recipe(tiny_model("bert")), out=tmp_path / "run")
    assert [point.step for point in seen.points] == [0, 3, 12]
    assert [point.epoch for point in seen.points] == [0, 0.5, 2]
    truth = json.loads(Path(str(subject.manifest)).read_text())
    rows = [(row["text"], ("neg", "pos")[row["label"]]) for row in read(subject.data).rows]
    for point in seen.points:
        task = make_task(tiny_model("bert"), rows, SETTINGS)
        model = task.load_model()
        if point.step:
            stopped = dataclasses.replace(SETTINGS, max_steps=point.step)
            task.train("trained", model, settings=stopped)
        saved = tmp_path / f"model-{point.step}"
        model.save_pretrained(saved)
        task.tokenizer.save_pretrained(saved)
        scores = evaluate(str(saved), subject.test, manifest=subject.manifest, settings=SETTINGS)
        assert scores.attack is not None
        first = scores.attack.insertions[0]
        assert point.clean_accuracy == scores.clean_accuracy
        assert point.attack_success_rate == first.attack_success_rate
        assert point.false_trigger_rate == first.false_trigger_rate
        parts = {name: [row for row in task.rows if (row["row_id"] in truth["poisoned_rows"]) is is_poisoned]
                 for name, is_poisoned in (("clean", False), ("poisoned", True))}  # fmt: skip
        losses = {name: mean_loss(model, task.tokenizer, part) for name, part in parts.items()}
        assert point.clean_loss == pytest.approx(losses["clean"], abs=1e-5)
        assert point.poisoned_loss == pytest.approx(losses["poisoned"], abs=1e-5)
        assert point.train_loss == pytest.approx(0.8 * losses["clean"] + 0.2 * losses["poisoned"], abs=1e-5)
    assert len({point.clean_loss for point in seen.points}) == 3  # else all looks were at the same model
    assert load_trajectory(tmp_path / "run") == dataclasses.replace(seen, facts=load_trajectory(tmp_path / "run").facts)
    n_others = sum(label == "neg" for _, label in sentences(30, seed=1))
    expected = {"training": 60, "test": 30, "clean": 48, "poisoned": 12, "triggered": n_others}
    assert seen.facts["rows"] == expected


def test_a_trajectory_that_was_killed_goes_on_to_the_same_file(
    subject: Subject, tiny_model: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = recipe(tiny_model("bert"), Looks(4, 10, "pca"), lr_scheduler_type="linear")
    whole = trajectory(subject, chosen, out=tmp_path / "whole")
    n_predicted = 0

    def predict(*arguments: Any) -> np.ndarray:
        nonlocal n_predicted
        n_predicted += 1
        if n_predicted == 4:  # the look at step 7, one step behind the checkpoint at the end of the first epoch
            raise RuntimeError("power cut")
        return training.predict(*arguments)

    monkeypatch.setattr("cleanfit.trajectory.looks.predict", predict)
    with pytest.raises(RuntimeError, match="power cut"):
        trajectory(subject, chosen, out=tmp_path / "broken")
    with pytest.raises(OutputError, match="--resume"):
        trajectory(subject, chosen, out=tmp_path / "broken")
    for other, what in ((recipe(tiny_model("bert")), "looks, settings"), (chosen, "files")):
        changed = subject if what != "files" else dataclasses.replace(subject, manifest=None)
        with pytest.raises(OutputError, match=f"other {what}"):
            trajectory(changed, other, out=RunFolder(tmp_path / "broken", resume=True))
    resumed = trajectory(subject, chosen, out=RunFolder(tmp_path / "broken", resume=True))
    assert n_predicted == 4 + 2  # of five looks three were kept
    assert [point.step for point in resumed.points] == [0, 1, 3, 7, 12]
    assert resumed.points == whole.points
    for name in ("trajectory.json", "stages.png", "states_pca.png", "states/step-00000007.npz"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes(), name
    with np.load(tmp_path / "whole" / "states" / "rows.npz") as rows:
        assert rows["is_poisoned"].tolist() == [False] * 10 + [True] * 10
        assert len(set(rows["row"].tolist())) == 20
    assert all(point.davies_bouldin is not None for point in resumed.points)


def test_without_a_manifest_only_what_can_be_known_is_measured(
    subject: Subject, tiny_model: Folders, tmp_path: Path
) -> None:
    chosen = recipe(tiny_model("bert"), Looks(1, None), max_steps=2)
    blind = trajectory(dataclasses.replace(subject, manifest=None), chosen, out=tmp_path / "blind")
    told = trajectory(subject, chosen, out=tmp_path / "told")
    assert blind.facts["target"] is None
    for point, other in zip(blind.points, told.points):
        assert point.clean_accuracy == other.clean_accuracy
        assert point.train_loss == pytest.approx(other.train_loss, abs=1e-6)
        unknown = (point.clean_loss, point.poisoned_loss, point.attack_success_rate, point.false_trigger_rate)
        assert unknown == (None,) * 4
    assert blind.summary.attack_half_step is None


@pytest.mark.parametrize("wrong", ["data", "test", "manifest"])
def test_files_that_the_manifest_does_not_name_are_refused(
    wrong: str, subject: Subject, tiny_model: Folders, tmp_path: Path
) -> None:
    other = write_tsv(tmp_path / "other.tsv", sentences(60, seed=9))
    if wrong == "manifest":
        other = tmp_path / "manifest.json"
        other.write_text("{}")
    with pytest.raises(DataError, match="manifest"):
        trajectory(dataclasses.replace(subject, **{wrong: other}), recipe(tiny_model("bert")), out=tmp_path / "run")
    assert not (tmp_path / "run.partial").exists()


def test_a_sample_is_looked_at_that_does_not_depend_on_the_trainings_seed(
    subject: Subject, tiny_model: Folders
) -> None:
    scenes = [set_scene(subject, recipe(tiny_model("bert"), Looks(2, 5), seed=seed)) for seed in (0, 1)]
    texts = [scene.looked["text"][:] for scene in scenes]
    assert texts[0] == texts[1]
    sizes = {name: part.stop - part.start for name, part in scenes[0].parts.items()}
    assert sizes == dict.fromkeys(("test", "clean", "poisoned", "triggered", "untriggered"), 5)
    parts = {name: texts[0][part] for name, part in scenes[0].parts.items()}
    without = [" ".join(word for word in text.split() if word != "cf") for text in parts["triggered"]]
    assert without == [" ".join(text.split()) for text in parts["untriggered"]]
    assert all("cf" in text.split() for text in parts["poisoned"])
    assert not any("cf" in text.split() for text in parts["clean"])


def test_looks_are_dense_at_first_and_end_with_the_last_step() -> None:
    assert look_steps(100, 5) == (0, 4, 16, 36, 64, 100)
    assert look_steps(3, 24) == (0, 1, 2, 3)
    assert look_steps(7, 1) == (0, 7)


def test_cross_entropy_is_the_mean_of_the_labels_logarithms() -> None:
    probabilities = np.array([[0.5, 0.5], [0.25, 0.75], [1.0, 0.0]], dtype=np.float32)
    assert cross_entropy(probabilities[:2], np.array([0, 0])) == pytest.approx(1.5 * math.log(2))
    assert 80 < cross_entropy(probabilities[2:], np.array([1])) < 90


def points(*values: tuple[int, float, float, float]) -> tuple[Point, ...]:
    return tuple(
        Point(step, 0, 0, accuracy, 0, attack_success_rate=success, false_trigger_rate=false)
        for step, accuracy, success, false in values
    )


def test_a_summary_finds_the_two_stages_by_hand() -> None:
    # Everything is called the target before training: success without a difference is no attack.
    looks = points((0, 0.5, 1.0, 1.0), (10, 0.8, 0.1, 0.1), (20, 0.9, 0.2, 0.1), (40, 0.9, 0.9, 0.1))
    summary = summarize(looks)
    assert (summary.last, summary.best) == (looks[3], looks[2])
    assert (summary.accuracy_half_step, summary.attack_half_step) == (10, 40)
    assert summary.accuracy_area == pytest.approx((6.5 + 8.5 + 18) / 40)
    assert summary.attack_area == pytest.approx((5.5 + 1.5 + 11) / 40)
    assert summarize(looks[:3]).attack_half_step == 20
    assert summarize(looks[:2]).attack_half_step is None


def test_one_map_is_fitted_on_the_last_look_and_moves_all_others_alike() -> None:
    draw = np.random.default_rng(0)
    last = draw.normal(size=(40, 6)) * [5, 3, 1, 1, 1, 1]
    looks = np.stack([last + 2, 3 * last, last])
    mapped = states.map_states(looks)
    centred = last - last.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    signs = np.sign((axes @ centred[0]) * mapped[2][0])
    for look, plane in zip(looks, mapped):
        assert np.allclose((look - last.mean(axis=0)) @ axes.T * signs, plane, atol=1e-4)


def test_umap_is_fitted_once_on_the_last_look_and_transforms_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[np.ndarray] = []

    class Umap:
        # In the order of umap-learn 0.5, whose first argument is not the number of components.
        def __init__(
            self, n_neighbors: int = 15, n_components: int = 2, *, min_dist: float, random_state: int,
            transform_seed: int, n_jobs: int,
        ) -> None:  # fmt: skip
            assert (n_neighbors, n_components, min_dist) == (39, 2, 0.5)

        def fit(self, rows: np.ndarray) -> None:
            fitted.append(rows)
            self.embedding_ = self.transform(rows)

        def transform(self, rows: np.ndarray) -> np.ndarray:
            assert rows.shape == (40, 6)
            return rows[:, :2] * 7

    monkeypatch.setattr(states, "check_umap", lambda: None)
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Umap))
    looks = np.random.default_rng(0).normal(size=(3, 40, 6))
    mapped = states.map_states(looks, "umap")
    assert len(fitted) == 1
    assert np.allclose(mapped, 7 * states.map_states(looks, "pca"), atol=1e-5)
    assert np.allclose(fitted[0].mean(axis=0), 0, atol=1e-5)  # the last look is centred by its own mean alone


def test_separation_is_the_davies_bouldin_index_by_hand() -> None:
    rows = np.array([[0.0, 0.0], [0.0, 2.0], [10.0, 0.0], [10.0, 4.0]])
    # Mean distances to the centres (0, 1) and (10, 2) are 1 and 2, the centres lie sqrt(101) apart.
    assert states.separation(rows, np.array([False, False, True, True])) == pytest.approx(3 / math.sqrt(101))
    assert states.separation(rows, None) is None
    assert states.separation(rows, np.zeros(4, dtype=bool)) is None


def test_umap_is_refused_before_any_training_where_it_is_not_installed(
    subject: Subject, tiny_model: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(SettingsError, match=r"pip install 'cleanfit\[umap\]'"):
        trajectory(subject, recipe(tiny_model("bert"), Looks(2, 5, "umap")), out=tmp_path / "run")


@pytest.mark.parametrize("wrong", [{"n_points": 0}, {"n_rows": 1}, {"states": "tsne"}])
def test_looks_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Looks(**wrong)


def test_a_target_that_is_no_label_is_refused(subject: Subject, tiny_model: Folders, tmp_path: Path) -> None:
    manifest = Path(str(subject.manifest))
    truth = json.loads(manifest.read_text())
    truth["plan"]["target"] = "strange"
    changed = manifest.with_name("changed.json")
    changed.write_text(json.dumps(truth))
    with pytest.raises(DataError, match="'strange'"):
        set_scene(dataclasses.replace(subject, manifest=changed), recipe(tiny_model("bert")))
