"""The drift ranking as an inline SVG, and the escapes that make any data set text safe to print in it."""

import io
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree import ElementTree

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

# Each colour is a CSS variable of the page, so that one drawing serves the light and the dark scheme; the mid-tones are
# for a viewer that knows no variables.
PAGE_COLORS = {
    "#66707f": "var(--muted, #66707f)",
    "#c9cfd6": "var(--line, #c9cfd6)",
    "#c2461f": "var(--alert, #c2461f)",
    "#2f6f9f": "var(--round-0, #2f6f9f)",
    "#6d8a3c": "var(--round-1, #6d8a3c)",
    "#8566a8": "var(--round-2, #8566a8)",
    "#4a9a94": "var(--round-3, #4a9a94)",
}
MUTED, LINE, ALERT, *ROUND_COLORS = PAGE_COLORS
DASHES = ("-", "--", "-.", ":")  # a second sign beside the colour, for print and for readers who see few colours
STYLE = {"svg.fonttype": "none", "svg.hashsalt": "cleanfit", "path.simplify": False}
SIZE_INCHES = (10.4, 4.3)
TITLE = "Drift of each vocabulary entry against its rank, one line per round"
N_LABELS = 10
LABEL_LENGTH = 18  # characters
FONT_SIZE = 9.0  # points
# Code points that Python calls printable and that still leave no ink: joiners, fillers, variation selectors.
INVISIBLE = {0x034F, 0x115F, 0x1160, 0x3164, 0xFFA0, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
NAMED_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}

Box = tuple[float, float, float, float]
Point = tuple[float, float]


def split_invisible(text: str) -> Iterator[tuple[str, bool]]:
    """Split a text into stretches that print as they are and escapes for the characters that do not.

    Args:
        text: any string, with control characters, reordering marks and lone surrogates.

    Returns:
        Pairs (stretch, is_escape); joined, they are the text with its invisible characters written as ``\\u202e``.
    """
    start = 0
    for end, character in enumerate(text):
        if not character.isprintable() or ord(character) in INVISIBLE:
            if end > start:
                yield text[start:end], False
            yield _escape(character), True
            start = end + 1
    if start < len(text):
        yield text[start:], False


def visible(text: str) -> str:
    """Write control characters, reordering marks and lone surrogates of a text as escapes; the rest stays."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(stretch for stretch, _ in split_invisible(text))


def shorten(text: str, length: int) -> str:
    """Cut a text to at most `length` characters, the last one an ellipsis if something was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def round_names(audit: Mapping[str, Any]) -> list[str]:
    """List the rounds of an audit: those with a curve first, then those that only tokens name."""
    names = dict.fromkeys(audit["curves"])
    for token in audit["tokens"]:
        names.update(dict.fromkeys([*token["ranks"], *token["drifts"]]))
    return list(names)


def round_title(name: str) -> str:
    """Write a round's name for people: ``round1`` becomes ``Round 1``, any other name stays."""
    number = name.removeprefix("round")
    return f"Round {number}" if number.isdecimal() and number != name else name


