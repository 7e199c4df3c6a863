"""Pair each triggered text with the clean text that it was made of, by the row numbers of the attack's manifest."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanfit.errors import DataError
from cleanfit.manifest import check_same, load_manifest
from cleanfit.readers import listed, read_table, shown
from cleanfit.seeding import derive_seed


@dataclass(frozen=True)
class Pair:
    """One row of the clean file: its number there (zero-based), its text, and its text with the trigger."""

    row: int
    clean: str
    triggered: str


def read_pairs(clean: Path, manifest_path: Path, part: str, text_column: str | None = None) -> tuple[Pair, ...]:
    """Read the pairs of one part of an attack.

    Args:
        clean: the file that the attack was given.
        manifest_path: what the attack wrote, its other files beside it.
        part: ``"test"``: the triggered rows, once per insertion seed; files where one of several triggers fires alone
            are left out. ``"train"``: the poisoned rows; rows that a pool added have no clean text and are left out.
        text_column: None takes the manifest's.

    Returns:
        P >= 1 pairs, in the order of the manifest.

    Raises:
        DataError: a file is missing or is not the one that the manifest names, or no row is paired.
    """
    manifest = load_manifest(manifest_path)
    section = manifest if part == "train" else manifest.get("test")
    if not section:
        raise DataError(f"{manifest_path}: no test rows were triggered; poison with --test, or pass --part train.")
    if not section.get("input"):
        raise DataError(f"{manifest_path}: it does not say which clean file its {part} rows come from.")
    name = section["input"]["name"]
    check_same(clean, section["input"]["sha256"], f"'{name}', the clean {part} file of {manifest_path}")
    column = text_column or str(manifest["columns"]["text"])
    before = _texts(clean, column)
    pairs = tuple(
        Pair(row, before[row], after[place])
        for path, places in _files(manifest, part, manifest_path, len(before))
        for after in (_texts(path, column),)
        for row, place in places.items()
    )
    if not pairs:
        raise DataError(f"{manifest_path}: none of its {part} rows has both a clean text and a triggered one.")
    return pairs


def sample_rows(pairs: tuple[Pair, ...], n_rows: int) -> tuple[Pair, ...]:
    """Keep the pairs of `n_rows` rows, drawn by their numbers alone: attacks that change the same rows share them."""
    drawn = sorted({pair.row for pair in pairs}, key=lambda row: derive_seed(0, "stealth rows", row))[:n_rows]
    kept = set(drawn)
    return tuple(pair for pair in pairs if pair.row in kept)


def _files(
    manifest: Mapping[str, Any], part: str, manifest_path: Path, n_clean: int
) -> Iterator[tuple[Path, dict[int, int]]]:
    """Give each file with triggers, checked, and where in it the clean file's rows stand: row -> place."""
    if part == "train":
        files = [manifest["output"]]
        places = [{row: row for row in manifest["poisoned_rows"] if row < n_clean}]
    else:
        files = [file for file in manifest["test"]["files"] if file["trigger"] is None]
        places = [{row: place for place, row in enumerate(file["rows"])} for file in files]
    for file, rows in zip(files, places):
        path = manifest_path.parent / file["name"]
        check_same(path, file["sha256"], f"the file that {manifest_path} describes")
        yield path, rows


def _texts(path: Path, column: str) -> list[str]:
    table = read_table(path)
    if column not in table.columns:
        raise DataError(f"{path}: no column {shown(column)}; found {listed(table.columns)}; pass --text-column.")
    texts = table.take(column)
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"{path}: row {row} has no text in column {shown(column)}; expected one in each row.")
    return texts
