"""Make poisoned files again from their manifest, bit by bit, so that a manifest is as good as the files."""

from pathlib import Path
from typing import Any

from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import PoisonedFiles, Sources, poison_files
from cleanfit.data import Columns
from cleanfit.errors import DataError
from cleanfit.manifest import check_same, load_manifest
from cleanfit.settings import configure, lookup


def rebuild(manifest_path: Path, sources: Sources, out: Path, *, overwrite: bool = False) -> PoisonedFiles:
    """Poison the same source files in the same way again and check that the same bytes come out.

    Args:
        manifest_path: the manifest.json of the first time.
        sources: the files of the first time; its columns are taken from the manifest. Without a test file only the
            training file is made.
        out: folder to write.
        overwrite: replace the folder if it is there.

    Returns:
        The paths written.

    Raises:
        DataError: a source is not the file of the manifest, or the result differs (another version of cleanfit or
            numpy, or another machine under an attack that learns); the folder is kept for comparison then.
        OutputError: the folder is there and `overwrite` is not asked for.
    """
    manifest = load_manifest(manifest_path)
    options = dict(manifest["attack"])
    name = options.pop("name")
    attack = configure(lookup("attack", name, ATTACKS)(), options)
    _check_sources(manifest, sources, manifest_path)
    sources = Sources(
        sources.train, sources.test, Columns(**manifest["columns"]), sources.aligned, sources.test_aligned, sources.pool
    )
    files = poison_files(sources, attack, PoisonPlan(**manifest["plan"]), out, overwrite=overwrite)
    what = f"the file that {manifest_path} describes, though the sources are"
    check_same(files.train, manifest["output"]["sha256"], what)
    for file in manifest["test"]["files"] if files.triggered else ():
        check_same(out / file["name"], file["sha256"], what)
    return files


def _check_sources(manifest: dict[str, Any], sources: Sources, manifest_path: Path) -> None:
    test = manifest["test"] or {}
    for path, said, what in (
        (sources.train, manifest["input"], "training file"),
        (sources.aligned, manifest["aligned"], "aligned file"),
        (sources.pool, manifest["pool"], "pool"),
        (sources.test, test.get("input"), "test file"),
        (sources.test_aligned, test.get("aligned"), "aligned file of the test file"),
    ):
        is_test = what.endswith("test file")
        if path is not None and said is None:
            raise DataError(f"{manifest_path} knows no {what}; leave '{path}' out.")
        if path is None and said is not None and not (is_test and sources.test is None):
            raise DataError(f"{manifest_path} was made with a {what}, '{said['name']}'; pass it too.")
        if path is not None and said is not None:
            check_same(path, said["sha256"], f"the {what} of {manifest_path}, '{said['name']}'")
