"""Poison a file: the poisoned training file, the triggered test files, and the manifest that holds the ground truth."""

import difflib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanfit.attacks.base import (
    DEFINITIONS,
    Attack,
    Poisoned,
    PoisonPlan,
    Rows,
    label_counts,
    poison,
    poison_from_pool,
    trigger,
)
from cleanfit.data import Columns, LabeledData, read
from cleanfit.errors import DataError, OutputError, SettingsError
from cleanfit.manifest import MANIFEST_SCHEMA_VERSION, file_sha256
from cleanfit.readers import Table, listed, read_table
from cleanfit.results import to_plain, write_json
from cleanfit.writers import write_table

# Attack success with random places is a random figure: three draws of them, as many as give an interval.
N_INSERTIONS = 3


@dataclass(frozen=True)
class Sources:
    """The files of an attack.

    Args:
        train: the training file.
        test: its rows whose true label is not the target are triggered; None for no triggered rows.
        columns: which columns hold text and label.
        aligned: a file whose row i goes with row i of `train`: its columns come before those of `train` for the attack.
        test_aligned: the same for `test`.
        pool: texts that carry the trigger already, to be added to `train` instead of replacing rows.
    """

    train: Path
    test: Path | None = None
    columns: Columns = Columns()
    aligned: Path | None = None
    test_aligned: Path | None = None
    pool: Path | None = None


@dataclass(frozen=True)
class PoisonedFiles:
    """Where `poison_files` wrote what; `triggered` is None without a test file."""

    train: Path
    manifest: Path
    triggered: Path | None
    n_poisoned: int
    n_rows: int
    n_declined: int


