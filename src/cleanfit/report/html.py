"""Audit in, one self-contained HTML page out: no network, and no text of the data can run in it."""

import base64
import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from cleanfit.errors import DataError, OutputError
from cleanfit.report.plots import drift_ranking_svg, round_names, round_title, split_invisible, visible
from cleanfit.results import AUDIT_SCHEMA_VERSION, Needs, StageScore, TokenFinding, evidence_names

TEMPLATE = "report.html.j2"
N_LABEL_COLORS = 6  # the page's CSS has as many
Z_95 = 1.959964  # two-sided 95 % quantile of the normal distribution


def _fields(record: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(record))


# Path in the audit -> keys that must be there; the page reads nothing else.
REQUIRED = {
    "": (
        "schema_version",
        "tool",
        "created",
        "data",
        "model",
        "defense",
        "settings",
        "seed",
        "versions",
        "platform",
        "seconds",
        "tokens",
        "curves",
        "row_summary",
        "scores",
        "losses",
        "needs",
        "limits",
    ),
    "tool": ("name", "version"),
    "data": (
        "source",
        "sha256",
        "n_rows",
        "n_train",
        "label_names",
        "label_counts",
        "columns",
        "dropped_rows",
        "held_out",
    ),
    "data.held_out": ("source", "sha256", "n_rows", "is_untrusted"),
    "model": ("name", "architecture", "sha256", "n_parameters", "vocabulary_size"),
    "defense": ("name", "options"),
    "row_summary": ("n_rows", "n_issues", "examples"),
    "needs": _fields(Needs),
}
REQUIRED_IN_EACH = {
    "tokens": _fields(TokenFinding),
    "scores": _fields(StageScore),
    "data.dropped_rows": ("row", "line", "reason"),
    "row_summary.examples": ("row", "label", "text", "text_pair", "spans", "score", "reason"),
}


def render(audit: Mapping[str, Any]) -> str:
    """Render an audit as a self-contained HTML page.

    Args:
        audit: the audit as read from ``audit.json``, schema version 1; its texts may be hostile.

    Returns:
        The page; the same audit gives the same page.

    Raises:
        DataError: the audit has another schema version or lacks a key.
    """
    _check(audit)
    template = environment().get_template(TEMPLATE)
    rounds = round_names(audit)
    return template.render(
        audit=audit,
        policy=content_policy(template),
        verdict=_verdict(audit),
        rounds=rounds,
        round_titles=[round_title(name) for name in rounds],
        asked=evidence_names(token["evidence"] for token in audit["tokens"]),
        plot=Markup(drift_ranking_svg(audit)),  # noqa: S704 - an XML writer escaped its texts
        n_suspicious=sum(token["is_suspicious"] for token in audit["tokens"]),
        example_rows={row["row"] for row in audit["row_summary"]["examples"]},
    )


