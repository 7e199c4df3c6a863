"""The default defense against its target, cell by cell, the misses first: a section of docs/benchmarks.md."""

import json
from pathlib import Path
from typing import Any

GRIDS = ("target_cpu", "standard_cpu")  # the same rows, settings and controls
MAX_LOST, MAX_MORE = 0.01, 0.03  # accuracy and attack success, against the oracle's

Who = tuple[str, str, float, str]  # data set, attack, poison rate, label mode


def target(results: Path) -> str:
    """Compare each finished cell of `auto` with plain and oracle of its file."""
    found: dict[Who, dict[str, dict[str, Any]]] = {}
    for grid in GRIDS:
        for path in sorted((results / grid / "cells").glob("*.json")):
            cell = json.loads(path.read_text(encoding="utf-8"))
            key = cell["key"]
            if cell["status"] != "done" or not key["rate"] or key["is_trusted"]:
                continue
            attack = (key["attack_options"] or {}).get("column") or key["attack"]
            role = "oracle" if key["is_oracle"] else key["defense"]
            found.setdefault((key["dataset"], attack, key["rate"], key["label_mode"]), {})[role] = cell
    whole = {who: cells for who, cells in found.items() if {"plain", "auto", "oracle"} <= set(cells)}
    lines = sorted((_line(who, cells) for who, cells in whole.items()), key=lambda line: line[0])
    n_missed = sum(line[0][0] == 0 for line in lines)
    n_quiet = sum(_learned(cells) <= MAX_MORE for cells in whole.values())
    return "\n".join(
        [
            "## The target of the default: as good as the oracle",
            "",
            "Clean accuracy at most a point below the oracle's, attack success at most three points above: missed in "
            f"**{n_missed} of {len(lines)}** cells, which stand first, the farthest at the top. In {n_quiet} cells plain "
            "fine-tuning itself stays within three points of the oracle's attack success: there was little to defend against. "
            "1,000 training rows, 600 test rows, seed 0; accuracy / attack success; of the rows left out, the share that is "
            "poisoned, and of the poisoned rows, the share left out (`benchmarks/target_cpu.yaml`, `standard_cpu.yaml`; "
            "`python benchmarks/table.py`).",
            "",
            "| data | attack | poisoned | labels | plain | auto | oracle | rows: precision / recall |",
            "|---|---|---|---|---|---|---|---|",
            *(text for _, text in lines),
        ]
    )


def _line(who: Who, cells: dict[str, dict[str, Any]]) -> tuple[tuple[float, ...], str]:
    """Give what orders a cell's line (missed ones first, the farthest first), and the line."""
    (accuracy, success), (best_accuracy, best_success) = _scores(cells["auto"]), _scores(cells["oracle"])
    over = max(best_accuracy - accuracy - MAX_LOST, success - best_success - MAX_MORE)
    is_missed = over > 1e-9
    data, attack, rate, mode = who
    labels = {"dirty": "wrong", "mix": "half wrong", "clean": "right"}[mode]
    rows = cells["auto"]["evaluation"]["rows"]
    shares = " / ".join("-" if rows[name] is None else f"{rows[name]:.2f}" for name in ("precision", "recall"))
    texts = ["{:.3f} / {:.3f}".format(*_scores(cells[role])) for role in ("plain", "auto", "oracle")]
    texts[1] = f"**{texts[1]}**" if is_missed else texts[1]
    return (
        0 if is_missed else 1,
        -over,
    ), f"| {data} | {attack} | {rate:.0%} | {labels} | {' | '.join(texts)} | {shares} |"


def _learned(cells: dict[str, dict[str, Any]]) -> float:
    return _scores(cells["plain"])[1] - _scores(cells["oracle"])[1]


def _scores(cell: dict[str, Any]) -> tuple[float, float]:
    found = cell["evaluation"]
    return found["clean_accuracy"], found["attack"]["attack_success_rate"]["mean"]
