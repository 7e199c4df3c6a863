"""Write rows into a file of the format that its suffix names; also those names, which reading shares."""

import contextlib
import csv
import gzip
import io
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Literal, cast

from cleanfit.errors import DataError, OutputError

ACCEPTED = "a .csv, .tsv or .jsonl file (each also as .gz), a .parquet file, or a folder saved by datasets.save_to_disk"
KINDS = ("csv", "tsv", "jsonl", "parquet")
# Long enough to recognise a name, short enough that a file without a header line does not fill the screen.
MAX_SHOWN_CHARACTERS = 60
MAX_SHOWN_NAMES = 12


def shown(text: str) -> str:
    """Quote a name for a one-line message, cut to `MAX_SHOWN_CHARACTERS`; line breaks come out as escapes."""
    return repr(text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "…")


def listed(names: Sequence[str]) -> str:
    """Quote and join names for a one-line message, the first `MAX_SHOWN_NAMES` of them."""
    rest = len(names) - MAX_SHOWN_NAMES
    return ", ".join(map(shown, names[:MAX_SHOWN_NAMES])) + (f" and {rest} more" if rest > 0 else "")


def kind_of(path: Path) -> tuple[str, bool]:
    """Tell a file's format from its name.

    Args:
        path: the file, which need not exist.

    Returns:
        One of `KINDS`, and whether it is gzipped.

    Raises:
        DataError: the suffix is none of `ACCEPTED`.
    """
    name = path.name.lower()
    is_gzipped = name.endswith(".gz")
    kind = name.removesuffix(".gz").rpartition(".")[2]
    if kind not in KINDS or "." not in name or (is_gzipped and kind == "parquet"):
        raise DataError(f"{path}: unknown kind of file; pass {ACCEPTED}")
    return kind, is_gzipped


def require_unique(name: str, columns: Sequence[str]) -> None:
    """Raise a DataError that begins with `name` if two columns have the same name."""
    repeated = [column for column, count in Counter(columns).items() if count > 1]
    if repeated:
        raise DataError(f"{name}: more than one column is named {listed(repeated)}; rename them")


def write_table(path: str | Path, columns: Sequence[str], records: Sequence[Sequence[Any]]) -> None:
    """Write a file that `read_table` reads back the same; the same rows give the same bytes.

    Args:
        path: the suffix chooses the format, as in `read_table`; written under a temporary name, then renamed.
        columns: C unique names.
        records: N rows of C cells; csv and tsv write None as an empty cell.

    Raises:
        DataError: unknown suffix, or a cell that this format cannot hold.
        OutputError: the file cannot be written.
    """
    path = Path(path)
    kind, is_gzipped = kind_of(path)
    require_unique(str(path), columns)
    for row, record in enumerate(records):
        if len(record) != len(columns):
            raise DataError(f"{path}: row {row} has {len(record)} cells for {len(columns)} columns")
    render = {"csv": _to_csv, "tsv": _to_tsv, "jsonl": _to_jsonl, "parquet": _to_parquet}[kind]
    temporary = path.with_name(path.name + ".tmp")
    try:
        # Written as it is rendered: the bytes of a million rows do not stand in memory beside the rows.
        with temporary.open("wb") as file, _packed(file, is_gzipped) as stream:
            render(stream, columns, records)
        temporary.replace(path)
    except (ValueError, TypeError, OverflowError, csv.Error) as error:
        temporary.unlink(missing_ok=True)
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: a cell does not fit into {kind}: {reason}") from error
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


@contextlib.contextmanager
def _packed(file: IO[bytes], is_gzipped: bool) -> Iterator[IO[bytes]]:
    """Give the stream to write to: the file, or gzip's with no time and no name, so that the same rows give the same bytes."""
    if not is_gzipped:
        yield file
        return
    with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream:
        yield cast("IO[bytes]", stream)


def _to_csv(file: IO[bytes], columns: Sequence[str], records: Sequence[Sequence[Any]]) -> None:
    has_returns = any("\r" in str(cell) for record in records for cell in record) or "\r" in "".join(columns)
    # Before Python 3.13, csv leaves a lone carriage return unquoted, and would read it back as the end of the row.
    quoting: Literal[0, 1] = csv.QUOTE_ALL if has_returns else csv.QUOTE_MINIMAL
    stream = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        writer = csv.writer(stream, lineterminator="\n", strict=True, quoting=quoting)
        writer.writerow(columns)
        writer.writerows(records)
    finally:
        stream.detach()  # or it would close the file behind our back


def _to_tsv(file: IO[bytes], columns: Sequence[str], records: Sequence[Sequence[Any]]) -> None:
    for row, record in enumerate(itertools.chain([columns], records), start=-1):
        line = "\t".join(["" if cell is None else str(cell) for cell in record])
        if line.count("\t") != len(columns) - 1 or "\n" in line or "\r" in line:
            raise ValueError(
                f"row {row} holds a tab or a line break" if row >= 0 else "a column name holds a tab or break"
            )
        if not line:
            raise ValueError(f"row {row} would be a blank line")
        file.write((line + "\n").encode())


def _to_jsonl(file: IO[bytes], columns: Sequence[str], records: Sequence[Sequence[Any]]) -> None:
    for record in records:
        file.write((json.dumps(dict(zip(columns, record, strict=True)), ensure_ascii=False) + "\n").encode())


def _to_parquet(file: IO[bytes], columns: Sequence[str], records: Sequence[Sequence[Any]]) -> None:
    import pyarrow
    import pyarrow.parquet

    cells = list(zip(*records, strict=True)) or [()] * len(columns)
    table = pyarrow.table([pyarrow.array(column) for column in cells], names=list(columns))
    pyarrow.parquet.write_table(table, file)
