"""Tables on the terminal: scores and suspicious tokens."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cleanfit.results import Findings, StageScore

N_SHOWN_TOKENS = 15


def print_scores(scores: Sequence[StageScore]) -> None:
    """Print one line per stage; attack success only where it was measured."""
    measured = any(score.attack_success_rate is not None for score in scores)
    columns = ["stage", "clean accuracy"] + (["attack success rate", "false-trigger rate"] if measured else [])
    rows = [
        [score.stage, _share(score.clean_accuracy)]
        + ([_share(score.attack_success_rate), _share(score.false_trigger_rate)] if measured else [])
        for score in scores
    ]
    print_table(columns, rows)


def print_tokens(findings: Findings, method: str) -> None:
    """Print the suspicious tokens with their evidence, and how many rows to review."""
    if not findings.curves:
        Console().print(f"No detector was run ({method}).", markup=False)
        return
    found = findings.suspicious
    issues = sum(row.is_issue for row in findings.rows)
    text = f"{len(found)} suspicious tokens; {issues} of {len(findings.rows)} rows to review."
    Console().print(text, markup=False, highlight=False)
    rows = []
    for token in found[:N_SHOWN_TOKENS]:
        label = max(token.label_counts, key=lambda name: token.label_counts[name])
        share = token.label_counts[label] / max(token.n_rows, 1)
        ranks = " ".join(str(token.ranks.get(name, "-")) for name in findings.curves)
        rows.append([token.text, ranks, str(token.n_rows), f"{share:.0%} {label}"])
    if rows:
        print_table(["token", "rank per round", "rows", "label"], rows)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose cells are plain text, whatever they hold."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in cell)) for cell in row))
    Console().print(table)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
