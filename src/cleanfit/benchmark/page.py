"""The lines of a benchmark as one self-contained HTML page, in the look of the audit report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from cleanfit.benchmark import wording
from cleanfit.benchmark.plots import Mark, pareto_svg
from cleanfit.benchmark.summary import Line, Summary
from cleanfit.report.html import content_policy, environment

TEMPLATE = "benchmark.html.j2"
N_SHADES = 10  # the page's CSS has as many and one for 0


@dataclass(frozen=True)
class Column:
    """A defense as the heat map and the drawing call it: number in the key, label with what sets it apart, is it a control."""

    number: int
    label: str
    is_control: bool


@dataclass(frozen=True)
class Panel:
    """One table's heat map, attack by defense, and its drawing.

    Args:
        title: of the table.
        measured: on how many seeds and rows, with which settings.
        columns: D defenses, controls first.
        rows: attack -> D lines, None where a combination was not measured.
        plot: accuracy against attack success.
    """

    title: str
    measured: str
    columns: Sequence[Column]
    rows: Mapping[str, Sequence[Line | None]]
    plot: Markup


def render(summary: Summary) -> str:
    """Render the lines as a self-contained HTML page.

    Args:
        summary: of `cleanfit.benchmark.summary.summarize`; its texts may be hostile.

    Returns:
        The page; the same summary gives the same page.
    """
    pages = environment()
    filters = (wording.change, wording.failed, wording.memory, wording.needs, wording.seed_mean, wording.seeds)
    pages.filters.update({function.__name__: function for function in filters})
    pages.filters.update(figure=wording.share, percent=_percent, shade=_shade)
    template = pages.get_template(TEMPLATE)
    tables = wording.tables(summary.lines)
    return template.render(
        summary=summary,
        policy=content_policy(template),
        lines=list(zip(summary.lines, wording.varying(summary.lines))),
        panels=[_panel(index, lines) for index, lines in enumerate(tables) if lines[0].rate],
        sizes=[
            (wording.title(lines[0]), f"{wording.size(lines)}. Settings: {wording.common(lines)}.") for lines in tables
        ],
        provenance=wording.provenance(summary.measured),
        options=wording.options(summary.lines),
        how_to_read=wording.HOW_TO_READ,
    )


def _panel(index: int, lines: Sequence[Line]) -> Panel:
    labels = [f"{line.defense}, {told}" if told else line.defense for line, told in zip(lines, wording.varying(lines))]
    # By control first, then as the lines come.
    named = {label: line.control is not None for label, line in zip(labels, lines)}
    ordered = sorted(named, key=lambda label: not named[label])
    columns = [Column(number, label, named[label]) for number, label in enumerate(ordered, start=1)]
    found = {(line.attack or "none", label): line for line, label in zip(lines, labels)}
    attacks = list(dict.fromkeys(attack for attack, _ in found))
    rows = {attack: [found.get((attack, column.label)) for column in columns] for attack in attacks}
    marks = {
        attack: [
            Mark(column.number, line.clean_accuracy.mean, line.attack_success_rate.mean, column.is_control)
            for column, line in zip(columns, row)
            if line is not None and line.attack_success_rate is not None
        ]
        for attack, row in rows.items()
    }
    marks = {attack: points for attack, points in marks.items() if points}
    plot = Markup(pareto_svg(marks, f"cleanfit {index}")) if marks else Markup("")  # noqa: S704 - an XML writer escaped it
    return Panel(wording.title(lines[0]), wording.size(lines), columns, rows, plot)


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def _shade(value: float) -> int:
    return min(max(round(N_SHADES * value), 0), N_SHADES)
