"""The main path for images: load, check, defend, evaluate, save."""

import dataclasses
import datetime
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import BaseImageProcessor, PreTrainedModel

from cleanfit.audit import versions
from cleanfit.data import Columns, LabeledData, split
from cleanfit.defenses import DEFENSES
from cleanfit.defenses.base import Defended, Defense
from cleanfit.errors import DataError, ModelError
from cleanfit.fitting import HELD_OUT_SHARE
from cleanfit.metrics import clean_accuracy, target_rate
from cleanfit.models import ModelSource, find_model, first_line, quiet_loading
from cleanfit.results import AUDIT_SCHEMA_VERSION, StageScore, to_plain, write_json
from cleanfit.run_folder import RunFolder
from cleanfit.settings import TrainingSettings, lookup
from cleanfit.training import check_report_to
from cleanfit.vision.images import ImageSource, LabeledImages, read_images
from cleanfit.vision.models import load_processor
from cleanfit.vision.task import ImageTask

LIMITS = (
    "No image is looked for or left out: what a defense for images does is to train so that a trigger is hardly learnt.",
    "Attack success can only be measured with triggered test images; without them it is not known.",
    "The pretrained model is trusted: a backdoor that it already carried is not looked for.",
)


@dataclass(frozen=True)
class ImageFitResult:
    """An adapted image classifier and the audit of its run.

    Args:
        model: the classifier, in evaluation mode.
        processor: makes its pixel values of images.
        scores: one per stage, in order.
        audit: what audit.json holds.
        folder: where it was saved, or None.
    """

    model: PreTrainedModel
    processor: BaseImageProcessor
    scores: tuple[StageScore, ...]
    audit: Mapping[str, Any]
    folder: Path | None = None


def fit_images(
    data: ImageSource,
    *,
    model: str,
    defense: str | Defense = "plain",
    settings: TrainingSettings = TrainingSettings(),
    test: ImageSource | None = None,
    triggered: ImageSource | None = None,
    target: str | None = None,
    out: str | Path | RunFolder | None = None,
) -> ImageFitResult:
    """Adapt a pretrained image classifier to images that may be poisoned.

    Args:
        data: the untrusted images: whatever `read_images` reads.
        model: a folder or a hub name of any transformers model for images.
        defense: a name or a configured defense; one that looks at tokens is refused.
        settings: how models are trained; ``max_length`` means nothing here.
        test: images that only the scores see; None holds a tenth of `data` out.
        triggered: triggered images with their true labels, for research: only the scores see them.
        target: the attacker's label as written, with `triggered`.
        out: folder for the result (``model/``, ``audit.json``); None keeps it in memory.

    Returns:
        The model and its scores. The triggered images and their target reach the scores only.

    Raises:
        CleanfitError: bad data, model, settings or output folder; nothing is left behind then.

    Source: Moderate-fitting (NeurIPS 2022), its extension to pretrained vision models, of which no code was released.
    """
    method = lookup("defense", defense, DEFENSES)() if isinstance(defense, str) else defense
    run = out if isinstance(out, RunFolder) or out is None else RunFolder(Path(out))
    if run:
        run.check()
    check_report_to(settings)
    prepared = _prepare(_Sources(data, test, triggered, target), model, settings)
    if run is None:
        return _defend(prepared, method, settings, None)
    with run.open(_fingerprint(prepared, method, settings)) as (folder, work):
        result = _defend(prepared, method, settings, work)
        with quiet_loading():
            result.model.save_pretrained(folder / "model")
        result.processor.save_pretrained(folder / "model")
        write_json(folder / "audit.json", result.audit)
    return dataclasses.replace(result, folder=run.path)


@dataclass(frozen=True)
class _Sources:
    """What a run was asked to read."""

    data: ImageSource
    test: ImageSource | None
    triggered: ImageSource | None
    target: str | None


@dataclass(frozen=True)
class _Prepared:
    """Everything that was read and checked before anything is trained; `held_out` is None where `test` was given."""

    source: ModelSource
    processor: BaseImageProcessor
    images: LabeledImages
    train: Dataset
    test: Dataset
    given_test: LabeledImages | None
    triggered: LabeledImages | None
    target: int | None


def _prepare(sources: _Sources, model: str, settings: TrainingSettings) -> _Prepared:
    images = read_images(sources.data)
    names, target = images.label_names, sources.target
    if (sources.triggered is None) != (target is None):
        raise DataError("Triggered images need a target label, and a target label needs triggered images: pass both.")
    if target is not None and target not in names:
        raise DataError(f"The target label '{target}' is none of the data's labels: {', '.join(names)}.")
    test, triggered = (
        None if given is None else read_images(given, label_names=names) for given in (sources.test, sources.triggered)
    )
    train, held = (images.rows, test.rows) if test is not None else _hold_out(images, settings.seed)
    source = find_model(model, names)
    processor = load_processor(source)
    number = None if target is None else names.index(target)
    prepared = _Prepared(source, processor, images, train, held, test, triggered, number)
    _check_fits(prepared, settings)
    return prepared


