"""Poison a file: the poisoned training file, the triggered test file, and the manifest that holds the ground truth."""

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanfit.attacks.base import DEFINITIONS, Attack, Poisoned, PoisonPlan, label_counts, poison, trigger
from cleanfit.data import Columns, LabeledData, read
from cleanfit.errors import DataError, OutputError
from cleanfit.readers import read_table
from cleanfit.results import to_plain, write_json
from cleanfit.writers import write_table

MANIFEST_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PoisonedFiles:
    """Where `poison_files` wrote what; `triggered` is None without a test file."""

    train: Path
    manifest: Path
    triggered: Path | None
    n_poisoned: int
    n_rows: int


def poison_files(
    source: Path,
    attack: Attack,
    plan: PoisonPlan,
    out: Path,
    *,
    test: Path | None = None,
    columns: Columns = Columns(),
    overwrite: bool = False,
) -> PoisonedFiles:
    """Poison a training file and trigger a test file with the same trigger function.

    Args:
        source: the training file; all its columns and rows are kept, in order and format.
        attack: the trigger.
        plan: target, rate, label mode, seed.
        out: folder to write, by a temporary name.
        test: its rows whose true label is not the target are triggered, labels kept.
        columns: which columns hold text and label.
        overwrite: replace the folder if it is there.

    Returns:
        The paths written.

    Raises:
        DataError: a file is not usable.
        SettingsError: the target is none of the labels.
        OutputError: the folder is there and `overwrite` is not asked for.
    """
    if out.exists() and not overwrite:
        raise OutputError(f"'{out}' exists already. Pass --overwrite to replace it, or another --out.")
    labeled, texts, labels = _read(source, columns, None)
    poisoned = poison(attack, texts, labels, plan)
    temporary = out.with_name(out.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        train = temporary / f"train{''.join(_suffixes(source))}"
        every_row = range(len(texts))
        _write_changed(source, train, labeled.columns, every_row, poisoned)
        manifest = _manifest(attack, plan, labeled, labels, poisoned, train)
        triggered = None
        if test is not None:
            triggered = temporary / f"triggered{''.join(_suffixes(test))}"
            manifest["test"] = _trigger_file(attack, plan, test, labeled, triggered)
        write_json(temporary / "manifest.json", manifest)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return PoisonedFiles(
        out / train.name,
        out / "manifest.json",
        triggered and out / triggered.name,
        len(poisoned.rows),
        len(texts),
    )


def _read(
    path: Path, columns: Columns, label_names: tuple[str, ...] | None
) -> tuple[LabeledData, list[str], list[str]]:
    labeled = read(path, columns, label_names=label_names)
    rows = labeled.rows.with_format(None)[:]
    return labeled, rows["text"], [labeled.label_names[label] for label in rows["label"]]


def _trigger_file(attack: Attack, plan: PoisonPlan, test: Path, train: LabeledData, path: Path) -> dict[str, Any]:
    labeled, texts, labels = _read(test, train.columns, train.label_names)
    if all(label == plan.target for label in labels):
        raise DataError(f"{test}: every row has the target label '{plan.target}'; attack success needs other rows.")
    result = trigger(attack, texts, labels, plan.target, plan.seed)
    _write_changed(test, path, labeled.columns, result.rows, result)
    return {
        "input": {"name": test.name, "sha256": labeled.sha256, "n_rows": len(texts)},
        "output": {"name": path.name, "sha256": _sha256(path), "n_rows": len(result.rows)},
        "rows": list(result.rows),
        "declined_rows": list(result.declined),
    }


def _write_changed(source: Path, path: Path, columns: Columns, rows: Sequence[int], changed: Poisoned) -> None:
    """Write some rows of a file with other texts and labels; a label is written as the file itself writes it."""
    table = read_table(source)
    records = table.records()
    text, label = table.columns.index(str(columns.text)), table.columns.index(str(columns.label))
    poisoned = set(changed.rows)
    written_as: dict[str, Any] = {}
    for row, name in zip(rows, changed.labels):
        if row not in changed.flipped:
            written_as.setdefault(name, records[row][label])
    written = []
    for row, new_text, name in zip(rows, changed.texts, changed.labels):
        record = list(records[row])
        if row in poisoned:
            record[text], record[label] = new_text, written_as[name]
        written.append(record)
    write_table(path, table.columns, written)


def _manifest(
    attack: Attack, plan: PoisonPlan, labeled: LabeledData, labels: list[str], poisoned: Poisoned, train: Path
) -> dict[str, Any]:
    n_rows, n_poisoned = len(labels), len(poisoned.rows)
    return {
        "schema_version": MANIFEST_SCHEMA_VERSION,
        "definitions": DEFINITIONS,
        "attack": {"name": attack.name, **to_plain(attack)},
        "plan": to_plain(plan),
        "columns": to_plain(labeled.columns),
        "input": {
            "name": Path(labeled.source).name,
            "sha256": labeled.sha256,
            "n_rows": n_rows,
            "label_counts": label_counts(labels),
        },
        "output": {
            "name": train.name,
            "sha256": _sha256(train),
            "n_rows": n_rows,
            "label_counts": label_counts(poisoned.labels),
        },
        "n_asked": poisoned.n_asked,
        "n_poisoned": n_poisoned,
        "n_flipped": len(poisoned.flipped),
        "effective_rate": n_poisoned / n_rows,
        "effective_flip_rate": len(poisoned.flipped) / n_rows,
        "poisoned_per_original_label": label_counts([labels[row] for row in poisoned.rows]),
        "poisoned_rows": list(poisoned.rows),
        "flipped_rows": list(poisoned.flipped),
        "declined_rows": list(poisoned.declined),
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _suffixes(path: Path) -> list[str]:
    suffixes = path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    if not suffixes:
        raise DataError(f"'{path}' is a folder or has no suffix; only files can be poisoned.")
    return suffixes
