"""Check and label raw rows, split them, hash them, and tokenize them once; `readers.py` opens the sources."""

import difflib
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cleanfit.errors import DataError, SettingsError
from cleanfit.labels import MIN_ROWS_PER_CLASS, find_classes, match_classes, type_name, written_labels
from cleanfit.readers import RowProblem, Table, encodes, listed, open_source, read_table, shown, write_table
from cleanfit.seeding import generator

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from cleanfit.readers import Source

__all__ = [
    "MIN_ROWS_PER_CLASS",
    "Columns",
    "LabeledData",
    "RowProblem",
    "Table",
    "content_hash",
    "read",
    "read_table",
    "split",
    "tokenize",
    "write_table",
]

# What public data sets call their columns, most telling name first.
TEXT_NAMES = ("text", "sentence", "content", "review", "message", "tweet", "comment", "body", "question")
LABEL_NAMES = ("label", "labels", "class", "category", "target", "sentiment", "y")
MAX_SHOWN_ROWS = 5
MAX_SHOWN_REASONS = 5
BATCH_ROWS = 1000
# Raise it when tokenized columns change their meaning: older cached files are then no longer found.
CACHE_VERSION = 1


@dataclass(frozen=True)
class Columns:
    """Which columns to read; None means to guess (text, label) or not to use one (text_pair)."""

    text: str | None = None
    text_pair: str | None = None
    label: str | None = None


@dataclass(frozen=True)
class LabeledData:
    """Rows that passed every check.

    Args:
        rows: N rows with the columns row_id (zero-based in the source), text, [text_pair], label in [0, C).
        label_names: C labels as written in the source; a row's label is an index into them.
        source: the path as given, or ``"in memory"``.
        sha256: of the file's bytes; for folders and rows in memory, `content_hash` of the rows kept.
        columns: the columns that were read; only ``text_pair`` may be None.
        dropped: the rows that ``drop_invalid`` left out, in row order.
    """

    rows: "Dataset"
    label_names: tuple[str, ...]
    source: str
    sha256: str
    columns: Columns
    dropped: tuple[RowProblem, ...] = ()


def read(
    source: "Source",
    columns: Columns = Columns(),
    *,
    label_names: tuple[str, ...] | None = None,
    drop_invalid: bool = False,
) -> LabeledData:
    """Read labelled text and check every row.

    Args:
        source: a csv, tsv, jsonl (also .gz) or parquet file, a folder saved by datasets, a Dataset or a DataFrame.
        columns: which columns to read.
        label_names: the training data's C labels, for test and trusted files: other labels are then row problems, and
            any number of rows per class will do. None takes the labels from the source.
        drop_invalid: leave out rows with a problem instead of refusing the source.

    Returns:
        At least one row; without `label_names`, at least two classes of `MIN_ROWS_PER_CLASS` rows.

    Raises:
        DataError: the source cannot be read, lacks a column, has too few labels, or has problem rows to mend.
    """
    table = open_source(source)
    resolved = _resolve(table, columns)
    bad = {problem.row: problem.reason for problem in table.problems}
    cells = {"text": table.take(str(resolved.text))}
    _check_texts(cells["text"], "text", bad)
    if resolved.text_pair is not None:
        cells["text_pair"] = table.take(resolved.text_pair)
        _check_texts(cells["text_pair"], "second text", bad)
    classes = table.class_names.get(str(resolved.label))
    written = written_labels(table.take(str(resolved.label)), classes, bad)
    if label_names is None:
        names = find_classes(written, classes, bad)
    else:
        names = label_names
        match_classes(written, names, bad)
    problems = tuple(
        RowProblem(row, None if table.lines is None else table.lines[row], bad[row]) for row in sorted(bad)
    )
    if problems and not drop_invalid:
        raise DataError(f"{table.name}: {_summary(problems)}")
    if len(problems) == table.n_rows:
        raise DataError(f"{table.name}: no usable row is left; {_summary(problems)}")
    if label_names is None and len(names) < 2:
        raise DataError(
            f"{table.name}: only one label, {listed(names)}, in column {shown(str(resolved.label))}; "
            "a classifier needs two (name another column with --label-column)"
        )
    rows = _dataset(cells, written, names, [row for row in range(table.n_rows) if row not in bad])
    return LabeledData(rows, names, table.name, table.sha256 or content_hash(rows), resolved, problems)


