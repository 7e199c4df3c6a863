"""Draw a trajectory: scores and losses by step, and the maps of its hidden states; and what all our figures share."""

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from PIL import Image

from cleanfit.report.plots import ALERT, LINE, MUTED, ROUND_COLORS, shorten, visible
from cleanfit.trajectory.looks import Point
from cleanfit.trajectory.states import StateMaps

ACCURACY, ATTACK = ROUND_COLORS[0], ALERT
DPI, FONT_SIZE, LABEL_LENGTH = 110, 9.0, 24
N_MAPS, N_COLUMNS = 8, 4
N_COLORS = 64
Curve = tuple[str, Sequence[float | None], str, str]  # label, values, colour, dashes


def save_figure(path: Path, figure: Figure) -> None:
    """Write a figure as PNG of few colours, the same bytes for the same figure, to a temporary name and rename it."""
    drawing, temporary = io.BytesIO(), path.with_name(path.name + ".tmp")
    figure.savefig(drawing, format="png", dpi=DPI)
    # A palette makes a map of thousands of rows a third of the size, and nobody sees it.
    Image.open(drawing).convert("RGB").quantize(N_COLORS).save(temporary, format="png", optimize=True)
    temporary.replace(path)


def new_figure(width: float, height: float) -> Figure:
    """Give an empty white figure of a size in inches, its parts laid out without overlap."""
    with matplotlib.style.context("default"):
        return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def dress(axes: Axes, x_label: str, y_label: str) -> None:
    """Give axes the looks that all our figures have."""
    axes.set_xlabel(x_label, color=MUTED, fontsize=FONT_SIZE)
    axes.set_ylabel(y_label, color=MUTED, fontsize=FONT_SIZE)
    axes.tick_params(which="both", color=LINE, labelcolor=MUTED, labelsize=FONT_SIZE)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)


def draw_curves(axes: Axes, x: Sequence[float], curves: Sequence[Curve]) -> None:
    """Draw the curves that were measured, with a legend beside the axes, where it covers nothing."""
    for label, values, color, dashes in curves:
        known = [(place, value) for place, value in zip(x, values) if value is not None]
        if known:
            axes.plot(*zip(*known), dashes, color=color, marker="o", markersize=3, linewidth=1.5, label=label)
    axes.legend(
        loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, labelcolor=MUTED, fontsize=FONT_SIZE
    )  # one legend an axes, each entry taken from its own curve


def stage_figure(points: Sequence[Point]) -> Figure:
    """Draw clean accuracy and attack success by step on one axis, and below the losses of clean and poisoned rows.

    Args:
        points: two or more looks.

    Returns:
        The figure; a third row holds the Davies-Bouldin index, where states were kept. Steps are on a square-root scale,
        as looks are. Source: Moderate-fitting, NeurIPS 2022. OpenBackdoor's legend has clean and poisoned swapped.
    """
    has_states = any(point.davies_bouldin is not None for point in points)
    figure = new_figure(8.4, 6.6 if has_states else 5.0)
    panels = figure.subplots(3 if has_states else 2, 1, sharex=True, squeeze=False)[:, 0]
    steps = [point.step for point in points]
    scores: list[Curve] = [
        ("clean accuracy", [point.clean_accuracy for point in points], ACCURACY, "-"),
        ("attack success rate", [point.attack_success_rate for point in points], ATTACK, "-"),
        ("false-trigger rate", [point.false_trigger_rate for point in points], MUTED, ":"),
    ]
    losses: list[Curve] = [
        ("clean training rows", [point.clean_loss for point in points], ACCURACY, "-"),
        ("poisoned training rows", [point.poisoned_loss for point in points], ATTACK, "-"),
    ]
    if all(point.clean_loss is None and point.poisoned_loss is None for point in points):
        losses = [("all training rows", [point.train_loss for point in points], MUTED, "-")]
    draw_curves(panels[0], steps, scores)
    panels[0].set_ylim(-0.02, 1.04)
    dress(panels[0], "", "share of rows")
    draw_curves(panels[1], steps, losses)
    panels[1].set_ylim(bottom=0)
    dress(panels[1], "", "cross entropy (nats)")
    if has_states:
        indices = [point.davies_bouldin for point in points]
        draw_curves(panels[2], steps, [("poisoned against\nclean rows,\nlower = further apart", indices, MUTED, "-")])
        panels[2].set_ylim(bottom=0)
        dress(panels[2], "", "Davies-Bouldin index")
    _square_root_steps(panels[-1], steps)
    return figure


