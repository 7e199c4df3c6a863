"""Draw studies: scores by poison rate, a heat map of a sweep, and its Pareto front."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from cleanfit.report.plots import LINE, MUTED
from cleanfit.trajectory.cells import Cell
from cleanfit.trajectory.plots import ACCURACY, ATTACK, FONT_SIZE, draw_curves, dress, few_ticks, new_figure

N_NAMED = 12


def rate_figure(cells: Sequence[Cell]) -> Figure:
    """Draw the scores after the last step by poison rate, and below when half of accuracy and of attack success came.

    Args:
        cells: of a study of poison rates, ascending.

    Returns:
        The figure. Two stages show below as a gap between the curves.
    """
    figure = new_figure(8.4, 5.0)
    above, below = figure.subplots(2, 1, sharex=True)
    rates = [100 * cell.over["effective_rate"] for cell in cells]
    lasts = [cell.summary.last for cell in cells]
    draw_curves(
        above,
        rates,
        [
            ("clean accuracy", [last.clean_accuracy for last in lasts], ACCURACY, "-"),
            ("attack success rate", [last.attack_success_rate for last in lasts], ATTACK, "-"),
            ("false-trigger rate", [last.false_trigger_rate for last in lasts], MUTED, ":"),
        ],
    )
    above.set_ylim(-0.02, 1.04)
    dress(above, "", "share of rows, last step")
    draw_curves(
        below,
        rates,
        [
            ("half of the way of\nclean accuracy", [cell.summary.accuracy_half_step for cell in cells], ACCURACY, "-"),
            ("half of the way of\nnet attack success", [cell.summary.attack_half_step for cell in cells], ATTACK, "-"),
        ],
    )
    below.set_ylim(bottom=0)
    few_ticks(below)
    dress(below, "poisoned rows, % of all training rows", "optimizer step")
    below.set_xticks(rates)
    below.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    return figure


def heat_figure(cells: Sequence[Cell]) -> Figure:
    """Draw accuracy and attack success after the last step as two heat maps.

    Args:
        cells: of a sweep; the first setting swept over runs to the right, combinations of the others downwards.

    Returns:
        The figure; both maps run from 0 to 1.
    """
    first, *others = cells[0].over
    columns = list(dict.fromkeys(cell.over[first] for cell in cells))
    rows = list(dict.fromkeys(_named(cell.over, others) for cell in cells))
    values = np.full((2, len(rows), len(columns)), np.nan)
    for cell in cells:
        place = rows.index(_named(cell.over, others)), columns.index(cell.over[first])
        last = cell.summary.last
        values[(slice(None), *place)] = last.clean_accuracy, last.attack_success_rate
    figure = new_figure(2.8 + 1.3 * len(columns), 1.3 + 0.42 * len(rows))
    for axes, grid, title, colors in zip(
        figure.subplots(1, 2, sharey=True), values, ("clean accuracy", "attack success rate"), ("Blues", "Oranges")
    ):
        axes.imshow(grid, cmap=colors, vmin=0, vmax=1, aspect="auto")
        axes.set_title(title, color=MUTED, fontsize=FONT_SIZE)
        axes.set_xticks(range(len(columns)), [_short(column) for column in columns])
        axes.set_yticks(range(len(rows)), rows)
        axes.set_xlabel(first, color=MUTED, fontsize=FONT_SIZE)
        axes.tick_params(length=0, labelcolor=MUTED, labelsize=FONT_SIZE)
        axes.spines[:].set_color(LINE)
        _write_values(axes, grid)
    return figure


def pareto_figure(cells: Sequence[Cell], front: Sequence[int]) -> Figure:
    """Draw attack success against accuracy after the last step, the front as a line, its settings in a list beside it.

    Args:
        cells: of a sweep.
        front: numbers of the cells on the front, by falling accuracy.

    Returns:
        The figure; right and low is good.
    """
    figure = new_figure(8.4, 4.2)
    axes = figure.subplots()
    scores = [(cell.summary.last.clean_accuracy, cell.summary.last.attack_success_rate or 0.0) for cell in cells]
    rest = [score for place, score in enumerate(scores) if place not in front]
    if rest:
        axes.plot(*zip(*rest), "o", color=LINE, markeredgecolor=MUTED, markersize=5, label="beaten by another")
    best = [scores[place] for place in front]
    axes.plot(*zip(*best), "-", color=ATTACK, linewidth=0.8)
    for number, place in enumerate(front[:N_NAMED], start=1):
        label = f"{number}: {_named(cells[place].over, list(cells[place].over))}"
        axes.plot(*scores[place], "o", color=ATTACK, markersize=7, label=label)
        axes.annotate(
            str(number), scores[place], xytext=(6, 5), textcoords="offset points", color=ATTACK, fontsize=FONT_SIZE
        )
    axes.set_ylim(-0.02, 1.05)
    dress(axes, "clean accuracy", "attack success rate")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, labelcolor=MUTED, fontsize=FONT_SIZE)
    return figure


def _write_values(axes: Axes, grid: np.ndarray) -> None:
    for (row, column), value in np.ndenumerate(grid):
        if not np.isnan(value):
            color = "white" if value > 0.6 else "black"
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=color, fontsize=FONT_SIZE)


def _named(over: Mapping[str, Any], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={_short(over[name])}" for name in names)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
