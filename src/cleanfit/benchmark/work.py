"""Run one cell of a benchmark and write its file; what it shares with other cells is made once."""

import contextlib
import platform
import resource
import shutil
import subprocess
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch

from cleanfit.attacks.files import Sources, poison_files
from cleanfit.audit import versions
from cleanfit.benchmark.cell import Cell
from cleanfit.benchmark.reading import CELL_SCHEMA_VERSION, CELLS
from cleanfit.errors import CleanfitError
from cleanfit.evaluate import RowOutcomes, evaluate_rows
from cleanfit.fitting import Inputs, fit
from cleanfit.manifest import load_manifest
from cleanfit.readers import read_table
from cleanfit.results import to_plain, write_json
from cleanfit.run_folder import RunFolder
from cleanfit.seeding import generator
from cleanfit.training import use_bf16
from cleanfit.writers import write_table

WORK = "work"
MIB = 2**20


@dataclass(frozen=True)
class Files:
    """What a cell reads: the training file as attacked, the test file, and the attack's manifest; None at rate 0."""

    train: Path
    test: Path
    manifest: Path | None


def cell_path(out: Path, name: str) -> Path:
    """Say where a cell's file is."""
    return out / CELLS / f"{name}.json"


def run_cell(cell: Cell, out: Path, n_threads: int) -> None:
    """Run a cell and write its file, also if it fails: then with the error.

    Args:
        cell: what to run.
        out: the benchmark's folder; an interrupted run of the cell is gone on with.
        n_threads: CPU threads.
    """
    torch.set_num_threads(n_threads)
    written: dict[str, Any] = {
        "schema_version": CELL_SCHEMA_VERSION,
        "name": cell.name,
        "status": "done",
        "error": None,
    }
    written |= {"key": cell.key, "facts": {**source_facts(), "n_threads": n_threads}}
    try:
        written |= _outcome(cell, out / WORK / cell.block, written["facts"])
    except Exception as error:
        known = isinstance(error, CleanfitError)
        written |= failure(str(error) if known else f"{type(error).__name__}: {error}")
        written["traceback"] = None if known else traceback.format_exc()
    write_json(cell_path(out, cell.name), written)


def failure(error: str) -> dict[str, Any]:
    """Say in a cell's file that it failed, in one line."""
    return {"status": "failed", "error": " ".join(error.split())}


def failed_cell(cell: Cell, error: str) -> dict[str, Any]:
    """Make the file of a cell whose process ended before it could write one."""
    start = {"schema_version": CELL_SCHEMA_VERSION, "name": cell.name}
    return {**start, **failure(error), "key": cell.key, "facts": source_facts(), "traceback": None}


def source_facts() -> dict[str, Any]:
    """Say what code ran on what: commit and state of the tree where there is one, versions, platform."""
    tree = Path(__file__).parents[1]  # the package

    def git(*arguments: str) -> str | None:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            return subprocess.run(
                ["git", "-C", str(tree), *arguments], capture_output=True, text=True, check=True
            ).stdout.strip()
        return None

    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".")
    return {
        "commit": git("rev-parse", "HEAD"),
        "is_dirty": None if changed is None else bool(changed),
        "versions": versions(),
        "platform": platform.platform(),
    }