def state_figure(maps: StateMaps, label_names: Sequence[str]) -> Figure:
    """Draw the maps of up to eight looks side by side on the same axes.

    Args:
        maps: L looks at N rows.
        label_names: C class names.

    Returns:
        The figure. A clean row has the colour of its class; a poisoned row is a cross and nothing else. Source:
        OpenBackdoor's visualization, which also draws poisoned rows in the colours of other classes.
    """
    chosen = sorted({*np.linspace(0, len(maps.steps) - 1, min(N_MAPS, len(maps.steps))).round().astype(int).tolist()})
    n_rows = -(-len(chosen) // N_COLUMNS)
    figure = new_figure(9.6, 2.25 * n_rows + 0.3)
    grid = figure.subplots(n_rows, N_COLUMNS, sharex=True, sharey=True, squeeze=False)
    groups = _groups(maps, label_names)
    for place, axes in enumerate(grid.flat):
        if place >= len(chosen):
            axes.set_visible(False)
            continue
        xy = maps.points[chosen[place]]
        for label, mask, color, marker in groups:
            axes.scatter(*xy[mask].T, s=7, linewidths=0.7, color=color, marker=marker, alpha=0.7, label=label)
        axes.set_title(f"step {maps.steps[chosen[place]]}", color=MUTED, fontsize=FONT_SIZE)
        axes.tick_params(labelbottom=False, labelleft=False, length=0)
        axes.spines[:].set_color(LINE)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside right center", frameon=False, labelcolor=MUTED, fontsize=FONT_SIZE, markerscale=2
    )
    for entry in legend.get_texts():
        entry.set_parse_math(False)
    return figure


def _groups(maps: StateMaps, label_names: Sequence[str]) -> list[tuple[str, np.ndarray, str, str]]:
    """Part the rows for drawing, each row into one group: (label, mask (N,), colour, marker), poisoned rows last."""
    is_poisoned = np.zeros(len(maps.labels), dtype=bool) if maps.is_poisoned is None else maps.is_poisoned
    colors = _class_colors(len(label_names))
    groups = [
        (shorten(visible(name), LABEL_LENGTH), (maps.labels == label) & ~is_poisoned, colors[label], "o")
        for label, name in enumerate(label_names)
    ]
    groups.append(("poisoned", is_poisoned, ATTACK, "x"))
    return [group for group in groups if group[1].any()]


def _class_colors(n_classes: int) -> list[str]:
    if n_classes <= len(ROUND_COLORS):
        return list(ROUND_COLORS[:n_classes])
    shades = matplotlib.colormaps["viridis"](np.linspace(0, 1, n_classes))
    return [matplotlib.colors.to_hex(shade) for shade in shades]


def _square_root_steps(axes: Axes, steps: Sequence[int]) -> None:
    """Put steps on a square-root scale: the early ones, where most happens, get room."""
    axes.set_xscale("function", functions=(lambda x: np.sqrt(np.maximum(x, 0)), np.square))
    axes.set_xlim(0, steps[-1] * 1.02)
    axes.set_xticks(np.unique((steps[-1] * np.linspace(0, 1, 7) ** 2).round()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("optimizer step (square-root scale)", color=MUTED, fontsize=FONT_SIZE)


def few_ticks(axes: Axes) -> None:
    """Let a y axis have whole numbers only, and few of them."""
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))