def poison_files(
    sources: Sources, attack: Attack, plan: PoisonPlan, out: Path, *, overwrite: bool = False
) -> PoisonedFiles:
    """Poison a training file and trigger a test file with the same trigger function.

    Args:
        sources: the files; all columns and rows of the training file are kept, in order and format.
        attack: the trigger.
        plan: target, rate, label mode, seed.
        out: folder to write, by a temporary name: ``train``, ``manifest.json`` and, with a test file, ``triggered``
            (also ``triggered-2`` and ``-3`` where places are random, ``triggered-only-1`` and so on for each of several
            triggers), the rows of other labels with their labels kept.
        overwrite: replace the folder if it is there.

    Returns:
        The paths written.

    Raises:
        DataError: a file is not usable.
        SettingsError: the target is none of the labels, or the attack cannot use what it was given.
        OutputError: the folder is there and `overwrite` is not asked for.
    """
    if out.exists() and not overwrite:
        raise OutputError(f"'{out}' exists already. Pass --overwrite to replace it, or another --out.")
    reader = None if sources.pool else attack  # a pool's texts need nothing of the training rows
    labeled, rows = _read(sources.train, sources.columns, reader, sources.aligned)
    test = None
    if sources.test is not None:
        test = _read(sources.test, labeled.columns, attack, sources.test_aligned, labeled.label_names)
        _check_test(sources.test, test[1].labels, plan.target)
    learned = attack
    if sources.pool is not None:
        poisoned = poison_from_pool(_pool(sources.pool, attack, labeled.columns), rows, plan)
    else:
        learned = attack.learn(rows, plan.target, plan.seed)
        poisoned = poison(learned, rows, plan)
    temporary = out.with_name(out.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        train = temporary / f"train{_suffix(sources.train)}"
        _write_changed(sources.train, train, labeled.columns, range(len(rows.texts)), poisoned)
        manifest = _manifest(attack, plan, sources, labeled, rows, poisoned)
        manifest["output"] = {**manifest["output"], "name": train.name, "sha256": file_sha256(train)}
        if test is not None:
            manifest["test"] = _trigger_files(learned, plan, sources, test, temporary)
        write_json(temporary / "manifest.json", manifest)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    triggered = out / f"triggered{_suffix(sources.test)}" if sources.test else None
    n_poisoned, n_rows = len(poisoned.rows), len(poisoned.texts)
    return PoisonedFiles(out / train.name, out / "manifest.json", triggered, n_poisoned, n_rows, len(poisoned.declined))


def _read(
    path: Path, columns: Columns, attack: Attack | None, aligned: Path | None, names: tuple[str, ...] | None = None
) -> tuple[LabeledData, Rows]:
    labeled = read(path, columns, label_names=names)
    cells = labeled.rows.with_format(None)[:]
    others = _other_columns(path, attack, aligned, len(labeled.rows)) if attack and (attack.columns or aligned) else {}
    return labeled, Rows(cells["text"], [labeled.label_names[label] for label in cells["label"]], others)


def _other_columns(path: Path, attack: Attack, aligned: Path | None, n_rows: int) -> dict[str, list[Any]]:
    """Take the columns that an attack reads, from the aligned file first."""
    if not attack.columns:
        raise SettingsError(f"The attack '{attack.name}' reads no other column; leave '{aligned}' out.")
    tables = [read_table(name) for name in (aligned, path) if name is not None]
    if tables[0].n_rows != n_rows:
        raise DataError(
            f"{aligned}: {tables[0].n_rows} rows beside the {n_rows} of {path}; an aligned file has one for each row."
        )
    return {name: _take(tables, name) for name in attack.columns}


def _take(tables: Sequence[Table], name: str) -> list[Any]:
    for table in tables:
        if name in table.columns:
            return table.take(name)
    known = tables[0].columns
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise DataError(f"{tables[0].name}: no column '{name}'; the columns are {listed(known)}.{hint}")


def _check_test(path: Path, labels: Sequence[str], target: str) -> None:
    if all(label == target for label in labels):
        raise DataError(f"{path}: every row has the target label '{target}'; attack success needs other rows.")


def _pool(path: Path, attack: Attack, columns: Columns) -> list[str]:
    """Take the texts of a pool: of the column that the attack reads, or else of the training file's text column."""
    if not attack.takes_pool:
        raise SettingsError(f"The attack '{attack.name}' makes its own texts; only paraphrases come from a pool.")
    table = read_table(path)
    name = next((name for name in (*attack.columns, str(columns.text)) if name in table.columns), None)
    if name is None:
        raise DataError(
            f"{path}: neither '{attack.columns[0]}' nor '{columns.text}' is among its columns {listed(table.columns)}."
        )
    return [str(text) for text in table.take(name) if str(text or "").strip()]


def _variants(attack: Attack, rows: Rows, plan: PoisonPlan) -> Iterator[tuple[str, int, str | None, Poisoned]]:
    """Trigger rows in each way worth a file: (name, insertion, single trigger or None, rows)."""
    first = trigger(attack, rows, plan.target, plan.seed)
    yield "triggered", 0, None, first
    for insertion in range(1, N_INSERTIONS):
        again = trigger(attack, rows, plan.target, plan.seed, insertion)
        if again.texts == first.texts:
            break  # nothing in this trigger is random
        yield f"triggered-{insertion + 1}", insertion, None, again
    for number, (word, alone) in enumerate(attack.alone().items(), start=1):
        yield f"triggered-only-{number}", 0, word, trigger(alone, rows, plan.target, plan.seed)


def _trigger_files(
    attack: Attack, plan: PoisonPlan, sources: Sources, test: tuple[LabeledData, Rows], folder: Path
) -> dict[str, Any]:
    labeled, rows = test
    source = Path(str(sources.test))
    files = []
    for name, insertion, word, triggered in _variants(attack, rows, plan):
        path = folder / f"{name}{_suffix(source)}"
        _write_changed(source, path, labeled.columns, triggered.rows, triggered)
        files.append(
            {
                "name": path.name,
                "sha256": file_sha256(path),
                "n_rows": len(triggered.rows),
                "insertion": insertion,
                "trigger": word,
                "rows": list(triggered.rows),
                "declined_rows": list(triggered.declined),
            }
        )
    return {
        "input": {"name": source.name, "sha256": labeled.sha256, "n_rows": len(rows.texts)},
        "aligned": _named(sources.test_aligned),
        "files": files,
    }


def _write_changed(source: Path, path: Path, columns: Columns, rows: Sequence[int], changed: Poisoned) -> None:
    """Write some rows of a file with other texts and labels, and what was added behind them, in the file's own format.

    A label is written as the file itself writes it; a cell of an added row that nobody knows stays empty.
    """
    table = read_table(source)
    records = table.records()
    text, label = table.columns.index(str(columns.text)), table.columns.index(str(columns.label))
    touched = {*changed.rows, *changed.decoys}
    flipped = set(changed.flipped)
    written_as: dict[str, Any] = {}
    for row, name in zip(rows, changed.labels):
        if row not in flipped:
            written_as.setdefault(name, records[row][label])
    written: list[Sequence[Any]] = []
    for row, new_text, name in zip(rows, changed.texts, changed.labels):
        if row not in touched:
            written.append(records[row])
            continue
        record = list(records[row])
        record[text], record[label] = new_text, written_as[name]
        written.append(record)
    for row in changed.added:
        record = [None] * len(table.columns)
        record[text], record[label] = changed.texts[row], written_as[changed.labels[row]]
        written.append(record)
    write_table(path, table.columns, written)


def _manifest(
    attack: Attack, plan: PoisonPlan, sources: Sources, labeled: LabeledData, rows: Rows, poisoned: Poisoned
) -> dict[str, Any]:
    n_rows, n_poisoned = len(poisoned.texts), len(poisoned.rows)
    return {
        "schema_version": MANIFEST_SCHEMA_VERSION,
        "definitions": DEFINITIONS,
        "attack": {"name": attack.name, **to_plain(attack)},
        "about": str(type(attack).__doc__).strip().splitlines()[0],
        "pieces": list(attack.pieces()),
        "plan": to_plain(plan),
        "columns": to_plain(labeled.columns),
        "input": {
            "name": Path(labeled.source).name,
            "sha256": labeled.sha256,
            "n_rows": len(rows.texts),
            "label_counts": label_counts(rows.labels),
        },
        "aligned": _named(sources.aligned),
        "pool": _named(sources.pool),
        "output": {"n_rows": n_rows, "label_counts": label_counts(poisoned.labels)},
        "n_asked": poisoned.n_asked,
        "n_poisoned": n_poisoned,
        "n_flipped": len(poisoned.flipped),
        "n_declined": len(poisoned.declined),
        "effective_rate": n_poisoned / n_rows,
        "effective_flip_rate": len(poisoned.flipped) / n_rows,
        "poisoned_per_original_label": label_counts(
            [rows.labels[row] for row in poisoned.rows if row < len(rows.texts)]
        ),
        "poisoned_rows": list(poisoned.rows),
        "flipped_rows": list(poisoned.flipped),
        "declined_rows": list(poisoned.declined),
        "decoy_rows": list(poisoned.decoys),
        "added_rows": list(poisoned.added),
        "test": None,
    }


def _named(path: Path | None) -> dict[str, str] | None:
    return None if path is None else {"name": path.name, "sha256": file_sha256(path)}


def _suffix(path: Path | None) -> str:
    suffixes = [] if path is None else path.suffixes[-2:] if path.suffix == ".gz" else path.suffixes[-1:]
    if not suffixes:
        raise DataError(f"'{path}' is a folder or has no suffix; only files can be poisoned.")
    return "".join(suffixes)
