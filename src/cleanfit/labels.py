"""Turn the labels that a source holds into written labels, and decide which of them are classes."""

import math
import numbers
import re
from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from cleanfit.readers import encodes, listed, shown

# One row to train on and one to hold out.
MIN_ROWS_PER_CLASS = 2
# 18 digits always fit into the 64-bit integers that other readers turn them into.
INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


def type_name(value: object) -> str:
    """Name a cell's type as someone who sees the file, not the program, would."""
    if isinstance(value, (bool, np.bool_)):
        return "true or false"
    if isinstance(value, numbers.Number):
        return "a number"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "a list"
    return "an object" if isinstance(value, dict) else f"a {type(value).__name__}"


def written_labels(cells: Sequence[Any], classes: Sequence[str] | None, bad: dict[int, str]) -> list[str]:
    """Write each label as text, ``""`` where it has none; integers canonically if all usable labels are integers."""
    written = []
    for row, cell in enumerate(cells):
        label, reason = (cell.strip(), "") if isinstance(cell, str) else _label_of(cell, classes)
        if not label or not encodes(label):
            bad.setdefault(row, reason or ("lone surrogate in the label" if label else "no label"))
        written.append(label)
    usable = {label for row, label in enumerate(written) if row not in bad}
    if classes is None and all(INTEGER.fullmatch(label) for label in usable):
        canonical = {label: str(int(label)) for label in usable}
        return [canonical.get(label, label) for label in written]
    return written


def _label_of(cell: object, classes: Sequence[str] | None) -> tuple[str, str]:
    """Write a label that is not a string as text; return ``""`` and a reason if it cannot be one."""
    if cell is None:
        return "", "no label"
    if classes is not None and isinstance(cell, int):
        # datasets writes -1 for rows without a label, in the test parts of public benchmarks for instance.
        return (classes[cell], "") if 0 <= cell < len(classes) else ("", "no label")
    if isinstance(cell, (bool, np.bool_)):
        return str(bool(cell)), ""
    if isinstance(cell, numbers.Integral):
        return str(int(cell)), ""
    if isinstance(cell, (numbers.Real, Decimal)):
        value = float(cell)
        if math.isnan(value):
            return "", "no label"
        return (str(int(value)), "") if value.is_integer() else ("", "label is a fraction")
    return "", f"label is {type_name(cell)}"


def find_classes(written: Sequence[str], declared: Sequence[str] | None, bad: dict[int, str]) -> tuple[str, ...]:
    """Return the labels with enough rows in their order, and mark the rows of the others as bad."""
    counts = Counter(label for row, label in enumerate(written) if row not in bad)
    rare = {label for label, count in counts.items() if count < MIN_ROWS_PER_CLASS}
    if rare:
        for row, label in enumerate(written):
            if label in rare:
                noun = "row" if counts[label] == 1 else "rows"
                bad.setdefault(row, f"only {counts[label]} {noun} of class {shown(label)}")
    kept = counts.keys() - rare
    if declared is not None:
        return tuple(label for label in declared if label in kept)
    if all(INTEGER.fullmatch(label) for label in kept):
        return tuple(sorted(kept, key=int))
    return tuple(sorted(kept))


def match_classes(written: list[str], names: Sequence[str], bad: dict[int, str]) -> None:
    """Mark the rows whose label is not among `names` as bad; a written ``01`` becomes ``1`` if only that is known."""
    known = set(names)
    for row, label in enumerate(written):
        if label in known or row in bad:
            continue
        canonical = str(int(label)) if INTEGER.fullmatch(label) else label
        if canonical in known:
            written[row] = canonical
        else:
            bad[row] = f"label {shown(label)} is not one of the training data's labels [{listed(names)}]"
