"""Turn files and in-memory tables into raw rows; judges no text and no label."""

import csv
import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cleanfit.errors import DataError
from cleanfit.writers import ACCEPTED, kind_of, listed, require_unique, shown, write_table

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

    Source: TypeAlias = str | Path | Dataset | DataFrame

__all__ = ["RowProblem", "Table", "encodes", "listed", "open_source", "read_table", "shown", "write_table"]

UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True)
class RowProblem:
    """One row that cannot be used.

    Args:
        row: zero-based among the data rows, as pandas and datasets count (blank lines are no rows).
        line: one-based line where the row starts in a text file; None for any other source.
        reason: what is wrong, in words.
    """

    row: int
    line: int | None
    reason: str


@dataclass(frozen=True)
class Table:
    """Any source, opened; columns are taken out of it one by one, so that unused ones cost little.

    Args:
        name: the path as given, or ``"in memory"``.
        columns: the C column names, unique.
        n_rows: N.
        take: column name -> its N cells; None where a cell is missing, and in rows named in `problems`.
        lines: the line where each row starts, length N; None for anything but text files.
        problems: rows that have no C readable cells, in row order.
        sha256: of the file's bytes as stored (the compressed ones of a .gz); empty for what is not one file.
        class_names: column -> the names of its integers, where datasets' ClassLabel gives them.
    """

    name: str
    columns: tuple[str, ...]
    n_rows: int
    take: Callable[[str], list[Any]]
    lines: Sequence[int] | None = None
    problems: tuple[RowProblem, ...] = ()
    sha256: str = ""
    class_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def records(self) -> list[tuple[Any, ...]]:
        """Take all columns: N tuples of C cells."""
        return list(zip(*(self.take(name) for name in self.columns), strict=True))


def encodes(text: str) -> bool:
    """Tell whether a string is free of lone surrogates: of bytes that were not UTF-8, and of broken JSON escapes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def open_source(source: "Source") -> Table:
    """Open a file, a folder saved by datasets, a Dataset or a DataFrame.

    Args:
        source: a path, or rows in memory.

    Returns:
        Its raw rows, at least one.

    Raises:
        DataError: it is missing, empty, of an unknown kind, not what its name says, or repeats a column name.
    """
    if isinstance(source, (str, Path)):
        table = _open_folder(Path(source)) if Path(source).is_dir() else read_table(source)
    else:
        table = _open_memory(source)
    if table.n_rows == 0:
        raise DataError(f"{table.name}: no rows, only the columns {listed(table.columns)}")
    return table


def read_table(path: str | Path) -> Table:
    """Read a whole file, so that it can be written back in the same format.

    Args:
        path: a .csv, .tsv, .jsonl (each also as .gz) or .parquet file.

    Returns:
        All columns and rows, as strings from csv and tsv. A key that a row of jsonl lacks reads as None.

    Raises:
        DataError: the file is missing, empty, of an unknown kind, or not what its name says.
    """
    path = Path(path)
    kind, is_gzipped = kind_of(path)
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; pass {ACCEPTED}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    sha256 = hashlib.sha256(stored).hexdigest()
    if not stored:
        raise DataError(f"{path}: the file is empty")
    if kind == "parquet":
        return _open_parquet(path, stored, sha256)
    text, is_utf8 = _decoded(path, _unzipped(path, stored) if is_gzipped else stored)
    if kind == "jsonl":
        return _parse_jsonl(path, text, is_utf8, sha256)
    cells, lines = _csv_cells(path, text) if kind == "csv" else _tsv_cells(text)
    if not cells:
        raise DataError(f"{path}: the file is empty")
    return _parse_cells(path, cells, lines, is_utf8, sha256)


def _unzipped(path: Path, stored: bytes) -> bytes:
    try:
        return gzip.decompress(stored)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file ({error})") from error


def _decoded(path: Path, content: bytes) -> tuple[str, bool]:
    """Return the text and whether all of it was UTF-8; if not, a lone surrogate stands for each undecodable byte."""
    if content.startswith(UTF16_MARKS):
        raise DataError(f"{path}: the file is UTF-16; save it as UTF-8")
    try:
        return content.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return content.decode("utf-8-sig", errors="surrogateescape"), False


def _csv_cells(path: Path, text: str) -> tuple[list[list[str]], list[int]]:
    """Split CSV into rows of cells, blank lines left out, and the line where each row starts."""
    cells, lines, start = [], [], 1
    # csv refuses fields beyond a process-wide limit (131,072 characters); whole documents are longer.
    limit = csv.field_size_limit(len(text) + 1)
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        for row in reader:
            if row:
                cells.append(row)
                lines.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        message = f"{path}: the quoting breaks in the row that starts at line {start} ({error})"
        raise DataError(f'{message}; close its quotes, and write " inside a quoted cell as ""') from error
    finally:
        csv.field_size_limit(limit)
    return cells, lines


def _text_lines(text: str) -> tuple[list[str], Sequence[int]]:
    """Split a text at its line breaks, blank lines left out, and give each line's number."""
    # Not str.splitlines: that also splits at characters, such as U+2028, which belong to the text.
    lines = text.replace("\r\n", "\n").removesuffix("\r").split("\n")
    if lines[-1] == "":
        lines.pop()
    if "" not in lines:
        return lines, range(1, len(lines) + 1)
    numbers = [number for number, line in enumerate(lines, start=1) if line]
    return [line for line in lines if line], numbers


