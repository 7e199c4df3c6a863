"""Read the cells of a benchmark, one JSON file each as `cleanfit bench` writes them, and refuse what is none."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from cleanfit.benchmark.compare import Outcomes
from cleanfit.errors import DataError

CELL_SCHEMA_VERSION = 1
CELLS = "cells"
NUMBER = (int, float)
# Path in a cell -> the types that it may have; nothing else of a cell is read.
REQUIRED: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "key": (dict,),
    "key.dataset": (str,),
    "key.files": (dict,),
    "key.files.train": (str,),
    "key.files.test": (str,),
    "key.model": (str,),
    "key.attack": (str, NoneType),
    "key.label_mode": (str, NoneType),
    "key.rate": NUMBER,
    "key.target": (str, NoneType),
    "key.defense": (str,),
    "key.is_oracle": (bool,),
    "key.is_trusted": (bool,),
    "key.seed": (int,),
}
REQUIRED_IF_DONE: dict[str, tuple[type, ...]] = {
    "facts": (dict,),
    "facts.commit": (str, NoneType),
    "facts.is_dirty": (bool, NoneType),
    "facts.versions": (dict,),
    "facts.platform": (str,),
    "facts.n_train": (int,),
    "facts.effective_rate": (*NUMBER, NoneType),
    "facts.n_threads": (int, NoneType),
    "facts.device": (str,),
    "cost": (dict,),
    "cost.seconds": NUMBER,
    "cost.training_seconds": NUMBER,
    "cost.peak_memory_mib": (*NUMBER, NoneType),
    "evaluation": (dict,),
    "evaluation.clean_accuracy": NUMBER,
    "evaluation.macro_f1": NUMBER,
    "evaluation.attack": (dict, NoneType),
    "evaluation.rows": (dict, NoneType),
    "needs": (dict,),
    "needs.trusted_rows": (int,),
    "needs.target_label": (bool,),
    "needs.extra_passes": NUMBER,
    "outcomes": (dict,),
    "outcomes.clean": (str,),
    "outcomes.triggered": (str, NoneType),
    "outcomes.triggered_rows": (list, NoneType),
}
REQUIRED_IF_ATTACKED: dict[str, tuple[type, ...]] = {
    "evaluation.attack.attack_success_rate": (dict,),
    "evaluation.attack.attack_success_rate.mean": NUMBER,
    "evaluation.attack.false_trigger_rate": NUMBER,
}
REQUIRED_IF_DETECTED: dict[str, tuple[type, ...]] = {
    "evaluation.rows.precision": (*NUMBER, NoneType),
    "evaluation.rows.recall": (*NUMBER, NoneType),
}


@dataclass(frozen=True)
class FinishedCell:
    """One finished training and its scores.

    Args:
        name: of its file, without the ending.
        key: all that decides it.
        facts: what it ran with: commit, versions, device, numbers of rows.
        cost: its ``seconds``, ``training_seconds`` and ``peak_memory_mib``.
        evaluation: its scores, as `cleanfit.scores.Evaluation` goes to JSON.
        needs: as `cleanfit.results.Needs` goes to JSON.
        clean: whether each test row is predicted as labelled.
        triggered: whether each triggered row is predicted as the target; None without an attack.
    """

    name: str
    key: Mapping[str, Any]
    facts: Mapping[str, Any]
    cost: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    needs: Mapping[str, Any]
    clean: Outcomes
    triggered: Outcomes | None


@dataclass(frozen=True)
class FailedCell:
    """One cell that failed: the name of its file, its key, and the error in one line."""

    name: str
    key: Mapping[str, Any]
    error: str


def read_cells(folder: Path) -> tuple[list[FinishedCell], list[FailedCell]]:
    """Read every cell of a benchmark.

    Args:
        folder: what `cleanfit bench` wrote to; its ``cells/*.json`` are read.

    Returns:
        The finished cells and the failed ones, each by name of their file.

    Raises:
        DataError: there is no such folder, no cell in it, or a file in it is no cell of a version that we know.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder '{folder}'. Give one that 'cleanfit bench' wrote.")
    paths = sorted((folder / CELLS).glob("*.json"))
    if not paths:
        raise DataError(f"'{folder}' holds no cells ({CELLS}/*.json). Give a folder that 'cleanfit bench' wrote.")
    cells: list[FinishedCell] = []
    failures: list[FailedCell] = []
    for path in paths:
        plain = _load(path)
        if plain["status"] == "done":
            cells.append(_cell(path, plain))
        else:
            failures.append(
                FailedCell(path.stem, plain["key"], " ".join(str(plain.get("error") or "no reason").split()))
            )
    return cells, failures


def _load(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
        # JSON can hold half a surrogate pair as an escape, and no file of ours could hold it.
        json.dumps(plain, ensure_ascii=False).encode()
    except (OSError, ValueError) as error:
        raise DataError(f"Cannot read the cell '{path}': {error}. Delete it and run 'cleanfit bench' again.") from error
    if not isinstance(plain, dict):
        raise DataError(f"'{path}' holds no cell but a {type(plain).__name__}. Keep only cells in its folder.")
    version = plain.get("schema_version")
    if version != CELL_SCHEMA_VERSION or isinstance(version, bool):
        raise DataError(
            f"The cell '{path}' has schema version {version!r}, expected {CELL_SCHEMA_VERSION}. "
            "Make the table with the version of cleanfit that wrote it."
        )
    if plain.get("status") not in ("done", "failed"):
        raise DataError(f"The cell '{path}' has status {plain.get('status')!r}, expected 'done' or 'failed'.")
    _check(path, plain, REQUIRED)
    return plain


def _cell(path: Path, plain: dict[str, Any]) -> FinishedCell:
    _check(path, plain, REQUIRED_IF_DONE)
    for part, required in (("attack", REQUIRED_IF_ATTACKED), ("rows", REQUIRED_IF_DETECTED)):
        if plain["evaluation"][part] is not None:
            _check(path, plain, required)
    outcomes = plain["outcomes"]
    clean = _outcomes(path, outcomes["clean"], range(len(outcomes["clean"])))
    triggered = None
    if outcomes["triggered"] is not None:
        triggered = _outcomes(path, outcomes["triggered"], outcomes["triggered_rows"] or ())
    parts = {part: plain[part] for part in ("key", "facts", "cost", "evaluation", "needs")}
    return FinishedCell(path.stem, **parts, clean=clean, triggered=triggered)


def _outcomes(path: Path, hits: str, rows: Any) -> Outcomes:
    numbers = list(rows)
    if set(hits) - {"0", "1"} or not hits or len(numbers) != len(hits):
        raise DataError(
            f"The cell '{path}' has {len(hits)} outcomes of {len(numbers)} rows; expected one 0 or 1 for each row."
        )
    if not all(isinstance(number, int) and number >= 0 for number in numbers) or len(set(numbers)) < len(numbers):
        raise DataError(
            f"The cell '{path}' has triggered rows that are no row numbers; expected integers from 0, each once."
        )
    return Outcomes(np.array(numbers, dtype=np.int64), np.frombuffer(hits.encode(), dtype=np.uint8) - ord("0"))


def _check(path: Path, plain: Mapping[str, Any], required: Mapping[str, tuple[type, ...]]) -> None:
    """Refuse a cell that lacks a part or has one of another type."""
    for name, types in required.items():
        *parents, last = name.split(".")
        part: Any = plain
        for parent in parents:
            part = part[parent]
        if last not in part:
            raise DataError(f"The cell '{path}' lacks {name}. Delete it and run 'cleanfit bench' again.")
        if not isinstance(part[last], types):
            expected = " or ".join(kind.__name__ for kind in types)
            raise DataError(f"The cell '{path}' has {name} of type {type(part[last]).__name__}, expected {expected}.")
