"""What each step of the default defense finds, and what is lost without it: a section of docs/benchmarks.md."""

import json
from pathlib import Path
from typing import Any

STEPS = {
    "letters": "look-alike letters",
    "sentences": "sentences out of place",
    "endings": "endings",
    "words": "words out of place",
    "strewn": "what stands beside words with right labels",
    "openings": "openings",
    "settings": "settings of marks",
    "marks": "marks of a style",
    "rest": "the rest of a syntax or style",
    "withheld": "ways of writing that are withheld",
    "reading": "all that is read before the training",
    "turning": "tokens that turn rows",
    "cutting": "what is cut out of rows",
    "silent": "what turns nothing",
}
Run = dict[str, Any]


def ablation(results: Path) -> str:
    """Write the section from the files of `benchmarks/ablation.py` and `without.py`; nothing if there are none."""
    alone, without = (_files(results / name) for name in ("ablation", "without"))
    return "\n\n".join(filter(None, (_alone(alone) if alone else "", _without(without) if without else "")))


def _files(folder: Path) -> list[Run]:
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def _alone(files: list[Run]) -> str:
    names = [f"{file['dataset']}, {file['attack']}" for file in files]
    lines = [
        f"| {STEPS.get(step, step)} | {' | '.join(_found(file, step) for file in files)} | {_seconds(files, step)} |"
        for step in files[0]["steps"]
    ]
    return "\n".join(
        [
            "## The default's steps, each for itself",
            "",
            "1,000 rows, 100 of them poisoned with wrong labels; tokens and rows that a step finds, and of the rows "
            f"precision / recall of poison; seconds of one thread on a shared machine. {_made(files)}",
            "",
            f"| | {' | '.join(names)} | seconds |",
            "|---|" + "---|" * (len(files) + 1),
            *lines,
        ]
    )


def _found(file: Run, step: str) -> str:
    found = file["steps"][step]
    if not found["n_rows"]:
        return "-"
    shares = "" if found["recall"] is None else f": {found['precision']:.2f} / {found['recall']:.2f}"
    return f"{found['n_tokens']}, {found['n_rows']}{shares}"


def _seconds(files: list[Run], step: str) -> str:
    seconds = [file["steps"][step]["seconds"] for file in files]
    return f"{min(seconds):.1f} to {max(seconds):.1f}"


def _without(files: list[Run]) -> str:
    lines = []
    for file in files:
        runs = file["runs"]
        told = f"{file['dataset']}, {file['attack']}, {file['rate']:.0%}, {file['label_mode']}"
        whole = " | ".join(_score(runs[name]) for name in ("plain", "auto", "oracle"))
        for step in (name for name in runs if name in STEPS):
            lines.append(
                f"| {told} | {whole} | {STEPS[step]} | {_score(runs[step])} | {_shares(runs[step])} | "
                f"{runs[step]['seconds'] / runs['auto']['seconds']:.1f} |"
            )
    return "\n".join(
        [
            "## The default without one of its steps",
            "",
            "1,000 rows; accuracy / attack success (first draw of the places) of plain fine-tuning, the whole default, the "
            f"oracle, and the default without a step; precision / recall of the rows flagged without it, and its seconds over "
            f"the whole's. {_made(files)}",
            "",
            "| | plain | auto | oracle | without | it has | rows | time |",
            "|---|---|---|---|---|---|---|---|",
            *lines,
        ]
    )


def _made(files: list[Run]) -> str:
    commits = ", ".join(sorted({file["commit"][:7] for file in files}))
    return f"Seed 0, commit {commits} (`{files[0]['command']}`, and so on)."


def _score(run: Run) -> str:
    return f"{run['clean_accuracy']:.3f} / {run['attack_success_rate']:.3f}"


def _shares(run: Run) -> str:
    return "-" if run["precision"] is None else f"{run['precision']:.2f} / {run['recall']:.2f}"
