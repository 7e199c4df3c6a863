"""Write rows into a file of the format that its suffix names; also those names, which reading shares."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    try:
        content = render(columns, records)
    except (ValueError, TypeError, OverflowError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: a cell does not fit into {kind}: {reason}") from error
    if is_gzipped:
        packed = io.BytesIO()
        # No time and no name in the header: the same rows give the same bytes.
        with gzip.GzipFile(filename="", mode="wb", fileobj=packed, mtime=0) as stream:
            stream.write(content)
        content = packed.getvalue()
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _to_csv(columns: Sequence[str], records: Sequence[Sequence[Any]]) -> bytes:
    has_returns = any("\r" in str(cell) for record in records for cell in record) or "\r" in "".join(columns)
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\n", strict=True)
    if has_returns:
        # Before Python 3.13, csv leaves a lone carriage return unquoted, and would read it back as the end of the row.
        writer = csv.writer(stream, lineterminator="\n", strict=True, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    writer.writerows(records)
    return stream.getvalue().encode()


def _to_tsv(columns: Sequence[str], records: Sequence[Sequence[Any]]) -> bytes:
    lines = []
    for row, record in enumerate([columns, *records], start=-1):
        cells = ["" if cell is None else str(cell) for cell in record]
        line = "\t".join(cells)
        if line.count("\t") != len(columns) - 1 or "\n" in line or "\r" in line:
            raise ValueError(
                f"row {row} holds a tab or a line break" if row >= 0 else "a column name holds a tab or break"
            )
        if not line:
            raise ValueError(f"row {row} would be a blank line")
        lines.append(line + "\n")
    return "".join(lines).encode()


def _to_jsonl(columns: Sequence[str], records: Sequence[Sequence[Any]]) -> bytes:
    lines = [json.dumps(dict(zip(columns, record, strict=True)), ensure_ascii=False) + "\n" for record in records]
    return "".join(lines).encode()


def _to_parquet(columns: Sequence[str], records: Sequence[Sequence[Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    cells = list(zip(*records, strict=True)) or [()] * len(columns)
    table = pyarrow.table([pyarrow.array(column) for column in cells], names=list(columns))
    stream = io.BytesIO()
    pyarrow.parquet.write_table(table, stream)
    return stream.getvalue()
