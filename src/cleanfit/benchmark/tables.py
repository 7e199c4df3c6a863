"""The lines of a benchmark as Markdown, CSV and JSON, and all its files written at once."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cleanfit.benchmark import wording
from cleanfit.benchmark.compare import Difference
from cleanfit.benchmark.page import render
from cleanfit.benchmark.reading import FailedCell
from cleanfit.benchmark.summary import Line, Summary
from cleanfit.errors import OutputError
from cleanfit.report.card import code_span
from cleanfit.report.plots import visible
from cleanfit.results import to_plain, write_json
from cleanfit.run_folder import write_csv
from cleanfit.scores import SeedMean

TABLE_SCHEMA_VERSION = 1
# What Markdown leaves as it is inside a table; anything else is quoted.
HARMLESS = re.compile(r"[A-Za-z0-9.,:;=+%()-]*(?:_[A-Za-z0-9.,:;=+%()-]+)*")
SIGNS = ("−", "±", "×", wording.NONE)
LABELS = ("dataset", "model", "attack", "label_mode", "rate", "target", "defense")


@dataclass(frozen=True)
class Written:
    """Where the files of a table are."""

    markdown: Path
    csv: Path
    json: Path
    html: Path


def write_tables(summary: Summary, out: Path) -> Written:
    """Write ``table.md``, ``table.csv``, ``table.json`` and ``table.html``, all whole or none replaced.

    Args:
        summary: of `cleanfit.benchmark.summary.summarize`; the same summary gives the same bytes.
        out: folder, made if it is not there; old tables in it are replaced.

    Returns:
        Where they are.

    Raises:
        OutputError: the folder cannot be written.
    """
    paths = Written(*(out / f"table.{ending}" for ending in ("md", "csv", "json", "html")))
    temporary = Written(*(path.with_name(path.name + ".tmp") for path in vars(paths).values()))
    try:
        out.mkdir(parents=True, exist_ok=True)
        temporary.markdown.write_text(markdown(summary), encoding="utf-8")
        write_csv(temporary.csv, *csv_table(summary))
        write_json(temporary.json, as_json(summary))
        temporary.html.write_text(render(summary), encoding="utf-8")
        for name, path in vars(temporary).items():
            path.replace(getattr(paths, name))
    except OSError as error:
        raise OutputError(f"Cannot write the tables to '{out}': {error}. Choose another --out.") from error
    return paths


def markdown(summary: Summary) -> str:
    """Write the lines as Markdown, one table per data set, model, rate and label mode; no text of the data is markup."""
    parts = ["# Benchmark", *_bullets([_quoted(text) for text in wording.provenance(summary.measured)])]
    for lines in wording.tables(summary.lines):
        parts += ["", f"## {_quoted(wording.title(lines[0]))}", "", *_table(lines), ""]
        parts += _bullets([_quoted(f"Measured on {wording.size(lines)}. Settings: {wording.common(lines)}.")])
    parts += ["", f"## Failed: {len(summary.failures)}", ""]
    parts += _bullets([_quoted(wording.failed(failure)) for failure in summary.failures]) or ["No cell failed."]
    parts += ["", "## Options", ""]
    options = wording.options(summary.lines).items()
    parts += _bullets([f"{_quoted(label)}: {_quoted(told)}" for label, told in options])
    parts += ["", "## How to read this", "", *_bullets(wording.HOW_TO_READ)]
    return "\n".join(parts) + "\n"


def _table(lines: Sequence[Line]) -> list[str]:
    settings = wording.varying(lines)
    columns: dict[str, Callable[[Line], str]] = {
        "attack": lambda line: line.attack or "none",
        "defense": lambda line: line.defense + (" (control)" if line.control else ""),
        "settings": lambda line: settings[lines.index(line)],
        "seeds": wording.seeds,
        "clean accuracy": lambda line: wording.seed_mean(line.clean_accuracy),
        "attack success rate": lambda line: wording.seed_mean(line.attack_success_rate),
        "false-trigger rate": lambda line: wording.share(line.false_trigger_rate),
        "macro F1": lambda line: wording.share(line.macro_f1),
        "accuracy − plain": lambda line: wording.change(line.to_plain.accuracy, line.to_plain, line),
        "ASR − plain": lambda line: wording.change(line.to_plain.attack_success, line.to_plain, line),
        "accuracy − oracle": lambda line: wording.change(line.to_oracle.accuracy, line.to_oracle, line),
        "ASR − oracle": lambda line: wording.change(line.to_oracle.attack_success, line.to_oracle, line),
        "gap closed": lambda line: wording.share(line.gap_closed),
        "rows found: precision, recall": lambda line: (
            f"{wording.share(line.row_precision)}, {wording.share(line.row_recall)}"
        ),
        "training": lambda line: wording.seconds(line.cost),
        "peak memory": lambda line: wording.memory(line.cost),
        "needs": lambda line: wording.needs(line.cost),
    }
    if not any(settings):
        del columns["settings"]
    rows = [list(columns), ["---"] * len(columns)]
    rows += [[_quoted(write(line)) for write in columns.values()] for line in lines]
    return [f"| {' | '.join(row)} |" for row in rows]


def _bullets(texts: Sequence[str]) -> list[str]:
    return [f"- {text}" for text in texts]


def _quoted(text: str) -> str:
    """Quote, of a text that may come from the data, each word that Markdown could take for markup."""
    return " ".join(word if _is_harmless(word) else code_span(word) for word in visible(text).split())


def _is_harmless(word: str) -> bool:
    bare = word.removeprefix("[").rstrip(",]")
    return bare in SIGNS or (HARMLESS.fullmatch(bare) is not None and "www." not in bare)


def csv_table(summary: Summary) -> tuple[list[str], list[list[object]]]:
    """Lay the lines out for a spreadsheet, the failed cells behind them.

    Returns:
        Header and rows; what is not known is empty.
    """
    settings = wording.varying(summary.lines)
    records = [{**_labels(line.key), **_record(line), "settings": told} for line, told in zip(summary.lines, settings)]
    records += [_failed_record(failure) for failure in summary.failures]
    header = list(dict.fromkeys(name for record in records for name in record))
    return header, [[_cell(record.get(name)) for name in header] for record in records]


def _labels(key: Mapping[str, Any]) -> dict[str, object]:
    return {name: key[name] for name in LABELS}


def _failed_record(failure: FailedCell) -> dict[str, object]:
    error = f"{failure.error} (cell {failure.name})"
    return {**_labels(failure.key), "status": "failed", "seeds": str(failure.key["seed"]), "error": error}


def _record(line: Line) -> dict[str, object]:
    cost = line.cost
    return {
        "status": "done",
        "control": line.control,
        "settings": "",
        "n_seeds": len(line.seeds),
        "seeds": " ".join(map(str, line.seeds)),
        "n_test": line.n_test,
        "n_triggered": line.n_triggered,
        "effective_rate": line.effective_rate,
        **_mean_columns("clean_accuracy", line.clean_accuracy),
        **_mean_columns("attack_success_rate", line.attack_success_rate),
        "false_trigger_rate": line.false_trigger_rate,
        "macro_f1": line.macro_f1,
        **_change_columns("accuracy_minus_plain", line.to_plain.accuracy),
        **_change_columns("attack_success_minus_plain", line.to_plain.attack_success),
        "plain_missing": line.to_plain.missing,
        **_change_columns("accuracy_minus_oracle", line.to_oracle.accuracy),
        **_change_columns("attack_success_minus_oracle", line.to_oracle.attack_success),
        "oracle_missing": line.to_oracle.missing,
        "gap_closed": line.gap_closed,
        "row_precision": line.row_precision,
        "row_recall": line.row_recall,
        "seconds": cost.seconds,
        "training_seconds": cost.training_seconds,
        "ratio_to_plain": cost.ratio_to_plain,
        "peak_memory_mib": cost.peak_memory_mib,
        "trusted_rows": cost.trusted_rows,
        "target_label": cost.target_label,
        "extra_passes": cost.extra_passes,
        "error": "",
    }


def _mean_columns(name: str, value: SeedMean | None) -> dict[str, object]:
    low, high = (value.interval if value else None) or (None, None)
    return {name: value and value.mean, f"{name}_low": low, f"{name}_high": high}


def _change_columns(name: str, found: Difference | None) -> dict[str, object]:
    low, high, verdict = (found.low, found.high, found.verdict) if found else (None, None, None)
    return {name: found and found.mean, f"{name}_low": low, f"{name}_high": high, f"{name}_verdict": verdict}


def _cell(value: object) -> object:
    # Ten digits: enough for every comparison, and no 0.30000000000000004.
    return round(value, 10) if isinstance(value, float) else "" if value is None else value


def as_json(summary: Summary) -> dict[str, Any]:
    """Give all that is known of the lines, under the names of the fields of `Line`, with the failed cells."""
    return {
        "schema_version": TABLE_SCHEMA_VERSION,
        "measured": to_plain(summary.measured),
        "lines": to_plain(summary.lines),
        "failed": to_plain(summary.failures),
        "how_to_read": list(wording.HOW_TO_READ),
    }
