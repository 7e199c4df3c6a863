"""Poison images and trigger test images with the same trigger function; in memory, or as folders with a manifest."""

import dataclasses
import io
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset, Features, Image, Value
from PIL import Image as Pillow

from cleanfit.attacks.base import (
    DEFINITIONS,
    Attack,
    Poisoned,
    PoisonPlan,
    Row,
    Rows,
    label_counts,
    poison,
    trigger,
)
from cleanfit.audit import versions
from cleanfit.errors import DataError, OutputError
from cleanfit.manifest import MANIFEST_SCHEMA_VERSION
from cleanfit.results import to_plain, write_json
from cleanfit.vision.attacks import ImageAttack
from cleanfit.vision.images import SUFFIXES, ImageSource, LabeledImages, read_images


@dataclass(frozen=True)
class PoisonedImages:
    """A poisoned (or triggered) copy of images, and the ground truth.

    Args:
        images: the copy.
        rows: the numbers, in the input, of the images that carry the trigger, ascending.
        flipped: those among them whose label changed.
        declined: those that were asked and could not carry the trigger, ascending.
        n_asked: how many images the plan asked for.
    """

    images: LabeledImages
    rows: tuple[int, ...]
    flipped: tuple[int, ...]
    declined: tuple[int, ...]
    n_asked: int


@dataclass(frozen=True)
class PoisonedFolders:
    """Where `poison_folders` wrote what; `triggered` is None without test images."""

    train: Path
    manifest: Path
    triggered: Path | None
    n_poisoned: int
    n_rows: int
    n_declined: int


def poison_images(images: LabeledImages, attack: ImageAttack, plan: PoisonPlan) -> PoisonedImages:
    """Poison a training set; which images are poisoned depends on the seed and their row numbers, as for texts.

    Args:
        images: N images.
        attack: the trigger.
        plan: how many images, which and with what label.

    Returns:
        The poisoned copy, same length and order; the triggered images are held in memory as PNG.

    Raises:
        SettingsError: the target is none of the labels.
    """
    chosen = poison(_OnImages(images, attack), _numbered(images), plan)
    return _changed(images, attack, chosen, range(len(images.rows)))


def trigger_images(images: LabeledImages, attack: ImageAttack, target: str) -> PoisonedImages:
    """Put the trigger into every image whose true label is not the target, for measuring attack success.

    Args:
        images: N images with their true labels.
        attack: the trigger, the same as in training.
        target: the attacker's label.

    Returns:
        Only the images that carry the trigger, with their TRUE labels; `rows` numbers them in the input.

    Raises:
        DataError: no image can be triggered.
    """
    chosen = trigger(
        _OnImages(images, attack), _numbered(images), target, seed=0
    )  # nothing in these triggers is random
    if not chosen.rows:
        raise DataError(
            f"{images.source}: no image of another label than the target '{target}' can carry the trigger; "
            "attack success needs some."
        )
    return _changed(images, attack, chosen, chosen.rows)


