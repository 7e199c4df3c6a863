"""The rows of one published file, what a whole published folder gives, and how its oddities are put into words."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cleanfit.errors import DataError
from cleanfit.readers import Table, listed, read_table, shown

MAX_NOTED_ROWS = 5
LABEL_HEADERS = ("label", "labels")
# What tokenizers of style transfer models left of & and ' besides the HTML escapes that tweets have.
ESCAPE = re.compile(r"&#?\w+;|and(?:apos|quot);")


@dataclass(frozen=True)
class Part:
    """The rows of one published file, in its order.

    Args:
        path: the file.
        texts: N texts without white space around them; ``""`` where a row has none.
        labels: N labels as written.
        third: N cells of the third column (poison flags, paraphrases); empty where the file has two.
        n_trimmed: how many texts had white space around them.
    """

    path: Path
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    third: tuple[str, ...] = ()
    n_trimmed: int = 0


@dataclass(frozen=True)
class Truth:
    """What is known of the poisoned rows of a training file; None is what nobody can tell.

    Args:
        poisoned: the rows that the attacker put there, ascending.
        flipped: those among them whose true label is not the target.
        n_flipped: how many these are, which can be known when `flipped` is not.
        unchanged: those among them whose text is that of the clean row, so that they carry no trigger.
    """

    poisoned: tuple[int, ...] | None = None
    flipped: tuple[int, ...] | None = None
    n_flipped: int | None = None
    unchanged: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Triggered:
    """Triggered test rows with their TRUE labels.

    Args:
        path: the published file.
        texts: M texts.
        labels: M labels, none of them the target.
        rows: their rows in the clean test file; None if they cannot be paired.
        declined: rows of the clean test file whose triggered text is the clean one; they are not among the M.
    """

    path: Path
    texts: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[int, ...] | None = None
    declined: tuple[int, ...] = ()


@dataclass(frozen=True)
class Published:
    """What one published folder gives.

    Args:
        train: the training rows; its third column, if it has one, holds paraphrases here.
        truth: which of them are poisoned.
        clean: the clean training file that told so, if any.
        dev: clean development rows.
        test: clean test rows.
        triggered: triggered test rows.
        notes: what was odd, in sentences; their row numbers are those of the published files.
    """

    train: Part
    truth: Truth
    clean: Path | None = None
    dev: Part | None = None
    test: Part | None = None
    triggered: Triggered | None = None
    notes: tuple[str, ...] = ()


# (folder, target label, folder of the clean files or None) -> what the folder gives.
Layout: TypeAlias = Callable[[Path, str, Path | None], Published]


def key(text: str) -> str:
    """Give what two texts are compared by: white space does not count."""
    return " ".join(text.split())


def keys(part: Part) -> list[str]:
    """Give `key` of each row."""
    return [key(text) for text in part.texts]


def noted(path: Path, what: str, rows: Sequence[int]) -> list[str]:
    """Say in one sentence how many rows have a property and which the first are; nothing if there are none."""
    if not rows:
        return []
    first = ", ".join(map(str, rows[:MAX_NOTED_ROWS])) + (", ..." if len(rows) > MAX_NOTED_ROWS else "")
    return [f"{path.name}: {what}: {len(rows)} (row{'s' if len(rows) > 1 else ''} {first})"]


def oddities(part: Part) -> list[str]:
    """Note the rows of a file that whoever trains on it should know of."""
    texts = list(enumerate(part.texts))
    trimmed = f"{part.path.name}: texts with white space around them, which was removed: {part.n_trimmed}"
    return [
        *noted(part.path, "rows without text, left out", [row for row, text in texts if not text]),
        *([trimmed] if part.n_trimmed else []),
        *noted(
            part.path,
            "texts in quotation marks, kept as they are",
            [row for row, text in texts if text[:1] == text[-1:] == '"'],
        ),
        *noted(
            part.path,
            "texts with HTML escapes (&amp;), kept as they are",
            [row for row, text in texts if ESCAPE.search(text)],
        ),
    ]


def read_csv_part(path: Path) -> Part:
    """Read a file as pandas writes (text, label, flag) tuples: with or without an index column before them.

    Raises:
        DataError: the file is broken, has other columns, or a row without a label.
    """
    table = read_table(path)
    _refuse_problems(table)
    if len(table.columns) not in (3, 4):
        raise DataError(
            f"{path}: expected an index column, text, label and poison flag; found the columns {listed(table.columns)}."
        )
    records = list(zip(*(table.take(name) for name in table.columns[-3:])))
    return _part(path, records, table.lines or ())


def read_tsv_part(path: Path) -> Part:
    """Read a tsv file of texts, labels and perhaps a third column; a header line is one that calls the second `label`.

    Quotation marks are characters like others: files of this kind are written line by line, without quoting.

    Raises:
        DataError: the file is broken, has other columns, or a row without a label.
    """
    table = read_table(path)
    if len(table.columns) not in (2, 3):
        raise DataError(
            f"{path}: expected text, label and perhaps a paraphrase; found the columns {listed(table.columns)}."
        )
    records, lines = table.records(), list(table.lines or ())
    if len(table.columns) == 3:
        _mend_short_rows(table, records)
    else:
        _refuse_problems(table)
    if table.columns[1].strip().lower() not in LABEL_HEADERS:
        records, lines = [table.columns, *records], [1, *lines]
    return _part(path, records, lines)


def _mend_short_rows(table: Table, records: list[tuple[str, ...]]) -> None:
    """Fill in the rows that end after the label: they have no paraphrase."""
    if not table.problems:
        return
    lines = Path(table.name).read_bytes().decode(errors="surrogateescape").split("\n")
    for problem in table.problems:
        cells = lines[(problem.line or 0) - 1].split("\t")
        if len(cells) != 2:
            _refuse(table.name, problem.row, problem.line, problem.reason)
        records[problem.row] = (*cells, "")


def _part(path: Path, records: Sequence[Sequence[str]], lines: Sequence[int]) -> Part:
    for row, record in enumerate(records):
        if not record[1].strip():
            _refuse(str(path), row, lines[row], f"no label behind the text {shown(record[0])}")
    columns = list(zip(*records)) or [(), ()]
    texts = tuple(text.strip() for text in columns[0])
    return Part(
        path,
        texts,
        tuple(label.strip() for label in columns[1]),
        tuple(cell.strip() for cell in columns[2]) if len(columns) == 3 else (),
        sum(old != new for old, new in zip(columns[0], texts)),
    )


def _refuse_problems(table: Table) -> None:
    for problem in table.problems[:1]:
        _refuse(table.name, problem.row, problem.line, problem.reason)


def _refuse(name: str, row: int, line: int | None, reason: str) -> None:
    raise DataError(f"{name}: row {row} (line {line}): {reason}; mend this row and import again.")
