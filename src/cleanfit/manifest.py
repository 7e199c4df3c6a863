"""The manifest of an attack: its schema, and reading it back; it is ground truth and never reaches a defense."""

import hashlib
import json
from pathlib import Path
from typing import Any

from cleanfit.errors import DataError

# 2: triggered files per insertion seed and per trigger, decoys, added rows, versions, hashes of aligned and pool files.
MANIFEST_SCHEMA_VERSION = 2
KEYS = ("schema_version", "attack", "plan", "output", "poisoned_rows")


def load_manifest(path: Path) -> dict[str, Any]:
    """Read a manifest.json.

    Args:
        path: the file that `cleanfit poison` or `cleanfit import` wrote.

    Returns:
        Its content.

    Raises:
        DataError: the file is missing, no manifest of an attack on data, or of another schema version.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: the manifest cannot be read ({error.strerror}).") from None
    except ValueError:
        raise DataError(f"{path}: not valid JSON; expected the manifest.json that 'cleanfit poison' wrote.") from None
    if not isinstance(manifest, dict) or any(key not in manifest for key in KEYS):
        raise DataError(
            f"{path}: no manifest of poisoned data; expected the manifest.json that 'cleanfit poison' wrote."
        )
    version = manifest["schema_version"]
    if version != MANIFEST_SCHEMA_VERSION:
        raise DataError(
            f"{path}: manifest of schema version {version}, this is version {MANIFEST_SCHEMA_VERSION}; "
            "poison the file again, with the same plan and seed."
        )
    return manifest


def file_sha256(path: Path) -> str:
    """Hash a file's bytes as stored: sha256 in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_same(path: Path, sha256: str, what: str) -> None:
    """Raise `DataError` unless a file is byte for byte the one that a manifest names.

    Args:
        path: the file given.
        sha256: what the manifest says.
        what: which file of the manifest it should be, in words.
    """
    try:
        got = file_sha256(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from None
    if got != sha256:
        raise DataError(f"{path}: not {what} (its sha256 is {got[:12]}..., expected {sha256[:12]}...).")
