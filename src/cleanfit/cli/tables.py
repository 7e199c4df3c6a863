"""Tables on the terminal: scores, evaluations and suspicious tokens."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cleanfit.results import Findings, StageScore
from cleanfit.scores import AttackScore, Evaluation, RowDetection, TokenDetection

N_SHOWN_TOKENS = 15


def print_scores(scores: Sequence[StageScore]) -> None:
    """Print one line per stage; attack success only where it was measured."""
    measured = any(score.attack_success_rate is not None for score in scores)
    columns = ["stage", "clean accuracy"] + (["attack success rate", "false-trigger rate"] if measured else [])
    rows = [
        [score.stage, share(score.clean_accuracy)]
        + ([share(score.attack_success_rate), share(score.false_trigger_rate)] if measured else [])
        for score in scores
    ]
    print_table(columns, rows)


def print_tokens(findings: Findings, method: str) -> None:
    """Print the suspicious tokens with their evidence, and how many rows to review."""
    issues = sum(row.is_issue for row in findings.rows)
    if findings.verdict:
        done = "to review" if method == "scan" else "were left out"
        count = f" {issues} of {len(findings.rows)} rows {done}." if issues else ""
        Console().print(findings.verdict + count, markup=False, highlight=False)
        return
    if not findings.curves:
        Console().print(f"No detector was run ({method}).", markup=False)
        return
    found = findings.suspicious
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


def print_evaluation(result: Evaluation) -> None:
    """Print a model's scores, those of each class and of each triggered file, and what its run found."""
    measured = [
        ("clean accuracy", f"{share(result.clean_accuracy)} ({result.n_rows} rows)"),
        ("macro F1", share(result.macro_f1)),
    ]
    if result.attack:
        measured += _attack_lines(result.attack)
    if result.reference:
        measured.append(("clean accuracy of the reference", share(result.reference.clean_accuracy)))
    if result.reference and result.reference.triggered_target_rate is not None:
        measured.append(("target rate of the reference", share(result.reference.triggered_target_rate)))
    print_table(("score", "value"), measured)
    classes = result.per_class.items()
    rows = [(name, share(c.precision), share(c.recall), share(c.f1), str(c.support)) for name, c in classes]
    print_table(("class", "precision", "recall", "F1", "rows"), rows)
    if result.attack:
        _print_triggered(result.attack)
    if result.rows:
        print_table(("detection", "value"), _detection_lines(result.rows, result.tokens))


def _attack_lines(attack: AttackScore) -> list[tuple[str, str]]:
    success = attack.attack_success_rate
    seeds = "one draw"
    if success.interval:
        low, high = success.interval
        seeds = f"mean of {success.n} draws, 95 % interval {low:.3f} to {high:.3f}"
    rows = "on the same rows" if attack.is_same_rows else "on all clean rows of other labels"
    baseline = {"reference": "the reference's target rate", "false_trigger": "the false-trigger rate"}[attack.baseline]
    lines = [
        (f"attack success rate, target '{attack.target}'", f"{share(success.mean)} ({seeds})"),
        ("false-trigger rate", f"{share(attack.false_trigger_rate)} ({rows})"),
        ("net attack success rate", f"{share(attack.net_attack_success_rate)} (minus {baseline})"),
        ("label-flip rate", share(attack.label_flip_rate)),
    ]
    if attack.worst_trigger is not None:
        worst = max(single.attack_success_rate for single in attack.per_trigger)
        lines.append(("worst single trigger", f"{share(worst)} ('{attack.worst_trigger}')"))
    return lines


def _print_triggered(attack: AttackScore) -> None:
    columns = ("trigger", "draw", "rows", "declined", "attack success", "false trigger", "label flip")
    rows = [
        (
            "all" if score.trigger is None else score.trigger,
            str(score.insertion + 1),
            str(score.n_triggered),
            "-" if score.n_declined is None else str(score.n_declined),
            share(score.attack_success_rate),
            share(score.false_trigger_rate),
            share(score.label_flip_rate),
        )
        for score in (*attack.insertions, *attack.per_trigger)
    ]
    print_table(columns, rows)


def _detection_lines(rows: RowDetection, tokens: TokenDetection | None) -> list[tuple[str, str]]:
    lines = [
        ("rows", f"{rows.n_flagged} of {rows.n_rows} flagged, {rows.n_poisoned} poisoned ({rows.prevalence:.1%})"),
        ("rows: precision, recall, F1", ", ".join(map(share, (rows.precision, rows.recall, rows.f1)))),
        ("rows: false acceptance (poisoned let through)", share(rows.false_acceptance_rate)),
        ("rows: false rejection (clean flagged)", share(rows.false_rejection_rate)),
        ("rows: AUROC, AUPRC", f"{share(rows.auroc)}, {share(rows.auprc)}"),
        (
            "rows: recall at 1 %, 5 % false positives",
            f"{share(rows.tpr_at_1_percent_fpr)}, {share(rows.tpr_at_5_percent_fpr)}",
        ),
    ]
    if tokens:
        found = f"{tokens.n_found} of {tokens.n_trigger_tokens} trigger tokens among {tokens.n_suspicious} suspicious"
        lines.append(("tokens", found))
        lines.append(("tokens: precision, recall", f"{share(tokens.precision)}, {share(tokens.recall)}"))
        for name, ranks in tokens.ranks.items():
            best, worst = ("not listed" if rank is None else str(rank) for rank in (ranks.best, ranks.worst))
            lines.append((f"tokens: best, worst rank in {name}", f"{best}, {worst}"))
    return lines


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table whose cells are plain text, whatever they hold."""
    table = Table(*columns)
    for row in rows:
        table.add_row(*(Text("".join(c if c.isprintable() else repr(c)[1:-1] for c in cell)) for cell in row))
    Console().print(table)


def share(value: float | None) -> str:
    """Write a share for a table; what was not measured is a dash."""
    return "-" if value is None else f"{value:.3f}"