def write_report(audit_path: Path, report_path: Path) -> None:
    """Read an audit and write its page, first to a temporary name, then renamed: never a half page.

    Args:
        audit_path: ``audit.json`` of a run.
        report_path: the HTML file to write; an old one is replaced.

    Raises:
        DataError: the audit cannot be read, has another schema version or lacks a key.
        OutputError: the page cannot be written.
    """
    try:
        audit = json.loads(audit_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"Cannot read the audit {audit_path}: {error}. Give the audit.json of a finished run."
        ) from error
    if not isinstance(audit, dict):
        raise DataError(
            f"{audit_path} holds no audit but a {type(audit).__name__}. Give the audit.json of a finished run."
        )
    page = render(audit)
    temporary = report_path.with_name(report_path.name + ".tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(report_path)
    except OSError as error:
        raise OutputError(
            f"Cannot write the report {report_path}: {error}. Choose a folder that can be written."
        ) from error


def _check(audit: Mapping[str, Any]) -> None:
    found = audit.get("schema_version")
    if found != AUDIT_SCHEMA_VERSION or isinstance(found, bool):
        raise DataError(f"The audit has schema version {found!r}, expected {AUDIT_SCHEMA_VERSION}. {_remedy(audit)}")
    for path, keys in REQUIRED.items():
        _check_keys(audit, path, _part(audit, path), keys)
    for path, keys in REQUIRED_IN_EACH.items():
        for index, item in enumerate(_part(audit, path)):
            _check_keys(audit, f"{path}[{index}]", item, keys)


def _check_keys(audit: Mapping[str, Any], path: str, part: Any, keys: Iterable[str]) -> None:
    if not isinstance(part, Mapping):
        raise DataError(f"The audit's {path} is a {type(part).__name__}, expected an object. {_remedy(audit)}")
    missing = [f"{path}.{key}".lstrip(".") for key in keys if key not in part]
    if missing:
        raise DataError(f"The audit lacks {', '.join(missing)}. {_remedy(audit)}")


def _part(audit: Mapping[str, Any], path: str) -> Any:
    part: Any = audit
    for key in filter(None, path.split(".")):
        part = part[key]
    return part


def _remedy(audit: Mapping[str, Any]) -> str:
    tool = audit.get("tool")
    version = tool.get("version") if isinstance(tool, Mapping) else None
    return f"Rebuild the report with the version that wrote the audit ({version or 'not recorded'})."


def _verdict(audit: Mapping[str, Any]) -> dict[str, str]:
    """Say in one sentence what was found, and in a second one how far that carries."""
    n_tokens = sum(token["is_suspicious"] for token in audit["tokens"])
    n_issues, n_rows = audit["row_summary"]["n_issues"], audit["row_summary"]["n_rows"]
    of_rows = f"{n_issues:,} of {n_rows:,} training rows"
    told = audit.get("verdict", "")
    if n_tokens:
        tokens = "1 token looks like a trigger" if n_tokens == 1 else f"{n_tokens:,} tokens look like triggers"
        verb = "contains" if n_issues == 1 else "contain"
        if told:  # the defense itself says what it verified, and what it did
            note = f"{told} Read the rows before you act on them."
            return {"kind": "alert", "title": f"{tokens}; {of_rows} were flagged.", "note": note}
        return {
            "kind": "alert",
            "title": f"{tokens}; {of_rows} {verb} one with the label that it goes with.",
            "note": "Suspicious is not proven: honest words that go with one label can look the same. "
            "Read the rows before you act on them.",
        }
    if n_issues:
        return {
            "kind": "alert",
            "title": f"{of_rows} were flagged for review, but no single token.",
            "note": f"{told} Suspicious is not proven. Read the rows before you act on them.".strip(),
        }
    if n_cut := sum("cut" in (token.get("evidence") or {}) for token in audit["tokens"]):
        phrases = "a phrase was" if n_cut == 1 else f"{n_cut} phrases were"
        return {
            "kind": "alert",
            "title": f"No row was flagged; {phrases} cut out of rows that were kept.",
            "note": told,
        }
    if any("withheld" in (token.get("evidence") or {}) for token in audit["tokens"]):
        return {
            "kind": "alert",
            "title": "No row was flagged; rows that only one label has were left out.",
            "note": told,
        }
    if told:
        return {"kind": "quiet", "title": "No row was flagged.", "note": told}
    if audit["tokens"] or audit["curves"]:
        return {
            "kind": "quiet",
            "title": "No token was flagged.",
            "note": "That does not show the data to be clean: a trigger that moves no single token much, such as a "
            "syntax or a style, can pass this search.",
        }
    name = audit["defense"]["name"]
    what = "plain fine-tuning" if name == "plain" else f"the defense {name} does not search for tokens"
    return {
        "kind": "none",
        "title": f"No detector was run ({what}).",
        "note": "Nothing was looked for, so this report says nothing on whether the data are poisoned.",
    }


def environment() -> Environment:
    """Make the environment of our pages: everything is escaped, a missing name is an error, no character is invisible."""
    environment = Environment(
        loader=PackageLoader("cleanfit.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_printable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (_bars, _drift, _grouped, _interval, _marked, _plain, _share, _shown)
    environment.filters.update({function.__name__.lstrip("_"): function for function in filters})
    return environment


def content_policy(template: Template) -> str:
    """Write the policy that allows exactly a page's own style and script: nothing else runs even if an escape were missed."""
    rules = ["default-src 'none'", "base-uri 'none'", "form-action 'none'"]
    for name in ("style", "script"):
        block = "".join(template.blocks[name](template.new_context()))
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        rules.append(f"{name}-src 'sha256-{digest}'")
    return "; ".join(rules)


def _printable(value: Any) -> Any:
    """Make whatever the template prints printable; autoescaping comes after this."""
    if isinstance(value, Markup):
        return value
    return "—" if value is None else visible(str(value))


def _shown(text: str) -> Markup:
    """Mark up a text of the data: set apart from its surroundings, with invisible characters as escapes."""
    return Markup("<bdi>{}</bdi>").format(_with_escapes(text))


def _with_escapes(text: str) -> Markup:
    if text.isascii() and text.isprintable():
        return escape(text)
    stretches = (
        Markup('<span class="esc">{}</span>').format(stretch) if is_escape else escape(stretch)
        for stretch, is_escape in split_invisible(text)
    )
    return Markup("").join(stretches)


def _marked(text: str, spans: Sequence[Sequence[int]]) -> Markup:
    """Mark up a text of the data with its spans [start, end) highlighted; overlapping spans become one."""
    merged: list[list[int]] = []
    for start, end in sorted((max(start, 0), min(end, len(text))) for start, end in spans):
        if merged and start < merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        elif start < end:
            merged.append([start, end])
    pieces, done = [], 0
    for start, end in merged:
        pieces += [_with_escapes(text[done:start]), Markup("<mark>{}</mark>").format(_with_escapes(text[start:end]))]
        done = end
    return Markup("<bdi>{}</bdi>").format(Markup("").join([*pieces, _with_escapes(text[done:])]))


def _bars(counts: Mapping[str, int], label_names: Sequence[str]) -> list[dict[str, Any]]:
    """Lay the counts per label out as a stacked bar of width 100, in the order of the labels."""
    names = [str(name) for name in label_names]
    names += [name for name in counts if name not in names]
    total, left, bars = sum(counts.values()) or 1, 0.0, []
    for index, name in enumerate(names):
        n = counts.get(name, 0)
        bars.append(
            {
                "label": name,
                "n": n,
                "left": f"{left:.1f}",
                "width": f"{100 * n / total:.1f}",
                "share": n / total,
                "color": index % N_LABEL_COLORS,
            }
        )
        left += 100 * n / total
    return bars


def _interval(share: float, n: int) -> str:
    """Give the 95 % Wilson interval of a share measured on `n` rows."""
    if not n:
        return ""
    center, spread = share + Z_95**2 / (2 * n), Z_95 * ((share * (1 - share) + Z_95**2 / (4 * n)) / n) ** 0.5
    low, high = ((center + sign * spread) / (1 + Z_95**2 / n) for sign in (-1, 1))
    return f"{100 * max(low, 0):.1f} to {100 * min(high, 1):.1f} %"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _drift(value: float) -> str:
    return f"{value:.4f}" if value >= 0.001 else f"{value:.2g}"


def _grouped(value: int) -> str:
    return f"{value:,}"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
