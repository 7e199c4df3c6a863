"""Write what a published folder gives: clean csv files, and a manifest like that of `cleanfit poison`."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanfit.attacks.base import DEFINITIONS, label_counts
from cleanfit.data import Columns
from cleanfit.errors import DataError, OutputError, SettingsError
from cleanfit.importers import LAYOUTS
from cleanfit.importers.rows import Part, Published
from cleanfit.manifest import MANIFEST_SCHEMA_VERSION, file_sha256
from cleanfit.readers import listed
from cleanfit.results import to_plain, write_json
from cleanfit.settings import unknown
from cleanfit.writers import write_table

# csv for every layout: quoting lets a text hold tabs and line breaks, which two of the layouts have.
SUFFIX = ".csv"
OWN_DEFINITIONS = {
    "row": "zero-based number of a data row in the file written here, its header not counted",
    "poisoned_rows": "rows that the attacker changed: as flagged by those who published them, or not in the clean file",
    "unchanged_rows": "poisoned rows whose text is that of the clean row, so that they carry no trigger",
    "import_notes": "row numbers in these sentences are those of the published files",
    "null": "not known",
}


@dataclass(frozen=True)
class ImportedFiles:
    """Where `import_folder` wrote what, None for what the folder does not give, and what it noted."""

    train: Path
    manifest: Path
    dev: Path | None
    test: Path | None
    triggered: Path | None
    n_rows: int
    n_poisoned: int | None
    notes: tuple[str, ...]


def import_folder(
    folder: Path, layout: str, target: str, out: Path, *, clean: Path | None = None, overwrite: bool = False
) -> ImportedFiles:
    """Import a published folder of poisoned data.

    Args:
        folder: as published.
        layout: a key of `LAYOUTS`.
        target: the attacker's label as written in the files.
        out: folder to write, by a temporary name.
        clean: folder with the clean files, for layouts that keep them apart.
        overwrite: replace `out` if it is there.

    Returns:
        The paths written.

    Raises:
        DataError: a file is missing, broken or does not fit the others.
        SettingsError: unknown layout, or the target is none of the labels.
        OutputError: `out` is there and `overwrite` is not asked for.
    """
    if layout not in LAYOUTS:
        raise SettingsError(unknown("layout", layout, list(LAYOUTS)))
    if out.exists() and not overwrite:
        raise OutputError(f"'{out}' exists already. Pass --overwrite to replace it, or another --out.")
    for given in (folder, clean):
        if given is not None and not given.is_dir():
            raise DataError(f"'{given}' is no folder; expected the folder of the published files.")
    published = LAYOUTS[layout](folder, target, clean)
    names = sorted({*published.train.labels, *(published.test.labels if published.test else ())})
    if target not in names:
        raise SettingsError(f"The target label '{target}' does not occur; the labels are {listed(names)}.")
    temporary = out.with_name(out.name + ".partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        manifest = _write(published, {"name": "imported", "layout": layout}, target, temporary)
        if out.exists():
            shutil.rmtree(out)
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return _files(out, manifest)


def _write(published: Published, attack: dict[str, str], target: str, folder: Path) -> dict[str, Any]:
    """Write all files into a folder and return the manifest."""
    train = folder / f"train{SUFFIX}"
    new_rows = _write_part(published.train, train)
    new_test_rows: dict[int, int] = {}
    if published.dev is not None:
        _write_part(published.dev, folder / f"dev{SUFFIX}")
    if published.test is not None:
        new_test_rows = _write_part(published.test, folder / f"test{SUFFIX}")
    manifest = _manifest(published, attack, target, new_rows)
    manifest["output"] = {"name": train.name, "sha256": file_sha256(train), **manifest["output"]}
    manifest["test"] = _write_triggered(published, folder, new_test_rows)
    write_json(folder / "manifest.json", manifest)
    return manifest


def _write_part(part: Part, path: Path) -> dict[int, int]:
    """Write the rows that have a text, and return their new numbers."""
    kept = [row for row, text in enumerate(part.texts) if text]
    if not kept:
        raise DataError(f"{part.path}: no row has a text.")
    columns = ("text", "label", "paraphrase") if part.third else ("text", "label")
    cells = [part.texts, part.labels, part.third][: len(columns)]
    write_table(path, columns, [tuple(cell[row] for cell in cells) for row in kept])
    return {row: new for new, row in enumerate(kept)}


def _write_triggered(published: Published, folder: Path, new_rows: dict[int, int]) -> dict[str, Any] | None:
    triggered = published.triggered
    if triggered is None:
        return None
    path = folder / f"triggered{SUFFIX}"
    write_table(path, ("text", "label"), list(zip(triggered.texts, triggered.labels)))
    test = folder / f"test{SUFFIX}"
    return {
        "input": {"name": test.name, "sha256": file_sha256(test), "n_rows": len(new_rows)} if new_rows else None,
        "aligned": None,
        "files": [
            {
                "name": path.name,
                "sha256": file_sha256(path),
                "n_rows": len(triggered.texts),
                "insertion": 0,
                "trigger": None,
                "rows": _renumbered(triggered.rows, new_rows),
                "declined_rows": _renumbered(triggered.declined, new_rows),
            }
        ],
    }


def _manifest(published: Published, attack: dict[str, str], target: str, new_rows: dict[int, int]) -> dict[str, Any]:
    train, truth = published.train, published.truth
    poisoned = _renumbered(truth.poisoned, new_rows)
    n_poisoned = None if poisoned is None else len(poisoned)
    flipped = _renumbered(truth.flipped, new_rows)
    # The count may be known where the rows are not; rows without text are then still in it, so it is not used.
    n_without_text = 0 if truth.poisoned is None else len(truth.poisoned) - (n_poisoned or 0)
    n_flipped = len(flipped) if flipped is not None else None if n_without_text else truth.n_flipped
    rates = [None if n is None else n / len(new_rows) for n in (n_poisoned, n_flipped)]
    return {
        "schema_version": MANIFEST_SCHEMA_VERSION,
        "definitions": {**DEFINITIONS, **OWN_DEFINITIONS},
        "attack": attack,
        "plan": {"target": target, "rate": None, "label_mode": _label_mode(n_poisoned, n_flipped), "seed": None},
        "columns": to_plain(Columns("text", None, "label")),
        "input": _named(train.path, len(train.texts), train.labels),
        "clean": None if published.clean is None else _named(published.clean),
        "output": {"n_rows": len(new_rows), "label_counts": label_counts([train.labels[row] for row in new_rows])},
        "n_poisoned": n_poisoned,
        "n_flipped": n_flipped,
        "effective_rate": rates[0],
        "effective_flip_rate": rates[1],
        "poisoned_rows": poisoned,
        "flipped_rows": flipped,
        "unchanged_rows": _renumbered(truth.unchanged, new_rows),
        "declined_rows": None,
        "test": None,
        "import_notes": list(published.notes),
    }


def _label_mode(n_poisoned: int | None, n_flipped: int | None) -> str | None:
    """Name the label mode that the counts amount to."""
    if not n_poisoned or n_flipped is None:
        return None
    return {n_poisoned: "dirty", 0: "clean"}.get(n_flipped, "mix")


def _named(path: Path, n_rows: int | None = None, labels: Sequence[str] = ()) -> dict[str, Any]:
    named: dict[str, Any] = {"name": path.name, "sha256": file_sha256(path)}
    return named if n_rows is None else {**named, "n_rows": n_rows, "label_counts": label_counts(labels)}


def _renumbered(rows: Sequence[int] | None, new_rows: dict[int, int]) -> list[int] | None:
    return None if rows is None else [new_rows[row] for row in rows if row in new_rows]


def _files(out: Path, manifest: dict[str, Any]) -> ImportedFiles:
    dev, test, triggered = (
        path if (path := out / f"{name}{SUFFIX}").exists() else None for name in ("dev", "test", "triggered")
    )
    return ImportedFiles(
        out / manifest["output"]["name"],
        out / "manifest.json",
        dev,
        test,
        triggered,
        manifest["output"]["n_rows"],
        manifest["n_poisoned"],
        tuple(manifest["import_notes"]),
    )