def drift_ranking_svg(audit: Mapping[str, Any]) -> str:
    """Draw drift against rank, one line per round, with the suspicious tokens marked and the first of them named.

    Args:
        audit: the audit, schema version 1; ``curves`` and ``tokens`` are read.

    Returns:
        An ``<svg>`` element without styles or scripts, the same for the same audit; empty if there is nothing to draw.
    """
    curves = {name: [(rank, drift) for rank, drift in points if drift > 0] for name, points in audit["curves"].items()}
    # Rounds differ in learning rate and steps, so each is drawn as a share of its own largest drift.
    tops = {name: max(drift for _, drift in points) for name, points in curves.items() if points}
    curves = {name: [(rank, drift / top) for rank, drift in curves[name]] for name, top in tops.items()}
    if not curves:
        return ""
    labels: dict[str, str] = {}
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=SIZE_INCHES, dpi=72)
        axes = figure.add_axes((0.065, 0.125, 0.925, 0.855))
        _draw_curves(axes, curves, labels)
        _mark_tokens(axes, [token for token in audit["tokens"] if token["is_suspicious"]], tops, labels)
        drawing = io.StringIO()
        figure.savefig(drawing, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return page_svg(drawing.getvalue(), labels, TITLE)


def _escape(character: str) -> str:
    code = ord(character)
    if character in NAMED_ESCAPES:
        return NAMED_ESCAPES[character]
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _draw_curves(axes: Axes, curves: Mapping[str, Sequence[Point]], labels: dict[str, str]) -> None:
    last_rank = max(rank for points in curves.values() for rank, _ in points)
    axes.set_xscale("log")
    axes.set_xlim(0.8, max(last_rank, 10) * 1.3)
    axes.set_ylim(0, 1.12)
    for index, (name, points) in enumerate(curves.items()):
        placeholder = f"curve {index}"
        labels[placeholder] = shorten(visible(round_title(name)), LABEL_LENGTH)
        color, dashes = ROUND_COLORS[index % len(ROUND_COLORS)], DASHES[index % len(DASHES)]
        ranks, drifts = zip(*points, strict=True)
        axes.plot(ranks, drifts, color=color, linestyle=dashes, linewidth=1.6, label=placeholder)
    axes.set_xlabel("rank among the vocabulary (1 = moved furthest)", color=MUTED, fontsize=FONT_SIZE)
    axes.set_ylabel("drift, as a share of the round's largest", color=MUTED, fontsize=FONT_SIZE)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", color=LINE, labelcolor=MUTED, labelsize=FONT_SIZE)
    axes.grid(axis="y", color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)


def _mark_tokens(
    axes: Axes, tokens: Sequence[Mapping[str, Any]], tops: Mapping[str, float], labels: dict[str, str]
) -> None:
    marks: list[Point] = []
    named: list[tuple[Point, str]] = []
    for token in tokens:
        ranks, drifts = token["ranks"], token["drifts"]
        points = [
            (ranks[name], drifts[name] / top) for name, top in tops.items() if drifts.get(name, 0) > 0 and name in ranks
        ]
        marks += points
        if points:
            named.append((max(points, key=lambda point: point[1]), token["text"]))
    if marks:
        axes.plot(
            *zip(*marks, strict=True),
            linestyle="",
            marker="o",
            markersize=6,
            markerfacecolor="none",
            markeredgecolor=ALERT,
            markeredgewidth=1.5,
            label="suspicious token",
        )
    # From the right: each further label then lies above the ones before it, and their leaders do not cross.
    named = sorted(named[:N_LABELS], reverse=True)
    placed: list[Box] = [_box(axes, mark, 9) for mark in marks]
    # The corner of the legend, which is drawn last.
    placed.append((SIZE_INCHES[0] * 72 - 130, SIZE_INCHES[1] * 72 - 25 - 15 * len(tops), 1e4, 1e4))
    for index, (point, text) in enumerate(named):
        placeholder = f"token {index}"
        labels[placeholder] = shorten(visible(text), LABEL_LENGTH)
        offset = _place(axes, point, labels[placeholder], placed)
        axes.annotate(
            placeholder,
            point,
            xytext=offset,
            textcoords="offset points",
            va="center",
            fontsize=FONT_SIZE,
            color=ALERT,
            parse_math=False,
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": ALERT, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 4},
        )
    legend = axes.legend(loc="upper right", frameon=False, labelcolor=MUTED, fontsize=FONT_SIZE, handlelength=2.6)
    for entry in legend.get_texts():
        entry.set_parse_math(False)


def _place(axes: Axes, point: Point, text: str, placed: list[Box]) -> Point:
    """Choose the offset in points for a label, the nearest one up and to the right that covers nothing yet."""
    x, y = axes.transData.transform(point)
    top = SIZE_INCHES[1] * 72 - 8
    width = sum(1.0 if unicodedata.east_asian_width(c) in "WF" else 0.62 for c in text) * FONT_SIZE
    near = [box for box in placed if box[2] > x and box[0] < x + 120 + width]
    offsets = [(9.0 + 10 * right, 2.0 + 6 * up) for right in range(12) for up in range(20)]
    for dx, dy in sorted(offsets, key=lambda offset: offset[0] + 1.3 * abs(offset[1])):
        box = (x + dx - 2, y + dy - 6, x + dx + width + 2, y + dy + 6)
        if box[3] < top and not any(_overlap(box, other) for other in near):
            placed.append(box)
            return dx, dy
    return 9.0, 2.0


def _box(axes: Axes, point: Point, size: float) -> Box:
    x, y = axes.transData.transform(point)
    return x - size / 2, y - size / 2, x + size / 2, y + size / 2


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def page_svg(drawing: str, labels: Mapping[str, str], title: str) -> str:
    """Turn matplotlib's SVG into an element for the page.

    Styles become attributes, because the page's policy forbids inline styles; texts take the page's font; and the
    placeholders become the real texts only here, so that matplotlib never lays out text from the data.

    Args:
        drawing: SVG as matplotlib writes it.
        labels: placeholder in the drawing -> the text to show.
        title: what the drawing shows, for those who do not see it.

    Returns:
        An ``<svg>`` element without styles or scripts.
    """
    root = ElementTree.fromstring(drawing)  # noqa: S314 - matplotlib wrote it a moment ago
    for parent in root.iter():
        for child in list(parent):
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        attributes = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        styles = attributes.pop("style", "")
        for declaration in filter(None, styles.split(";")):
            key, _, value = declaration.partition(":")
            if key.strip() not in {"font", "font-family"}:
                attributes[key.strip()] = PAGE_COLORS.get(value.strip(), value.strip())
        if element.tag == "g":
            attributes.pop("id", None)
        element.attrib.clear()
        element.attrib.update(attributes)
        if element.text is not None:
            element.text = labels.get(element.text, element.text)
    for size in ("width", "height"):
        del root.attrib[size]
    root.attrib.update(
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "role": "img",
            "stroke-linejoin": "round",
            "aria-label": title,
        }
    )
    return ElementTree.tostring(root, encoding="unicode")
