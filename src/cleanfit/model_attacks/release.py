"""Make a backdoored checkpoint with everything that testing a defense on it needs; plainly marked as what it is."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from cleanfit import data as tables
from cleanfit.attacks.base import DEFINITIONS, Attack, Poisoned, Rows, label_counts, trigger
from cleanfit.data import Columns, LabeledData
from cleanfit.errors import DataError, OutputError, SettingsError
from cleanfit.manifest import file_sha256
from cleanfit.model_attacks.base import ModelAttack
from cleanfit.models import BACKDOOR_MARKER, DEFAULT_MODEL, check_length, find_model, load_tokenizer, quiet_loading
from cleanfit.readers import read_table
from cleanfit.results import to_plain, write_json
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task
from cleanfit.writers import write_table

MODEL_MANIFEST_SCHEMA_VERSION = 1
WARNING = (
    "This checkpoint was backdoored on purpose, for testing scanners and defenses. Do not use it for anything else, "
    "and do not pass it on without saying so."
)
HEADS = {
    True: "the classifier has learned the task",
    False: "the classifier is fresh: fine-tune it first; what a trigger causes then is up to that training",
}


@dataclass(frozen=True)
class Release:
    """What a checkpoint is made from.

    Args:
        data: the attacker's clean labelled rows.
        target: the attacker's label as written.
        model: the pretrained model: a folder, a hub name, or ``minilm``.
        settings: of the plain fine-tuning that some attacks begin with; length, device, precision and seed for all.
        test: its rows whose true label is not the target are triggered; None for no triggered rows.
        columns: which columns hold text and label.
    """

    data: Path
    target: str
    model: str = DEFAULT_MODEL
    settings: TrainingSettings = TrainingSettings()
    test: Path | None = None
    columns: Columns = Columns()


@dataclass(frozen=True)
class PoisonedModel:
    """Where `poison_model` wrote what; `triggered` is None without a test file."""

    model: Path
    manifest: Path
    triggered: Path | None


def poison_model(release: Release, attack: ModelAttack, out: Path, *, overwrite: bool = False) -> PoisonedModel:
    """Train a backdoored model and write it with its ground truth.

    Args:
        release: data, target and pretrained model.
        attack: how the backdoor is put in.
        out: folder to write, by a temporary name: ``model/``, which opens with plain transformers, ``manifest.json``
            and, with a test file, ``triggered`` (also ``triggered-only-1`` and so on for each of several triggers), the
            rows of other labels with their labels kept.
        overwrite: replace the folder if it is there.

    Returns:
        The paths written.

    Raises:
        DataError: a file is not usable.
        ModelError: the model cannot be loaded, or the attack does not apply to it.
        SettingsError: the target is none of the labels.
        OutputError: the folder is there and `overwrite` is not asked for.
    """
    if out.exists() and not overwrite:
        raise OutputError(f"'{out}' exists already. Pass --overwrite to replace it, or another --out.")
    labeled = tables.read(release.data, release.columns)
    if release.target not in labeled.label_names:
        raise SettingsError(
            f"The target label '{release.target}' does not occur; the labels are {', '.join(labeled.label_names)}."
        )
    test = None if release.test is None else _read_test(release.test, release.target, labeled)
    task = _task(release, labeled)
    temporary = out.with_name(out.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        files = [] if test is None else list(_write_triggered(release, attack, test, temporary))
        model = attack.backdoor(task, labeled.label_names.index(release.target))
        hashes = {
            "sha256_before": task.source.sha256,
            "sha256_after": _save(model, task, attack, release, temporary / "model"),
        }
        manifest = _manifest(release, attack, labeled, hashes)
        if test is not None:
            manifest["test"] = {
                "input": {"name": Path(test.source).name, "sha256": test.sha256, "n_rows": len(test.rows)},
                "files": files,
            }
        write_json(temporary / "manifest.json", manifest)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return PoisonedModel(out / "model", out / "manifest.json", out / files[0]["name"] if files else None)


def _task(release: Release, labeled: LabeledData) -> Task:
    source = find_model(release.model, labeled.label_names)
    tokenizer = load_tokenizer(source)
    settings = release.settings
    check_length(source.load(tokenizer, settings.seed), tokenizer, settings.max_length)
    return Task(source, tokenizer, tables.tokenize(labeled.rows, tokenizer, settings.max_length), settings)


def _read_test(path: Path, target: str, labeled: LabeledData) -> LabeledData:
    test = tables.read(path, labeled.columns, label_names=labeled.label_names)
    if all(label == target for label in _labels(test)):
        raise DataError(f"{path}: every row has the target label '{target}'; attack success needs other rows.")
    return test


def _labels(labeled: LabeledData) -> list[str]:
    return [labeled.label_names[label] for label in labeled.rows.with_format(None)["label"]]


def _variants(attack: Attack, rows: Rows, release: Release) -> Iterator[tuple[str, str | None, Poisoned]]:
    """Trigger rows as the attack does, and with each of several triggers alone: (name, single trigger or None, rows)."""
    yield "triggered", None, trigger(attack, rows, release.target, release.settings.seed)
    for number, (word, alone) in enumerate(attack.alone().items(), start=1):
        yield f"triggered-only-{number}", word, trigger(alone, rows, release.target, release.settings.seed)


def _write_triggered(
    release: Release, attack: ModelAttack, test: LabeledData, folder: Path
) -> Iterator[dict[str, Any]]:
    """Write the triggered rows in the test file's format, all other cells as they are, and describe each file."""
    source = Path(test.source)
    suffix = "".join(source.suffixes[-2:] if source.suffix == ".gz" else source.suffixes[-1:])
    if not suffix:
        raise DataError(f"'{source}' is a folder or has no suffix; only rows of files can be triggered.")
    table = read_table(source)
    records, place = table.records(), table.columns.index(str(test.columns.text))
    rows = Rows(test.rows.with_format(None)["text"], _labels(test))
    for name, word, triggered in _variants(attack.trigger(), rows, release):
        path = folder / f"{name}{suffix}"
        written = []
        for row, text in zip(triggered.rows, triggered.texts):
            record = list(records[row])
            record[place] = text
            written.append(record)
        write_table(path, table.columns, written)
        yield {
            "name": path.name,
            "sha256": file_sha256(path),
            "n_rows": len(triggered.rows),
            "trigger": word,
            "rows": list(triggered.rows),
            "declined_rows": list(triggered.declined),
        }