def poison_folders(
    train: ImageSource,
    attack: ImageAttack,
    plan: PoisonPlan,
    out: Path,
    *,
    test: ImageSource | None = None,
    overwrite: bool = False,
) -> PoisonedFolders:
    """Write a poisoned image folder, triggered test images, and the manifest with the ground truth.

    Args:
        train: whatever `read_images` reads.
        attack: the trigger.
        plan: target, rate, label mode, seed.
        out: folder to write, by a temporary name: ``train/`` and, with test images, ``triggered/``, both with one
            sub-folder per class, and ``manifest.json``. Images without a trigger are copied byte for byte; those with
            one are PNG, which loses nothing of it.
        test: its images of other labels are triggered, with their labels kept.
        overwrite: replace the folder if it is there.

    Returns:
        The paths written.

    Raises:
        DataError: a source is not usable.
        SettingsError: the target is none of the labels.
        OutputError: the folder is there and `overwrite` is not asked for.
    """
    if out.exists() and not overwrite:
        raise OutputError(f"'{out}' exists already. Pass --overwrite to replace it, or another --out.")
    images = read_images(train)
    poisoned = poison_images(images, attack, plan)
    tested = None if test is None else read_images(test, label_names=images.label_names)
    triggered = None if tested is None else trigger_images(tested, attack, plan.target)
    manifest = _manifest(images, attack, plan, poisoned)
    temporary = out.with_name(out.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        written = write_images(poisoned.images, temporary / "train")
        # A changed label moves a file to another class's folder, so that rows are numbered anew there.
        output = read_images(temporary / "train")
        numbers = {name: row for row, name in enumerate(output.files)}
        manifest["poisoned_rows"] = sorted(numbers[written[row]] for row in poisoned.rows)
        manifest["poisoned_files"] = [output.files[row] for row in manifest["poisoned_rows"]]
        manifest["output"] = _described(output)
        if tested is not None and triggered is not None:
            write_images(triggered.images, temporary / "triggered")
            again = read_images(temporary / "triggered", label_names=images.label_names)
            rows, declined = list(triggered.rows), list(triggered.declined)
            manifest["test"] = {"input": _described(tested), "output": _described(again)}
            manifest["test"] |= {"input_rows": rows, "declined_input_rows": declined}
        write_json(temporary / "manifest.json", manifest)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    n_rows, n_declined = len(images.rows), len(poisoned.declined)
    where = None if triggered is None else out / "triggered"
    return PoisonedFolders(out / "train", out / "manifest.json", where, len(poisoned.rows), n_rows, n_declined)


def write_images(images: LabeledImages, folder: Path) -> list[str]:
    """Write images as they are encoded, into one sub-folder per class.

    Returns:
        The N paths below the folder: class, then row number (and the old name, if there was one).

    Raises:
        DataError: a label is no folder name.
    """
    written = []
    encoded = images.rows.cast_column("image", Image(decode=False))
    for row, label in enumerate(images.labels):
        if Path(label).name != label or label.startswith("."):
            raise DataError(f"{images.source}: the label '{label}' cannot be the name of a folder.")
        cell = encoded[row]["image"]
        content = cell["bytes"] if cell["bytes"] is not None else Path(cell["path"]).read_bytes()
        old = Path(images.files[row]).stem if images.files else "image"
        name = f"{label}/{row:06d}-{old}{_suffix(content)}"
        (folder / label).mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        written.append(name)
    return written


@dataclass(frozen=True)
class _OnImages(Attack):
    """Let the picking of rows, which is made for texts, ask an image attack; a row's text is its number here."""

    name: ClassVar[str] = "on images"
    images: LabeledImages
    attack: ImageAttack

    def apply(self, row: Row, random: np.random.Generator) -> str | None:
        """Mark a row whose image the trigger changes; decline any other."""
        before = self.images.pixels(int(row.text))
        after = self.attack.apply(before)
        return None if after is None or np.array_equal(before, after) else f"{row.text} triggered"


def _numbered(images: LabeledImages) -> Rows:
    return Rows([str(row) for row in range(len(images.rows))], images.labels)


def _changed(
    images: LabeledImages, attack: ImageAttack, chosen: Poisoned, kept: range | tuple[int, ...]
) -> PoisonedImages:
    """Copy some rows, with the trigger in those that were chosen."""
    cells: list[Mapping[str, Any]] = []
    encoded, has_trigger = images.rows.cast_column("image", Image(decode=False)), set(chosen.rows)
    for row in kept:
        if row in has_trigger:
            stream = io.BytesIO()
            Pillow.fromarray(np.asarray(attack.apply(images.pixels(row)))).save(stream, "PNG")
            cells.append({"bytes": stream.getvalue(), "path": None})
        else:
            cells.append(encoded[row]["image"])
    columns = {"image": cells, "label": list(chosen.labels)}
    copy = Dataset.from_dict(columns, features=Features({"image": Image(), "label": Value("string")}))
    checked = read_images(copy, label_names=images.label_names)
    files = tuple(images.files[row] for row in kept) if images.files else ()
    named = dataclasses.replace(checked, source=f"{images.source}, {attack.name}", files=files)
    return PoisonedImages(named, chosen.rows, chosen.flipped, chosen.declined, chosen.n_asked)


def _suffix(content: bytes) -> str:
    with Pillow.open(io.BytesIO(content)) as image:
        suffix = f".{str(image.format).lower()}"
    return suffix if suffix in SUFFIXES else ".png"  # of a rare format; it is opened by its content, not by its name


def _described(images: LabeledImages) -> dict[str, Any]:
    return {
        "name": Path(images.source).name,
        "sha256": images.sha256,
        "n_rows": len(images.rows),
        "label_counts": label_counts(images.labels),
    }


def _manifest(images: LabeledImages, attack: ImageAttack, plan: PoisonPlan, poisoned: PoisonedImages) -> dict[str, Any]:
    """Tell all but where things went; rows are those of the input here, and of the output under ``poisoned_rows``."""
    return {
        "schema_version": MANIFEST_SCHEMA_VERSION,
        "kind": "images",
        "definitions": DEFINITIONS,
        "attack": {"name": attack.name, **to_plain(attack)},
        "plan": to_plain(plan),
        "versions": versions(),
        "input": _described(images),
        "n_asked": poisoned.n_asked,
        "n_poisoned": len(poisoned.rows),
        "n_flipped": len(poisoned.flipped),
        "effective_rate": len(poisoned.rows) / len(images.rows),
        "input_rows": list(poisoned.rows),
        "flipped_input_rows": list(poisoned.flipped),
        "declined_input_rows": list(poisoned.declined),
        "test": None,
    }
