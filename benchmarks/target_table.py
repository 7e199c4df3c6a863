"""The default defense against its target, cell by cell, the misses first: a section of docs/benchmarks.md."""

import json
from pathlib import Path
from typing import Any

# Grids of the same rows, settings and controls -> what a section calls them.
SECTIONS = {
    ("target_cpu", "standard_cpu"): "The target of the default: as good as the oracle",
    ("draws",): "The same drawn anew: other poisoned rows, places and seeds, on which no rule was made",
    ("edges",): "Triggers that always stand first or last",
    ("variants",): "The same of other triggers, places and attacks, with the other class as the target",
    ("unseen",): "Data sets on which no rule was made",
}
LABELS = {"dirty": "wrong", "mix": "half wrong", "clean": "right"}
MAX_LOST, MAX_MORE = 0.01, 0.03  # accuracy and attack success, against the oracle's

TAKEN = ("Verified triggers", "Cut out of rows", "Left out")  # how a verdict begins to tell of what was found

Who = tuple[str, str, float, str]  # data set, attack, poison rate, label mode


def target(results: Path) -> str:
    """Compare each finished cell of `auto` with plain and oracle of its file, grids of a section together."""
    told = (_section(results, grids, title) for grids, title in SECTIONS.items())
    return "\n\n".join(section for section in told if section)


def _section(results: Path, grids: tuple[str, ...], title: str) -> str:
    whole = _cells(results, grids)
    if not whole:
        return ""
    lines = sorted((_line(who, cells) for who, cells in whole.items()), key=lambda line: line[0])
    n_missed = sum(_is_missed(cells) for cells in whole.values())
    n_quiet = sum(_learned(cells) <= MAX_MORE for cells in whole.values())
    seeds = sorted({cell["key"]["seed"] for cells in whole.values() for cell in cells.values()})
    return "\n".join(
        [
            f"## {title}",
            "",
            "Clean accuracy at most a point below the oracle's, attack success at most three points above: missed in "
            f"**{n_missed} of {len(lines)}** cells, which stand first, the farthest at the top. In {n_quiet} cells plain "
            "fine-tuning itself stays within three points of the oracle's attack success: there was little to defend against. "
            f"1,000 training rows, 600 test rows, seed {', '.join(map(str, seeds))}; accuracy / attack success; of the rows "
            "flagged, the share that is poisoned, and of the poisoned rows, the share flagged (withheld rows are not) "
            f"({', '.join(f'`benchmarks/{grid}.yaml`' for grid in grids)}; `python benchmarks/table.py`).",
            "",
            *_counts(whole),
            "",
            "| data | attack | poisoned | labels | plain | auto | oracle | rows: precision / recall |",
            "|---|---|---|---|---|---|---|---|",
            *(text for _, text in lines),
            *_honest(results, grids),
        ]
    )


def _honest(results: Path, grids: tuple[str, ...]) -> list[str]:
    """Compare plain and `auto` on the files without poison, and say what of these was taken for some."""
    found: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for cell in _finished(results, grids):
        key = cell["key"]
        if not key["rate"] and not key["is_trusted"]:
            found.setdefault((key["dataset"], key["seed"]), {})[key["defense"]] = cell
    told = [(who, cells) for who, cells in sorted(found.items()) if {"plain", "auto"} <= set(cells)]
    if not told:
        return []
    lines = [
        "",
        "Without poison:",
        "",
        "| data | seed | plain | auto | verified, cut out or withheld |",
        "|---|---|---|---|---|",
    ]
    for (data, seed), cells in told:
        plain, auto = (cells[name]["evaluation"]["clean_accuracy"] for name in ("plain", "auto"))
        taken = [part for part in TAKEN if part in cells["auto"]["verdict"]]
        lines.append(
            f"| {data} | {seed} | {plain:.3f} | {auto:.3f} | {', '.join(map(str.lower, taken)) or 'nothing'} |"
        )
    return lines


def _cells(results: Path, grids: tuple[str, ...]) -> dict[Who, dict[str, dict[str, Any]]]:
    """Collect plain, auto and oracle of each file that has all three."""
    found: dict[Who, dict[str, dict[str, Any]]] = {}
    for cell in _finished(results, grids):
        key = cell["key"]
        if not key["rate"] or key["is_trusted"]:
            continue
        attack = (key["attack_options"] or {}).get("column") or key["attack"]
        role = "oracle" if key["is_oracle"] else key["defense"]
        found.setdefault((key["dataset"], attack, key["rate"], key["label_mode"]), {})[role] = cell
    return {who: cells for who, cells in found.items() if {"plain", "auto", "oracle"} <= set(cells)}


def _finished(results: Path, grids: tuple[str, ...]) -> list[dict[str, Any]]:
    paths = [path for grid in grids for path in sorted((results / grid / "cells").glob("*.json"))]
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return [cell for cell in cells if cell["status"] == "done"]


def _counts(whole: dict[Who, dict[str, dict[str, Any]]]) -> list[str]:
    """Count the cells within the target, attack by attack."""
    named = dict.fromkeys(("words", "sentence", "synbkd", "stylebkd", *sorted(who[1] for who in whole)))
    attacks = [name for name in named if any(who[1] == name for who in whole)]
    lines = [
        "| cells within the target | " + " | ".join(f"labels {told}" for told in LABELS.values()) + " |",
        "|---|---|---|---|",
    ]
    for attack in attacks:
        cells = [[own for who, own in whole.items() if (who[1], who[3]) == (attack, mode)] for mode in LABELS]
        shown = (f"{sum(not _is_missed(own) for own in some)} of {len(some)}" if some else "-" for some in cells)
        lines.append(f"| {attack} | {' | '.join(shown)} |")
    return lines


def _over(cells: dict[str, dict[str, Any]]) -> float:
    """By how much the default misses the target, more than 0 if it does."""
    (accuracy, success), (best_accuracy, best_success) = _scores(cells["auto"]), _scores(cells["oracle"])
    return max(best_accuracy - accuracy - MAX_LOST, success - best_success - MAX_MORE)


def _is_missed(cells: dict[str, dict[str, Any]]) -> bool:
    return _over(cells) > 1e-9


def _line(who: Who, cells: dict[str, dict[str, Any]]) -> tuple[tuple[float, ...], str]:
    """Give what orders a cell's line (missed ones first, the farthest first), and the line."""
    is_missed = _is_missed(cells)
    data, attack, rate, mode = who
    labels = LABELS[mode]
    rows = cells["auto"]["evaluation"]["rows"]
    shares = " / ".join("-" if rows[name] is None else f"{rows[name]:.2f}" for name in ("precision", "recall"))
    texts = ["{:.3f} / {:.3f}".format(*_scores(cells[role])) for role in ("plain", "auto", "oracle")]
    texts[1] = f"**{texts[1]}**" if is_missed else texts[1]
    text = f"| {data} | {attack} | {rate:.0%} | {labels} | {' | '.join(texts)} | {shares} |"
    return (0 if is_missed else 1, -_over(cells)), text


def _learned(cells: dict[str, dict[str, Any]]) -> float:
    return _scores(cells["plain"])[1] - _scores(cells["oracle"])[1]


def _scores(cell: dict[str, Any]) -> tuple[float, float]:
    found = cell["evaluation"]
    return found["clean_accuracy"], found["attack"]["attack_success_rate"]["mean"]
