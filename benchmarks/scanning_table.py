"""What a scan finds in honest and poisoned files, detector by detector: a section of docs/benchmarks.md."""

import json
from pathlib import Path
from typing import Any

PLANS = {
    ("dirty", 0.01): "1 %",
    ("dirty", 0.05): "5 %",
    ("dirty", 0.1): "10 %",
    ("dirty", 0.2): "20 %",
    ("mix", 0.1): "10 %, half wrong",
    ("clean", 0.1): "10 %, right",
}
Cell = dict[str, Any]


def scanning(results: Path) -> str:
    """Write the section from the files of `benchmarks/scanning.py`; nothing if there are none."""
    files = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("scanning/*.json"))]
    if not files:
        return ""
    honest = [
        f"| {file['dataset']} | {_honest(file['cells'], 'reading')} | {_honest(file['cells'], 'drift')} |"
        for file in files
    ]
    found = [line for file in files for line in _lines(file)]
    commits = ", ".join(sorted({file["commit"][:7] for file in files}))
    return "\n".join(
        [
            "## A scan: what is found before a model is trained",
            "",
            f"{files[0]['rows']:,} rows of each data set, seed 0, commit {commits} (`python benchmarks/scanning.py sst2`, "
            "and so on). What either detector of `cleanfit scan` names in honest files, which is false:",
            "",
            "| | reading (default): tokens, rows | drift: tokens, rows |",
            "|---|---|---|",
            *honest,
            "",
            "Of the rows that it says to review, the share that is poisoned, and of the poisoned rows, the share among them; "
            "- where it finds nothing. Labels are wrong unless said:",
            "",
            f"| | {' | '.join(PLANS.values())} | drift, 10 % |",
            "|---|" + "---|" * (len(PLANS) + 1),
            *found,
        ]
    )


def _honest(cells: list[Cell], detector: str) -> str:
    (cell,) = (cell for cell in cells if cell["attack"] is None and cell["detector"] == detector)
    return f"{cell['n_tokens']}, {cell['n_rows']}"


def _lines(file: dict[str, Any]) -> list[str]:
    """Write a line per attack that could be made of the data set."""
    cells = {
        (cell["attack"], cell["label_mode"], cell["rate"], cell["detector"]): cell
        for cell in file["cells"]
        if cell["recall"] is not None
    }
    lines = []
    for attack in dict.fromkeys(key[0] for key in cells):
        shown = [_shares(cells.get((attack, *plan, "reading"))) for plan in PLANS]
        shown.append(_shares(cells.get((attack, "dirty", 0.1, "drift"))))
        lines.append(f"| {file['dataset']}, {attack} | {' | '.join(shown)} |")
    return lines


def _shares(cell: Cell | None) -> str:
    return "-" if cell is None or not cell["n_rows"] else f"{cell['precision']:.2f} / {cell['recall']:.2f}"