def split(data: LabeledData, held_out: float, seed: int) -> tuple["Dataset", "Dataset"]:
    """Split rows into a training and a held-out part with the same share of each class.

    Args:
        data: rows with at least two rows of each class that occurs.
        held_out: share in (0, 1) to hold out; each class rounds for itself (half up), with at least one row a side.
        seed: the user's seed; the draws of one class do not depend on the other classes.

    Returns:
        The training rows and the held-out rows, each in their order in the source and with their ``row_id``.

    Raises:
        SettingsError: `held_out` is out of range.
        DataError: a class has a single row.
    """
    if not 0 < held_out < 1:
        raise SettingsError(f"the held-out share must lie between 0 and 1, got {held_out}")
    labels = np.asarray(data.rows.with_format("arrow")[:]["label"])
    is_held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        name = data.label_names[label]
        if len(members) < MIN_ROWS_PER_CLASS:
            raise DataError(f"{data.source}: cannot split class {shown(name)}, it has only one row")
        n_held_out = min(max(math.floor(len(members) * held_out + 0.5), 1), len(members) - 1)
        drawn = generator(seed, f"hold out rows of class {name}").permutation(members)[:n_held_out]
        is_held_out[drawn] = True
    return data.rows.select(np.flatnonzero(~is_held_out)), data.rows.select(np.flatnonzero(is_held_out))


def content_hash(rows: "Dataset") -> str:
    """Hash the texts, second texts and labels of rows, in order.

    Args:
        rows: N rows with text, [text_pair], label; other columns and the chunks in memory do not count.

    Returns:
        A sha256 in hexadecimal.
    """
    names = [name for name in ("text", "text_pair", "label") if name in rows.column_names]
    digest = hashlib.sha256(json.dumps(names).encode())
    for batch in rows.select_columns(names).with_format("arrow").iter(batch_size=BATCH_ROWS):
        cells = zip(*(batch.column(name).to_pylist() for name in names), strict=True)
        # Each cell after its length: ("ab", "c") and ("a", "bc") must not hash the same.
        digest.update("".join(f"{len(str(cell))}:{cell}" for row in cells for cell in row).encode())
    return digest.hexdigest()