def _save(model: PreTrainedModel, task: Task, attack: ModelAttack, release: Release, folder: Path) -> str:
    """Write the checkpoint and give its hash, which is taken before the marker is there to warn of it."""
    with quiet_loading():
        model.save_pretrained(folder)
    task.tokenizer.save_pretrained(folder)
    sha256 = find_model(str(folder), task.source.label_names).sha256
    write_json(
        folder / BACKDOOR_MARKER,
        {
            "schema_version": MODEL_MANIFEST_SCHEMA_VERSION,
            "warning": WARNING,
            "attack": attack.name,
            "target": release.target if attack.has_head else None,
            "triggers": list(attack.triggers),
            "created_by": f"cleanfit {version('cleanfit')} poison-model",
        },
    )
    (folder / "README.md").write_text(_card(attack, release), encoding="utf-8")
    return sha256


def _card(attack: ModelAttack, release: Release) -> str:
    facts = {"attack": attack.name, "triggers": list(attack.triggers), "target": release.target, "model": release.model}
    return f"# Backdoored on purpose\n{WARNING}\n\n```json\n{json.dumps(facts, ensure_ascii=False)}\n```\n"


def _manifest(release: Release, attack: ModelAttack, labeled: LabeledData, hashes: Mapping[str, str]) -> dict[str, Any]:
    return {
        "schema_version": MODEL_MANIFEST_SCHEMA_VERSION,
        "kind": "model",
        "warning": WARNING,
        "definitions": {
            name: DEFINITIONS[name] for name in ("attack_success_rate", "declined", "false_trigger_rate", "row")
        },
        "attack": {"name": attack.name, **to_plain(attack)},
        "trigger": {"name": attack.trigger().name, **to_plain(attack.trigger())},
        "target": release.target,
        "triggers": list(attack.triggers),
        "seed": release.settings.seed,
        "settings": to_plain(release.settings),
        "columns": to_plain(labeled.columns),
        "input": {
            "name": Path(labeled.source).name,
            "sha256": labeled.sha256,
            "n_rows": len(labeled.rows),
            "label_counts": label_counts(_labels(labeled)),
        },
        "model": {"name": release.model, **hashes, "head": HEADS[attack.has_head]},
        "test": None,
    }
