"""Find the triggered files that a manifest names, and check that they are unchanged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanfit.data import Columns
from cleanfit.manifest import check_same


@dataclass(frozen=True)
class TriggeredFile:
    """A file of triggered rows and what the manifest says of it.

    Args:
        path: of the file.
        rows: for each of its rows the number of the clean test row it was made of; None if nothing tells.
        n_declined: test rows that the attack could not change; None if nothing tells.
        insertion: number of the draw of places and words.
        trigger: the only trigger in it, or None for the attack as it is.
    """

    path: Path
    rows: tuple[int, ...] | None = None
    n_declined: int | None = None
    insertion: int = 0
    trigger: str | None = None


def manifest_columns(truth: Mapping[str, Any], columns: Columns) -> Columns:
    """Fill in the columns that were not given as the manifest has them."""
    written = truth.get("columns") or {}
    return Columns(
        columns.text or written.get("text"),
        columns.text_pair or written.get("text_pair"),
        columns.label or written.get("label"),
    )


def named_files(manifest: Path, truth: Mapping[str, Any], clean: Path) -> tuple[TriggeredFile, ...]:
    """List the triggered files of a manifest.

    Args:
        manifest: its path; the files stand beside it.
        truth: its content.
        clean: the test file that was triggered.

    Returns:
        The files; none if the training file alone was poisoned.

    Raises:
        DataError: a file, the clean one included, is not the one that the manifest names.
    """
    test = truth.get("test")
    if not test:
        return ()
    # The manifest of imported data may know neither the clean test file nor which of its rows were triggered.
    if test["input"] is not None:
        check_same(clean, test["input"]["sha256"], f"the clean test file '{test['input']['name']}' of {manifest}")
    triggered = []
    for entry in test["files"]:
        path, rows, declined = manifest.parent / entry["name"], entry["rows"], entry["declined_rows"]
        check_same(path, entry["sha256"], f"the triggered file that {manifest} names: it was changed")
        numbers = None if rows is None or test["input"] is None else tuple(rows)
        n_declined = None if declined is None else len(declined)
        triggered.append(TriggeredFile(path, numbers, n_declined, entry["insertion"], entry["trigger"]))
    return tuple(triggered)