def tokenize(
    rows: "Dataset", tokenizer: "PreTrainedTokenizerBase", max_length: int, cache_folder: Path | None = None
) -> "Dataset":
    """Add what the model reads, and each row's length in tokens.

    Args:
        rows: N rows with row_id, text, [text_pair], label; other columns are left out.
        tokenizer: the model's own.
        max_length: longest row in tokens, special tokens included; longer ones are cut, shorter ones not padded.
        cache_folder: keep the result there, and take it from there when rows, tokenizer and length are the same.

    Returns:
        The N rows with input_ids, attention_mask, [token_type_ids] and length added.
    """
    known = ("row_id", "text", "text_pair", "label")
    rows = rows.select_columns([name for name in known if name in rows.column_names])
    key = _cache_key(rows, tokenizer, max_length)
    cache_file = None if cache_folder is None else cache_folder / f"tokens-{key}.arrow"
    if cache_file is not None:
        cached = _load_cached(cache_file, rows)
        if cached is not None:
            return cached
        cache_file.parent.mkdir(parents=True, exist_ok=True)

    def encode(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
        encoded = tokenizer(batch["text"], batch.get("text_pair"), truncation=True, max_length=max_length)
        inputs = {name: encoded[name] for name in tokenizer.model_input_names if name in encoded}
        return {**inputs, "length": [len(ids) for ids in encoded["input_ids"]]}

    return rows.with_format(None).map(
        encode,
        batched=True,
        desc="Tokenizing",
        keep_in_memory=cache_file is None,
        # `map` writes to a temporary name in the same folder and renames it at the end: never a half file.
        cache_file_name=None if cache_file is None else str(cache_file),
        load_from_cache_file=False,
        # Else `map` pickles the tokenizer to find a name of its own, and warns where it cannot.
        new_fingerprint=key,
    )


def _resolve(table: Table, columns: Columns) -> Columns:
    """Name the columns to read, guessing those that were not given."""
    text = _find_column(table, columns.text, TEXT_NAMES, "text")
    label = _find_column(table, columns.label, LABEL_NAMES, "label")
    pair = None if columns.text_pair is None else _find_column(table, columns.text_pair, (), "text-pair")
    if len({text, label, pair}) < 3:
        raise DataError(
            f"{table.name}: one column is to be read twice; got text {text!r}, pair {pair!r}, label {label!r}"
        )
    return Columns(text, pair, label)


def _find_column(table: Table, given: str | None, guesses: Sequence[str], role: str) -> str:
    if given is not None and given in table.columns:
        return given
    found = f"found the columns {listed(table.columns)}"
    advice = f"name it with --{role}-column"
    if given is not None:
        close = difflib.get_close_matches(given, table.columns, n=1)
        hint = f" (did you mean {shown(close[0])}?)" if close else ""
        raise DataError(f"{table.name}: no column {shown(given)}{hint}; {found}; {advice}")
    # Reversed, so that the first of two columns that differ in case only wins.
    by_lower: dict[str, str] = {name.lower(): name for name in reversed(table.columns)}
    for guess in guesses:
        if guess in by_lower:
            return by_lower[guess]
    tried = ", ".join(guesses)
    raise DataError(f"{table.name}: no {role} column (looked for {tried}); {found}; {advice}, or mend the header line")


def _check_texts(values: Sequence[Any], what: str, bad: dict[int, str]) -> None:
    for row, value in enumerate(values):
        if not isinstance(value, str):
            bad.setdefault(row, f"no {what}" if value is None else f"{what} is {type_name(value)}")
        elif not value.strip():
            bad.setdefault(row, f"empty {what}")
        elif not encodes(value):
            bad.setdefault(row, f"lone surrogate in the {what}")


def _summary(problems: Sequence[RowProblem]) -> str:
    """Say in one line which rows are unusable, and why, most frequent reason first."""
    groups: dict[str, list[RowProblem]] = {}
    for problem in problems:
        groups.setdefault(problem.reason, []).append(problem)
    parts = []
    ranked = sorted(groups.items(), key=lambda group: -len(group[1]))
    for reason, members in ranked[:MAX_SHOWN_REASONS]:
        rows = ", ".join(map(_place, members[:MAX_SHOWN_ROWS]))
        rest = len(members) - MAX_SHOWN_ROWS
        parts.append(f"{reason} ({len(members)}): {rows}" + (f" and {rest} more" if rest > 0 else ""))
    if len(ranked) > MAX_SHOWN_REASONS:
        parts.append(f"{len(ranked) - MAX_SHOWN_REASONS} more reasons")
    noun = "row" if len(problems) == 1 else "rows"
    return (
        f"{len(problems)} unusable {noun}: {'; '.join(parts)}. "
        "Mend them or pass --drop-invalid to leave them out; the audit will list them."
    )


def _place(problem: RowProblem) -> str:
    return f"row {problem.row}" + ("" if problem.line is None else f" (line {problem.line})")


def _dataset(
    cells: Mapping[str, list[Any]], written: Sequence[str], names: Iterable[str], kept: list[int]
) -> "Dataset":
    import pyarrow
    from datasets import Dataset

    index_of = {name: index for index, name in enumerate(names)}
    # Straight into Arrow: `Dataset.from_dict` looks at every cell again, which doubles the time to read a file.
    columns = {"row_id": pyarrow.array(kept, pyarrow.int64())}
    for name, values in cells.items():
        columns[name] = pyarrow.array([values[row] for row in kept], pyarrow.string())
    columns["label"] = pyarrow.array([index_of[written[row]] for row in kept], pyarrow.int64())
    return Dataset(pyarrow.table(columns))


def _cache_key(rows: "Dataset", tokenizer: "PreTrainedTokenizerBase", max_length: int) -> str:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        described = json.loads(backend.to_str())
        # Every call of a tokenizer leaves its own truncation and padding behind in these two.
        described = {name: part for name, part in described.items() if name not in ("truncation", "padding")}
    else:
        described = {"class": type(tokenizer).__name__, "vocabulary": tokenizer.get_vocab()}
    described["inputs"] = [*tokenizer.model_input_names, tokenizer.truncation_side]
    digest = hashlib.sha256(f"{CACHE_VERSION} {content_hash(rows)} {max_length} ".encode())
    digest.update(np.asarray(rows.with_format("arrow")[:]["row_id"], dtype=np.int64).tobytes())
    digest.update(json.dumps(described, sort_keys=True).encode())
    return digest.hexdigest()


def _load_cached(path: Path, rows: "Dataset") -> "Dataset | None":
    """Load tokenized rows, or return None if the file is missing or is not what it should be."""
    from datasets import Dataset

    try:
        cached = Dataset.from_file(str(path))
    except (OSError, ValueError):
        return None
    is_whole = len(cached) == len(rows) and {*rows.column_names, "input_ids", "length"} <= set(cached.column_names)
    return cached if is_whole else None