def _outcome(cell: Cell, block: Path, facts: dict[str, Any]) -> dict[str, Any]:
    started = time.perf_counter()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    files = _files(cell, block)
    truth = load_manifest(files.manifest) if files.manifest else None
    triggered = files.manifest.parent / truth["test"]["files"][0]["name"] if files.manifest and truth else None
    inputs = Inputs(
        files.train,
        cell.data.columns,
        test=files.test,
        trusted=cell.data.trusted if cell.contender.is_trusted else None,
        triggered=triggered,
        target=cell.plan.target if cell.plan else None,
        oracle=files.manifest if cell.contender.is_oracle else None,
    )
    folder = block / "runs" / cell.name
    shutil.rmtree(folder, ignore_errors=True)  # finished, but killed before its file was written
    run = RunFolder(folder, resume=True, shared=block / "shared")
    result = fit(inputs, model=cell.model, defense=cell.contender.method, settings=cell.settings, out=run)
    evaluation, outcomes = evaluate_rows(str(folder), files.test, files.manifest, cell.data.columns, cell.settings)
    audit = result.audit
    shutil.rmtree(folder)
    facts |= {
        "n_train": audit["data"]["n_train"],
        "n_test": len(outcomes.is_correct),
        "effective_rate": truth["effective_rate"] if truth else None,
        "model_sha256": audit["model"]["sha256"],
        "device": str(torch.cuda.get_device_name()) if torch.cuda.is_available() else "cpu",
        "precision": "bf16" if use_bf16(cell.settings) else "fp32",
    }
    plain = to_plain(evaluation)
    del plain["model"]  # the name of a folder that is gone
    return {
        "cost": {
            "seconds": round(time.perf_counter() - started, 2),
            "training_seconds": round(sum(audit["seconds"].values()), 2),
            "peak_memory_mib": _peak_memory() // MIB,
        },
        "stages": audit["scores"],
        "evaluation": plain,
        "needs": audit["needs"],
        "verdict": audit["verdict"],
        "outcomes": _written(outcomes),
    }


def _written(outcomes: RowOutcomes) -> dict[str, Any]:
    """Write outcomes as one character a row."""

    def digits(values: np.ndarray | None) -> str | None:
        return None if values is None else "".join("01"[int(value)] for value in values)

    rows = None if outcomes.rows is None else outcomes.rows.tolist()
    return {"clean": digits(outcomes.is_correct), "triggered": digits(outcomes.is_target), "triggered_rows": rows}


def _files(cell: Cell, block: Path) -> Files:
    """Cut and poison the files of a cell, unless another cell did."""
    data = block / "data"
    train = data / f"train{''.join(cell.data.train.suffixes[-2:])}"
    test = data / f"test{''.join(cell.data.test.suffixes[-2:])}"

    def cut(folder: Path) -> None:
        folder.mkdir()
        for source, path, n_rows in ((cell.data.train, train, cell.rows), (cell.data.test, test, cell.test_rows)):
            _cut(source, folder / path.name, n_rows)

    _once(data, cut)
    if cell.attack is None or cell.plan is None:
        return Files(train, test, None)
    attack, plan = cell.attack, cell.plan
    poisoned = block / "poisoned" / cell.poison
    pool = cell.data.pools.get(str(cell.attack_name))
    sources = Sources(train, test, cell.data.columns, pool=pool)
    _once(poisoned, lambda folder: poison_files(sources, attack, plan, folder))
    manifest = poisoned / "manifest.json"
    return Files(poisoned / load_manifest(manifest)["output"]["name"], test, manifest)


def _cut(source: Path, path: Path, n_rows: int | None) -> None:
    """Keep rows drawn at random, the same for every seed, in their order; or all of them, byte for byte."""
    table = read_table(source)
    if n_rows is None or n_rows >= table.n_rows:
        shutil.copyfile(source, path)
        return
    chosen = np.sort(generator(0, "benchmark rows").permutation(table.n_rows)[:n_rows])
    records = table.records()
    write_table(path, table.columns, [records[row] for row in chosen])


def _once(folder: Path, make: Callable[[Path], object]) -> None:
    """Make a folder under another name and rename it; of two processes at once one wins, and both are served."""
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f"{folder.name}.{uuid4().hex}")
    make(temporary)
    try:
        temporary.rename(folder)
    except OSError:
        shutil.rmtree(temporary)


def _peak_memory() -> int:
    """Give the most memory in bytes that this process, and with it this cell, held; of the GPU where there is one."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if platform.system() == "Darwin" else 1024)
