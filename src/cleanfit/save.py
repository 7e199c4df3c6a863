"""Write what a run leaves behind: the model, the audit, the tables, the settings and the report."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cleanfit.capacity import AdaptedClassifier
from cleanfit.models import quiet_loading
from cleanfit.report import render_card, write_report
from cleanfit.results import Findings, RowFinding, TokenFinding, evidence_names, write_json
from cleanfit.run_folder import write_csv

ROW_HEADER = ("row", "score", "is_issue", "reason")


def save(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    findings: Findings,
    audit: Mapping[str, Any],
    folder: Path,
) -> None:
    """Write a run into an empty folder.

    Args:
        model: the classifier; ``model/`` opens with plain transformers, without cleanfit, unless adapters or a prefix are
            in it: the model card says how to open it then.
        tokenizer: of that model.
        findings: for ``tokens.csv`` and ``rows.csv``.
        audit: for ``audit.json``, ``settings.yaml``, the model card and ``report.html``.
        folder: exists and is empty; the caller renames it when this returns.
    """
    with quiet_loading():
        model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    (folder / "model" / "README.md").write_text(
        render_card(audit, isinstance(model, AdaptedClassifier)), encoding="utf-8"
    )
    write_json(folder / "audit.json", audit)
    write_findings(findings, audit["data"]["label_names"], folder)
    with (folder / "settings.yaml").open("w", encoding="utf-8") as stream:
        yaml.safe_dump(_as_config(audit), stream, sort_keys=False, allow_unicode=True)
    write_report(folder / "audit.json", folder / "report.html")


def write_findings(findings: Findings, label_names: Iterable[str], folder: Path) -> None:
    """Write ``tokens.csv`` and ``rows.csv``, safe to open in a spreadsheet program."""
    names = list(label_names)
    rounds = list(findings.curves)
    asked = evidence_names(token.evidence for token in findings.tokens)
    header = ["token_id", "text", "is_suspicious", "score", *asked]
    header += [f"{what}_{name}" for name in rounds for what in ("rank", "drift_l2")]
    header += ["n_rows", "n_occurrences", *[f"n_rows_{name}" for name in names], "replaced_share", "example_rows"]
    write_csv(folder / "tokens.csv", header, (_token_row(token, asked, rounds, names) for token in findings.tokens))
    write_csv(folder / "rows.csv", ROW_HEADER, (_row(row) for row in findings.rows))


def _token_row(token: TokenFinding, asked: list[str], rounds: list[str], names: list[str]) -> list[object]:
    drifted = [value for name in rounds for value in (token.ranks.get(name, ""), token.drifts.get(name, ""))]
    return [
        token.token_id,
        token.text,
        token.is_suspicious,
        token.score,
        *[token.evidence.get(name, "") for name in asked],
        *drifted,
        token.n_rows,
        token.n_occurrences,
        *[token.label_counts[name] for name in names],
        "" if token.replaced_share is None else token.replaced_share,
        " ".join(map(str, token.example_rows)),
    ]


def _row(row: RowFinding) -> tuple[object, ...]:
    return (row.row, row.score, row.is_issue, row.reason)


def _as_config(audit: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings in the form that ``fit --config`` reads."""
    return {
        "model": audit["model"]["name"],
        "defense": audit["defense"]["name"],
        "set": audit["defense"]["options"],
        "text_column": audit["data"]["columns"]["text"],
        "text_pair_column": audit["data"]["columns"]["text_pair"],
        "label_column": audit["data"]["columns"]["label"],
        **audit["settings"],
    }
