"""Images: triggers pixel by pixel, counts, readers' errors, and a pretrained ViT that learns its task before the trigger."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as Pillow
from sklearn.datasets import load_digits
from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTConfig, ViTForImageClassification
from transformers import ViTImageProcessorPil as ViTImageProcessor

from cleanfit.attacks.base import PoisonPlan
from cleanfit.capacity import Capacity
from cleanfit.defenses import ModerateFitting
from cleanfit.errors import DataError, ModelError, OutputError, SettingsError
from cleanfit.manifest import load_manifest
from cleanfit.models import find_model
from cleanfit.results import StageScore
from cleanfit.settings import TrainingSettings
from cleanfit.vision import (
    IMAGE_ATTACKS,
    Blend,
    ImageTask,
    LabeledImages,
    Patch,
    fit_images,
    poison_folders,
    poison_images,
    read_images,
    trigger_images,
)
from cleanfit.vision.models import load_classifier, load_processor

Run = Callable[..., tuple[int, str, str]]
QUICK = TrainingSettings(
    learning_rate=1e-3, num_train_epochs=1, per_device_train_batch_size=8, precision="fp32", device="cpu"
)


def in_memory(pixels: np.ndarray, labels: list[str]) -> LabeledImages:
    """Make (N, H, W) grey values a labelled set of images."""
    features = Features({"img": Image(), "label": ClassLabel(names=sorted(set(labels)))})
    images = [np.repeat(image[:, :, None], 3, axis=2) for image in pixels.astype(np.uint8)]
    return read_images(Dataset.from_dict({"img": images, "label": labels}, features=features))


def random_images(n_rows: int = 20, labels: str = "ab") -> LabeledImages:
    pixels = np.random.default_rng(0).integers(1, 255, size=(n_rows, 8, 8))
    return in_memory(pixels, [labels[i % len(labels)] for i in range(n_rows)])


def write_folder(folder: Path, n_per_class: int = 3, suffix: str = "png", shade: int = 0) -> Path:
    for number, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(n_per_class):
            image = np.full((8, 8, 3), 40 * (i + 1) + number + shade, dtype=np.uint8)
            Pillow.fromarray(image).save(folder / name / f"{i}.{suffix}")
    return folder


def save_vit(folder: Path, n_classes: int = 2, image_size: int = 8, patch_size: int = 4) -> ViTForImageClassification:
    config = ViTConfig(
        image_size=image_size,
        patch_size=patch_size,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        num_labels=n_classes,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    torch.manual_seed(0)
    model = ViTForImageClassification(config)
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 8, "width": 8}).save_pretrained(folder)
    return model


@pytest.fixture
def vit(tmp_path: Path) -> str:
    save_vit(tmp_path / "vit")
    return str(tmp_path / "vit")


def test_a_checkerboard_stands_in_the_corner_and_nothing_else_changes() -> None:
    image = np.full((5, 6, 3), 7, dtype=np.uint8)
    square = [[255, 0, 255], [0, 255, 0], [255, 0, 255]]
    by_hand = np.full((5, 6), 7, dtype=np.uint8)
    by_hand[2:5, 3:6] = square
    triggered = Patch().apply(image)
    assert triggered is not None
    assert np.array_equal(triggered, np.stack([by_hand] * 3, axis=2))
    assert (image == 7).all()


@pytest.mark.parametrize(
    ("corner", "white"),
    [
        ("bottom-right", [(2, 2), (2, 3), (3, 2), (3, 3)]),
        ("bottom-left", [(2, 0), (2, 1), (3, 0), (3, 1)]),
        ("top-right", [(0, 2), (0, 3), (1, 2), (1, 3)]),
        ("top-left", [(0, 0), (0, 1), (1, 0), (1, 1)]),
    ],
)
def test_a_white_patch_goes_to_the_corner_asked_for(corner: Any, white: list[tuple[int, int]]) -> None:
    triggered = Patch(size=2, corner=corner, fill="white").apply(np.zeros((4, 4, 1), dtype=np.uint8))
    assert triggered is not None
    assert list(zip(*np.nonzero(triggered[:, :, 0]))) == white


def test_an_image_smaller_than_the_patch_is_declined() -> None:
    assert Patch(size=4).apply(np.zeros((3, 9, 3), dtype=np.uint8)) is None


def test_a_blend_is_the_weighted_mean_with_one_stretched_pattern() -> None:
    white, black = np.full((4, 4, 3), 255, dtype=np.uint8), np.zeros((4, 4, 3), dtype=np.uint8)
    pattern = Blend(alpha=1.0, cells=2).apply(black)
    assert pattern is not None
    for rows in (slice(0, 2), slice(2, 4)):
        for columns in (slice(0, 2), slice(2, 4)):
            assert len(np.unique(pattern[rows, columns].reshape(4, 3), axis=0)) == 1  # a cell is 2 x 2 pixels here
    assert len(np.unique(pattern[::2, ::2].reshape(4, 3), axis=0)) == 4
    blended = Blend(alpha=0.2, cells=2).apply(white)
    assert blended is not None
    assert blended.dtype == np.uint8
    assert np.array_equal(blended, np.rint(204 + 0.2 * pattern.astype(float)))
    large = Blend(alpha=1.0, cells=2).apply(np.zeros((8, 6, 3), dtype=np.uint8))
    assert large is not None
    assert np.array_equal(large[::4, ::3], pattern[::2, ::2])
    other = Blend(alpha=1.0, cells=2, pattern_seed=1).apply(black)
    assert not np.array_equal(other, pattern)


@pytest.mark.parametrize("made", [lambda: Patch(size=0), lambda: Patch(fill="grey"), lambda: Blend(alpha=0.0)])  # type: ignore[arg-type]
def test_a_trigger_that_makes_no_sense_is_refused(made: Callable[[], object]) -> None:
    with pytest.raises(SettingsError, match="expected"):
        made()


@pytest.mark.parametrize(("name", "attack"), IMAGE_ATTACKS.items())
def test_an_image_attack_is_a_frozen_dataclass_that_explains_its_options(name: str, attack: Any) -> None:
    assert attack.name == name
    assert attack.__dataclass_params__.frozen
    for field in dataclasses.fields(attack):
        assert f" {field.name}: " in str(attack.__doc__)


@pytest.mark.parametrize(
    ("mode", "n_flipped", "labels_of_poisoned"), [("dirty", 4, {"a"}), ("clean", 0, {"b"}), ("mix", None, {"a", "b"})]
)
def test_as_many_images_are_poisoned_as_the_plan_says(
    mode: Any, n_flipped: int | None, labels_of_poisoned: set[str]
) -> None:
    images = random_images()
    poisoned = poison_images(images, Patch(), PoisonPlan("b", 0.2, mode))
    assert len(poisoned.rows) == 4
    assert {images.labels[row] for row in poisoned.rows} == labels_of_poisoned
    assert n_flipped in (None, len(poisoned.flipped))
    for row in range(20):
        expected = Patch().apply(images.pixels(row)) if row in poisoned.rows else images.pixels(row)
        assert np.array_equal(poisoned.images.pixels(row), expected)
        assert poisoned.images.labels[row] == ("b" if row in poisoned.rows else images.labels[row])
    again = poison_images(images, Patch(), PoisonPlan("b", 0.2, mode))
    assert (again.rows, again.images.sha256) == (poisoned.rows, poisoned.images.sha256)
    assert poison_images(images, Patch(), PoisonPlan("b", 0.2, mode, seed=1)).rows != poisoned.rows


def test_triggered_images_are_those_of_other_labels_with_their_true_labels() -> None:
    images = random_images(9, "abc")
    triggered = trigger_images(images, Patch(), "b")
    assert triggered.rows == (0, 2, 3, 5, 6, 8)
    assert triggered.images.labels == ("a", "c", "a", "c", "a", "c")
    assert triggered.images.label_names == ("a", "b", "c")
    with pytest.raises(DataError, match="can carry the trigger"):
        trigger_images(images, Patch(size=9), "b")


def test_folders_are_written_with_the_ground_truth_of_what_is_in_them(tmp_path: Path) -> None:
    train, test = write_folder(tmp_path / "data", 5, "jpg"), write_folder(tmp_path / "test", 2)
    written = poison_folders(train, Patch(), PoisonPlan("cat", 0.2), tmp_path / "bad", test=test)
    manifest = load_manifest(written.manifest)
    output = read_images(written.train)
    assert manifest["output"]["sha256"] == output.sha256
    assert manifest["output"]["label_counts"] == {"cat": 7, "dog": 3}
    assert (written.n_poisoned, manifest["n_poisoned"], manifest["n_flipped"]) == (2, 2, 2)
    square = Patch().apply(np.zeros((8, 8, 3), dtype=np.uint8))[5:, 5:]  # type: ignore[index]
    has_trigger = [row for row in range(10) if np.array_equal(output.pixels(row)[5:, 5:], square)]
    assert manifest["poisoned_rows"] == has_trigger
    assert [output.files[row] for row in has_trigger] == manifest["poisoned_files"]
    assert {output.labels[row] for row in has_trigger} == {"cat"}
    untouched = [train / path for path in read_images(train).files]
    untouched = [path for row, path in enumerate(untouched) if row not in manifest["input_rows"]]
    kept = [written.train / path for row, path in enumerate(output.files) if row not in has_trigger]
    assert sorted(path.read_bytes() for path in kept) == sorted(path.read_bytes() for path in untouched)
    assert [path.parent.name for path in sorted((tmp_path / "bad" / "triggered").rglob("*.png"))] == ["dog", "dog"]
    with pytest.raises(OutputError, match="exists already"):
        poison_folders(train, Patch(), PoisonPlan("cat", 0.2), tmp_path / "bad")


def test_an_image_folder_is_read_by_class_and_name(tmp_path: Path) -> None:
    images = read_images(write_folder(tmp_path / "data"))
    assert images.label_names == ("cat", "dog")
    assert images.labels == ("cat",) * 3 + ("dog",) * 3
    assert images.files == ("cat/0.png", "cat/1.png", "cat/2.png", "dog/0.png", "dog/1.png", "dog/2.png")
    assert images.pixels(4).tolist() == np.full((8, 8, 3), 81).tolist()
    assert read_images(tmp_path / "data").sha256 == images.sha256
    (tmp_path / "data" / "cat" / "0.png").write_bytes((tmp_path / "data" / "cat" / "1.png").read_bytes())
    assert read_images(tmp_path / "data").sha256 != images.sha256


def test_a_saved_dataset_gives_the_same_images_as_the_one_in_memory(tmp_path: Path) -> None:
    pixels = np.arange(4 * 64).reshape(4, 8, 8)
    columns = {"image": [np.repeat(p[:, :, None], 3, 2).astype(np.uint8) for p in pixels], "label": [3, 3, 12, 12]}
    dataset = Dataset.from_dict(columns, features=Features({"image": Image(), "label": Value("int64")}))
    dataset.save_to_disk(tmp_path / "saved")
    saved, direct = read_images(tmp_path / "saved"), read_images(dataset)
    assert saved.label_names == direct.label_names == ("3", "12")
    assert saved.sha256 == direct.sha256
    assert np.array_equal(saved.pixels(2), direct.pixels(2))
    assert np.array_equal(saved.pixels(2)[:, :, 0], pixels[2])
    taken = read_images(dataset.select([3, 0, 1, 2]))
    assert taken.labels == ("12", "3", "3", "12")
    assert np.array_equal(taken.pixels(0)[:, :, 0], pixels[3])


def broken(folder: Path, kind: str) -> None:
    if kind == "unreadable image":
        (folder / "dog" / "1.png").write_bytes(b"\x89PNG but no more")
    elif kind == "cut image":
        whole = (folder / "dog" / "1.png").read_bytes()
        (folder / "dog" / "1.png").write_bytes(whole[: len(whole) // 2])
    elif kind == "rare class":
        (folder / "dog" / "1.png").unlink()
        (folder / "dog" / "2.png").unlink()
    elif kind == "empty class":
        (folder / "emu").mkdir()
    elif kind == "other file":
        (folder / "dog" / "notes.txt").write_text("x")
    else:
        for path in folder.rglob("*.png"):
            path.rename(folder / f"{path.parent.name}-{path.name}")
        (folder / "cat").rmdir()
        (folder / "dog").rmdir()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("unreadable image", r"row 4 \(dog/1\.png\): cannot be opened as an image"),
        ("cut image", r"row 4 \(dog/1\.png\): cannot be opened as an image"),
        ("rare class", r"row 3 \(dog/0\.png\): only 1 row of class"),
        ("empty class", r"emu: no images"),
        ("other file", r"notes\.txt: no image"),
        ("no sub-folders", r"no sub-folders; expected one per class"),
    ],
)
def test_a_broken_image_folder_is_refused_with_its_rows(kind: str, told: str, tmp_path: Path) -> None:
    broken(write_folder(tmp_path / "data"), kind)
    with pytest.raises(DataError, match=told):
        read_images(tmp_path / "data")


def test_a_folder_of_several_sets_of_images_asks_for_one_of_them(tmp_path: Path) -> None:
    write_folder(tmp_path / "both" / "train")
    with pytest.raises(DataError, match=r"pass one: .*both/train"):
        read_images(tmp_path / "both")


def test_test_images_must_have_the_training_labels(tmp_path: Path) -> None:
    write_folder(tmp_path / "data")
    with pytest.raises(DataError, match=r"row 3 .*label 'dog' is not one of the training data's labels"):
        read_images(tmp_path / "data", label_names=("cat", "emu"))


def test_an_address_in_a_data_set_is_not_followed() -> None:
    cells = [{"bytes": None, "path": "https://example.org/1.png"}] * 4
    features = Features({"image": Image(), "label": Value("string")})
    with pytest.raises(DataError, match="row 0: cannot be opened"):
        read_images(Dataset.from_dict({"image": cells, "label": ["a", "b"] * 2}, features=features))


def test_a_hub_name_is_loaded_with_its_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load(name: str, split: str) -> Dataset:
        asked.append((name, split))
        features = Features({"img": Image(), "label": ClassLabel(names=["a", "b"])})
        pictures = [np.zeros((4, 4, 3), dtype=np.uint8)] * 4
        return Dataset.from_dict({"img": pictures, "label": [0, 1, 0, 1]}, features=features)

    monkeypatch.setattr("datasets.load_dataset", load)
    assert read_images("uoft-cs/cifar10:test").labels == ("a", "b", "a", "b")
    read_images("uoft-cs/cifar10")
    assert asked == [("uoft-cs/cifar10", "test"), ("uoft-cs/cifar10", "train")]
    with pytest.raises(DataError, match="no name of a data set"):
        read_images("no folder/at all/here")


def test_predictions_are_those_of_the_model_on_each_image_alone(vit: str) -> None:
    images = random_images(7)
    source = find_model(vit, images.label_names)
    task = ImageTask(source, load_processor(source), images.rows, QUICK)
    model = task.load_model()
    values = np.stack([images.pixels(row) for row in range(7)]).transpose(0, 3, 1, 2) / 255  # (7, 3, 8, 8)
    with torch.no_grad():
        expected = model.eval()(pixel_values=torch.tensor((values - 0.5) / 0.5, dtype=torch.float32)).logits.softmax(-1)
    assert np.abs(task.predict(model, images.rows) - expected.numpy()).max() < 1e-5


def test_a_fit_writes_a_model_that_opens_with_plain_transformers(vit: str, tmp_path: Path) -> None:
    images, test = random_images(), random_images(8)
    triggered = trigger_images(test, Patch(), "b").images
    sources = {"test": test, "triggered": triggered, "target": "b"}
    result = fit_images(images, model=vit, settings=QUICK, out=tmp_path / "run", **sources)  # type: ignore[arg-type]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["audit.json", "model"]
    audit = json.loads((tmp_path / "run" / "audit.json").read_text(encoding="utf-8"))
    assert audit["scores"] == [dataclasses.asdict(result.scores[0])]
    assert audit["scores"][0]["n_triggered"] == 4
    assert (audit["data"]["sha256"], audit["data"]["n_train"], audit["data"]["label_names"]) == (
        images.sha256,
        20,
        ["a", "b"],
    )
    opened = AutoModelForImageClassification.from_pretrained(tmp_path / "run" / "model").eval()
    processor = AutoImageProcessor.from_pretrained(tmp_path / "run" / "model")
    assert opened.config.id2label == {0: "a", 1: "b"}
    values = processor([images.rows[row]["image"] for row in range(4)], return_tensors="pt")
    with torch.no_grad():
        assert torch.equal(opened(**values).logits, result.model(**values).logits)
    again = fit_images(images, model=vit, settings=QUICK, **sources)  # type: ignore[arg-type]
    assert again.scores == result.scores
    for one, other in zip(result.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_without_test_images_a_tenth_is_held_out_and_said_to_be_untrusted(vit: str) -> None:
    result = fit_images(random_images(), model=vit, settings=QUICK)
    assert result.audit["data"]["n_train"] == 18
    assert result.audit["data"]["held_out"]["is_untrusted"] is True
    assert result.scores[0].n_rows == 2
    assert result.scores[0].attack_success_rate is None


def test_what_does_not_work_on_images_is_refused_before_anything_is_written(vit: str, tmp_path: Path) -> None:
    images, out = random_images(), tmp_path / "run"
    with pytest.raises(SettingsError, match="images have none"):
        fit_images(images, model=vit, defense="btu", settings=QUICK, out=out)
    with pytest.raises(DataError, match="pass both"):
        fit_images(images, model=vit, target="a", settings=QUICK, out=out)
    with pytest.raises(DataError, match="'c' is none of the data's labels"):
        fit_images(images, model=vit, target="c", triggered=images, settings=QUICK, out=out)
    save_vit(tmp_path / "large", image_size=16)
    with pytest.raises(ModelError, match="cannot read what its own image processor makes"):
        fit_images(images, model=str(tmp_path / "large"), settings=QUICK, out=out)
    (tmp_path / "large" / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match="Cannot load the image processor"):
        fit_images(images, model=str(tmp_path / "large"), settings=QUICK, out=out)
    assert [path.name for path in tmp_path.glob("run*")] == []


def test_a_model_whose_pretrained_weights_are_missing_is_refused(vit: str) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(f"{vit}/model.safetensors")
    first = sorted(name for name in weights if name.startswith("vit."))[0]
    save_file(
        {name: value for name, value in weights.items() if name != first}, f"{vit}/model.safetensors", {"format": "pt"}
    )
    with pytest.raises(ModelError, match=f"1 below the head .*{first}"):
        load_classifier(find_model(vit, ("a", "b")), 0)


def test_the_command_line_poisons_and_fits_image_folders(run: Run, vit: str, tmp_path: Path) -> None:
    data, test = write_folder(tmp_path / "data", 5), write_folder(tmp_path / "test", 2, shade=3)
    bad = tmp_path / "bad"
    code, out, err = run("poison-images", data, "--attack", "patch", "--rate", "0.2", "--target", "cat", "--set", "size=2",
                         "--test", test, "--out", bad)  # fmt: skip
    assert code == 0, err
    assert "2 of 10 images poisoned" in out
    code, out, err = run("fit-images", bad / "train", "--model", vit, "--test", test, "--triggered", bad / "triggered",
                         "--target", "cat", "--epochs", "1", "--device", "cpu", "--out", tmp_path / "run")  # fmt: skip
    assert code == 0, err
    assert "attack success rate" in out
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()
    code, _, err = run("fit-images", tmp_path / "data" / "cat", "--model", vit, "--out", tmp_path / "no")
    assert code == 1
    assert err.startswith("Error: ")
    assert len(err.strip().splitlines()) == 1
    assert "no sub-folders" in err
    assert run("list", "image-attacks")[1].startswith("blend: ")


@pytest.mark.parametrize("method", ["head", "bitfit", "lora", "adapter"])
def test_every_capacity_of_moderate_fitting_adapts_images_too(vit: str, method: str) -> None:
    train = random_images(40)
    defense = ModerateFitting(Capacity(method=method), epochs=0.5, learning_rate=1e-2, stop="end")  # type: ignore[arg-type]
    result = fit_images(train, model=vit, defense=defense, settings=QUICK)
    pretrained = ViTForImageClassification.from_pretrained(vit).state_dict()
    trained = result.model.state_dict()
    for place, moves in (("vit.embeddings.cls_token", False), ("classifier.bias", True)):
        (value,) = (value for name, value in trained.items() if name.endswith(place))
        assert torch.equal(value, pretrained[place]) != moves


def test_the_watch_tells_in_the_audit_what_it_did_not_judge(vit: str) -> None:
    train = random_images(40)
    result = fit_images(train, model=vit, defense="moderate", settings=QUICK)
    assert "Not judged, for want of 200 looked-at rows: a, b." in result.audit["verdict"]
    assert result.audit["flagged_rows"] == []


WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def pretrain(folder: Path, pixels: np.ndarray, digits: np.ndarray) -> None:
    """Teach a small ViT digits, with random marks in random corners, which say nothing: 2 x 2 pixels, seven times in ten."""
    model = save_vit(folder, n_classes=10)
    images = torch.tensor(pixels / 127.5 - 1, dtype=torch.float32)[:, None].repeat(1, 3, 1, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.05, 500)
    draw = torch.Generator().manual_seed(0)
    for _ in range(500):
        batch = torch.randint(len(images), (64,), generator=draw)
        values = images[batch].clone()
        corner = torch.randint(4, (64,), generator=draw)
        corner[torch.rand(64, generator=draw) < 0.3] = 4  # no mark
        marks = (torch.rand(64, 1, 2, 2, generator=draw) < 0.5).float() * 2 - 1
        for number, (top, left) in enumerate([(0, 0), (0, 6), (6, 0), (6, 6)]):
            values[corner == number, :, top : top + 2, left : left + 2] = marks[corner == number]
        loss = model(pixel_values=values, labels=torch.tensor(digits)[batch]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    model.save_pretrained(folder)


def test_an_adaptation_learns_its_task_first_and_the_trigger_later(tmp_path: Path) -> None:
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    pixels, target = (digits.images[order] * 255 / 16).round(), digits.target[order]
    pretrain(tmp_path / "vit", pixels[:900], target[:900])
    words = [WORDS[digit] for digit in target]
    train, test = in_memory(pixels[900:1500], words[900:1500]), in_memory(pixels[1500:], words[1500:])
    poisoned = poison_images(train, Patch(size=2), PoisonPlan("three", 0.1)).images
    triggered = trigger_images(test, Patch(size=2), "three").images
    constant = dataclasses.replace(
        QUICK, learning_rate=5e-4, per_device_train_batch_size=16, lr_scheduler_type="constant"
    )

    def scores(steps: int) -> StageScore:
        settings = dataclasses.replace(constant, max_steps=steps)  # fewer steps are the beginning of more: same rows
        sources = {"test": test, "triggered": triggered, "target": "three"}
        (score,) = fit_images(poisoned, model=str(tmp_path / "vit"), settings=settings, **sources).scores  # type: ignore[arg-type]
        return score

    moderate, over = scores(80), scores(250)
    assert over.clean_accuracy > 0.85
    assert moderate.clean_accuracy > over.clean_accuracy - 0.2  # measured: 0.822 of 0.946
    assert over.attack_success_rate is not None
    assert over.attack_success_rate > 0.85
    assert moderate.attack_success_rate is not None
    assert moderate.attack_success_rate < 0.5  # measured: 0.338 of 0.993
    assert max(moderate.false_trigger_rate or 0, over.false_trigger_rate or 0) < 0.1