def _tsv_cells(text: str) -> tuple[list[list[str]], Sequence[int]]:
    lines, numbers = _text_lines(text)
    return [line.split("\t") for line in lines], numbers


def _parse_cells(path: Path, cells: list[list[str]], lines: Sequence[int], is_utf8: bool, sha256: str) -> Table:
    """Make a table of rows of cells whose first row is the header."""
    columns, records, lines = tuple(cells[0]), cells[1:], lines[1:]
    if not is_utf8 and not encodes("".join(columns)):
        raise DataError(f"{path}: the header line is not UTF-8; save the file as UTF-8")
    require_unique(str(path), columns)
    problems = []
    unreadable = [None] * len(columns)
    for row, record in enumerate(records):
        if len(record) != len(columns):
            noun = "column" if len(record) == 1 else "columns"
            problems.append(RowProblem(row, lines[row], f"{len(record)} {noun} instead of {len(columns)}"))
        elif not is_utf8 and not encodes("".join(record)):
            problems.append(RowProblem(row, lines[row], "not UTF-8"))
    rows: list[Sequence[str | None]] = list(records)
    for problem in problems:
        rows[problem.row] = unreadable

    def take(name: str) -> list[Any]:
        index = columns.index(name)
        return [row[index] for row in rows]

    return Table(str(path), columns, len(rows), take, lines, tuple(problems), sha256)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a JSON object that gives one key twice: readers differ in which of the two they believe."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise KeyError
    return members


def _parse_jsonl(path: Path, text: str, is_utf8: bool, sha256: str) -> Table:
    texts, lines = _text_lines(text)
    if not texts:
        raise DataError(f"{path}: the file is empty")
    decoder = json.JSONDecoder(object_pairs_hook=_without_repeats)
    columns: dict[str, None] = {}
    objects: list[dict[str, Any]] = []
    problems = []
    for row, line in enumerate(texts):
        reason, members = "", {}
        if not is_utf8 and not encodes(line):
            reason = "not UTF-8"
        else:
            try:
                members = decoder.decode(line)
            except KeyError:
                reason = "a key given twice"
            except (ValueError, RecursionError):
                reason = "not a JSON object"
        if not isinstance(members, dict):
            reason, members = "not a JSON object", {}
        if reason:
            problems.append(RowProblem(row, lines[row], reason))
        objects.append(members)
        columns.update(dict.fromkeys(members))
    if not columns:
        raise DataError(f"{path}: no line is a JSON object; JSONL holds one object with named members on each line")

    def take(name: str) -> list[Any]:
        return [members.get(name) for members in objects]

    return Table(str(path), tuple(columns), len(objects), take, lines, tuple(problems), sha256)


def _open_parquet(path: Path, stored: bytes, sha256: str) -> Table:
    import pyarrow
    import pyarrow.parquet

    try:
        arrow = pyarrow.parquet.read_table(pyarrow.BufferReader(stored))
    except (OSError, ValueError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: not a whole parquet file ({shown(str(error))})") from error
    require_unique(str(path), arrow.column_names)

    def take(name: str) -> list[Any]:
        return list(arrow.column(name).to_pylist())

    classes = {}
    if b"huggingface" in (arrow.schema.metadata or {}):
        from datasets import Features

        classes = _class_names(Features.from_arrow_schema(arrow.schema))
    return Table(str(path), tuple(arrow.column_names), arrow.num_rows, take, sha256=sha256, class_names=classes)


def _class_names(features: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    from datasets import ClassLabel

    return {name: tuple(feature.names) for name, feature in features.items() if isinstance(feature, ClassLabel)}


def _open_folder(path: Path) -> Table:
    import datasets

    try:
        loaded = datasets.load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: the folder holds no data set; pass {ACCEPTED}") from error
    if isinstance(loaded, datasets.DatasetDict):
        raise DataError(
            f"{path}: the folder holds several sets of rows; pass the folder of one: {listed(list(loaded))}"
        )
    return _open_dataset(str(path), loaded)


def _open_memory(source: object) -> Table:
    import datasets
    import pandas

    if isinstance(source, datasets.DatasetDict):
        raise DataError(f"in memory: a DatasetDict holds several sets of rows; pass one: {listed(list(source))}")
    if isinstance(source, datasets.Dataset):
        return _open_dataset("in memory", source)
    if isinstance(source, pandas.DataFrame):
        return _open_frame(source)
    raise DataError(
        f"in memory: cannot read rows from a {type(source).__name__}; pass a Dataset, a DataFrame or a path"
    )


def _open_dataset(name: str, dataset: "Dataset") -> Table:
    def take(column: str) -> list[Any]:
        # As Arrow, so that neither a torch format nor the decoding of images stands between us and the cells.
        return list(dataset.select_columns([column]).with_format("arrow")[:].column(0).to_pylist())

    return Table(
        name, tuple(dataset.column_names), len(dataset), take, class_names=_class_names(dataset.features or {})
    )


def _open_frame(frame: "DataFrame") -> Table:
    columns = tuple(map(str, frame.columns))
    require_unique("in memory", columns)

    def take(name: str) -> list[Any]:
        cells = frame.iloc[:, columns.index(name)]
        # pandas has four ways to say missing (None, NaN, NaT, NA); keep one.
        return list(cells.astype(object).where(cells.notna(), None))

    return Table("in memory", columns, len(frame), take)
