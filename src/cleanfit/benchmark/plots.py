"""Attack success against clean accuracy as an inline SVG, one panel per attack."""

import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cleanfit.metrics import pareto_front
from cleanfit.report.plots import ALERT, FONT_SIZE, LINE, MUTED, ROUND_COLORS, STYLE, page_svg, shorten, visible

N_COLUMNS = 3
WIDTH_INCHES, PANEL_INCHES = 10.4, 3.2
LABEL_LENGTH = 40  # characters
GRAIN = 0.025  # of an axis: points that are nearer share one label
TITLE = "Attack success rate against clean accuracy, one panel per attack; right and low is good"


@dataclass(frozen=True)
class Mark:
    """A point of a panel: its number in the key, clean accuracy, attack success rate, whether it is a control."""

    number: int
    accuracy: float
    attack_success: float
    is_control: bool


def pareto_svg(panels: Mapping[str, Sequence[Mark]], salt: str) -> str:
    """Draw attack success against clean accuracy; the defenses that no other beats are joined by a line.

    Args:
        panels: attack -> its marks, at least one each.
        salt: makes the ids in this drawing differ from those of others on the page.

    Returns:
        An ``<svg>`` element without styles or scripts, the same for the same marks. Controls are hollow and not on the
        front: the oracle is no defense, and it would beat them all.
    """
    n_rows = -(-len(panels) // N_COLUMNS)
    accuracies = [mark.accuracy for marks in panels.values() for mark in marks]
    margin = max(0.1 * (max(accuracies) - min(accuracies)), 0.01)
    labels: dict[str, str] = {}
    with matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": salt}]):
        figure = Figure(figsize=(WIDTH_INCHES, PANEL_INCHES * n_rows), dpi=72)
        figure.subplots_adjust(0.065, 0.15 / n_rows, 0.99, 1 - 0.08 / n_rows, wspace=0.3, hspace=0.35)
        for index, (attack, marks) in enumerate(panels.items()):
            axes = figure.add_subplot(n_rows, N_COLUMNS, index + 1)
            axes.set_xlim(min(accuracies) - margin, max(accuracies) + margin)
            axes.set_ylim(-0.04, 1.1)
            _draw(axes, marks)
            # A placeholder: matplotlib would take some texts for formulas.
            labels[f"attack {index}"] = shorten(visible(attack), LABEL_LENGTH)
            axes.set_title(f"attack {index}", color=MUTED, fontsize=FONT_SIZE, loc="left")
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return page_svg(drawing.getvalue(), labels, TITLE)


def _draw(axes: Axes, marks: Sequence[Mark]) -> None:
    defenses = [(mark.accuracy, mark.attack_success) for mark in marks if not mark.is_control]
    front = [defenses[place] for place in pareto_front(defenses)]
    if front:
        axes.plot(*zip(*front), "-", color=ALERT, linewidth=0.9)
    for mark in marks:
        color, fill = (MUTED, "none") if mark.is_control else (ROUND_COLORS[0], ROUND_COLORS[0])
        axes.plot(
            [mark.accuracy],
            [mark.attack_success],
            "o",
            color=color,
            markerfacecolor=fill,
            markersize=5.5,
        )
    for (accuracy, attack_success), numbers in _together(axes, marks).items():
        text = ", ".join(map(str, sorted(numbers)))
        axes.annotate(
            text,
            (accuracy, attack_success),
            xytext=(0, 6),
            textcoords="offset points",
            ha="center",
            color=MUTED,
            fontsize=FONT_SIZE,
        )
    axes.set_xlabel("clean accuracy", color=MUTED, fontsize=FONT_SIZE)
    axes.set_ylabel("attack success rate", color=MUTED, fontsize=FONT_SIZE)
    axes.tick_params(which="both", color=LINE, labelcolor=MUTED, labelsize=FONT_SIZE)
    axes.locator_params(axis="x", nbins=4)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)


def _together(axes: Axes, marks: Sequence[Mark]) -> dict[tuple[float, float], list[int]]:
    """Take marks that lie on each other together, so that their numbers do not: place of a label -> its numbers."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    near: dict[tuple[float, float], list[int]] = defaultdict(list)
    for mark in marks:

        def is_near(place: tuple[float, float], mark: Mark = mark) -> bool:
            apart = abs(place[0] - mark.accuracy) / (right - left), abs(place[1] - mark.attack_success) / (high - low)
            return apart[0] < 4 * GRAIN and apart[1] < 2 * GRAIN

        place = next(filter(is_near, near), (mark.accuracy, mark.attack_success))
        near[place].append(mark.number)
    return near