def _hold_out(images: LabeledImages, seed: int) -> tuple[Dataset, Dataset]:
    """Split off a tenth, by class; only row numbers and labels are copied for that."""
    rows = images.rows.select_columns(["row_id", "label"])
    parts = split(LabeledData(rows, images.label_names, images.source, images.sha256, Columns()), HELD_OUT_SHARE, seed)
    train, held = (images.rows.select(part["row_id"]) for part in parts)
    return train, held


def _check_fits(prepared: _Prepared, settings: TrainingSettings) -> None:
    """Show the model one image, so that one that cannot be used is refused before anything is written."""
    task = ImageTask(prepared.source, prepared.processor, prepared.train, settings)
    model = task.load_model()
    try:
        task.predict(model, prepared.train.select([0]))
    except (ValueError, RuntimeError, IndexError) as error:
        raise ModelError(
            f"'{prepared.source.name}' cannot read what its own image processor makes: {first_line(error)} "
            "Expected the same size and 3 channels in config.json and preprocessor_config.json."
        ) from error


def _defend(prepared: _Prepared, method: Defense, settings: TrainingSettings, work: Path | None) -> ImageFitResult:
    scores: list[StageScore] = []

    def measure(stage: str, model: PreTrainedModel) -> None:
        scores.append(_score_stage(task, stage, model, prepared))

    task = ImageTask(prepared.source, prepared.processor, prepared.train, settings, work=work, on_stage=measure)
    defended = method.fit(task)
    audit = _audit(prepared, task, method, scores, defended)
    defended.model.train(False)
    return ImageFitResult(defended.model, prepared.processor, tuple(scores), audit)


def _score_stage(task: ImageTask, stage: str, model: PreTrainedModel, prepared: _Prepared) -> StageScore:
    """Measure a model on the test images and, with a target, on the triggered ones; see `metrics` for the definitions."""
    labels = np.asarray(prepared.test["label"])
    probabilities = task.predict(model, prepared.test)
    score = StageScore(stage, clean_accuracy(probabilities, labels), len(labels))
    if prepared.triggered is None or prepared.target is None:
        return score
    truth = np.asarray(prepared.triggered.rows["label"])
    triggered = task.predict(model, prepared.triggered.rows)
    return dataclasses.replace(
        score,
        attack_success_rate=target_rate(triggered, truth, prepared.target),
        false_trigger_rate=target_rate(probabilities, labels, prepared.target),
        n_triggered=int((truth != prepared.target).sum()),
    )


def _audit(
    prepared: _Prepared, task: ImageTask, method: Defense, scores: list[StageScore], defended: Defended
) -> dict[str, Any]:
    names, given = prepared.images.label_names, prepared.given_test
    counts = np.bincount(prepared.images.rows["label"], minlength=len(names))
    held_out = {
        "source": given.source if given else f"{HELD_OUT_SHARE:.0%} of {prepared.images.source}",
        "sha256": given.sha256 if given else None,
        "n_rows": len(prepared.test),
        "is_untrusted": given is None,
    }
    return {
        "schema_version": AUDIT_SCHEMA_VERSION,
        "kind": "images",
        "tool": {"name": "cleanfit", "version": version("cleanfit")},
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "data": {
            "source": prepared.images.source,
            "sha256": prepared.images.sha256,
            "n_rows": len(prepared.images.rows),
            "n_train": len(task.rows),
            "label_names": list(names),
            "label_counts": {name: int(n) for name, n in zip(names, counts)},
            "held_out": held_out,
        },
        "model": {
            "name": prepared.source.name,
            "architecture": type(defended.model).__name__,
            "sha256": prepared.source.sha256,
            "n_parameters": defended.model.num_parameters(),
        },
        "defense": {"name": method.name, "options": to_plain(method)},
        "settings": to_plain(task.settings),
        "seed": task.settings.seed,
        "versions": versions(),
        "platform": platform.platform(),
        "seconds": {stage: round(seconds, 2) for stage, seconds in task.seconds.items()},
        "verdict": defended.findings.verdict,
        "flagged_rows": [to_plain(row) for row in defended.findings.rows if row.is_issue],
        "scores": to_plain(tuple(scores)),
        "needs": to_plain(defended.needs),
        "limits": [line for line in (prepared.source.warning, *LIMITS) if line],
    }


def _fingerprint(prepared: _Prepared, method: Defense, settings: TrainingSettings) -> dict[str, Any]:
    """All that decides the result of a run."""
    parts = {"data": prepared.images, "test": prepared.given_test, "triggered": prepared.triggered}
    return {
        "data": {name: part.sha256 for name, part in parts.items() if part is not None},
        "target": prepared.target,
        "model": prepared.source.sha256,
        "defense": {"name": method.name, **to_plain(method)},
        "settings": to_plain(settings),
        "versions": versions(),
    }
