"""What `cleanfit.readers` and `cleanfit.writers` make of files: cells, line numbers, refusals, round trips."""

import csv
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pandas
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from cleanfit.errors import DataError, OutputError
from cleanfit.readers import Table, open_source, read_table, write_table

AWKWARD = [
    ('He said "no", then left', "0"),
    ("=1+1", "1"),
    ("naïve café 你好 🙂", "0"),
    ('"', "1"),
    ("comma, semicolon; and 'quote'", "0"),
    ("  kept spaces  ", "1"),
    ("line separator \u2028 and next line \x85 stay", "0"),
]
MULTILINE = [("first\nsecond", "0"), ("windows\r\nbreak", "1"), ("lone\rreturn", "0"), ("tab\there", "1"), ("", "1")]


def save(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def problems_of(table: Table) -> list[tuple[int, int | None, str]]:
    return [(problem.row, problem.line, problem.reason) for problem in table.problems]


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_awkward_texts_come_back_as_they_were_written(tmp_path: Path, name: str) -> None:
    rows = AWKWARD if "tsv" in name else AWKWARD + MULTILINE
    write_table(tmp_path / name, ("text", "label"), rows)
    table = read_table(tmp_path / name)
    assert table.columns == ("text", "label")
    assert table.records() == rows
    assert table.problems == ()


@pytest.mark.parametrize("name", ["t.jsonl", "t.parquet"])
def test_typed_cells_keep_their_types(tmp_path: Path, name: str) -> None:
    rows: list[tuple[Any, ...]] = [("a", 1, 0.5, None, [1, 2]), ("b", 2, 1.0, "x", [])]
    write_table(tmp_path / name, ("text", "label", "weight", "note", "spans"), rows)
    assert read_table(tmp_path / name).records() == rows


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.parquet"])
def test_a_table_without_rows_keeps_its_columns(tmp_path: Path, name: str) -> None:
    write_table(tmp_path / name, ("text", "label"), [])
    table = read_table(tmp_path / name)
    assert (table.columns, table.records()) == (("text", "label"), [])
    with pytest.raises(DataError, match="no rows, only the columns 'text', 'label'"):
        open_source(tmp_path / name)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl.gz", "t.tsv.gz"])
def test_gzip_bytes_hold_no_time_and_no_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "other").mkdir()
    write_table(tmp_path / name, ("text", "label"), AWKWARD)
    write_table(tmp_path / "other" / f"second-{name}", ("text", "label"), AWKWARD)
    first = (tmp_path / name).read_bytes()
    assert first == (tmp_path / "other" / f"second-{name}").read_bytes()
    assert first[4:8] == bytes(4)  # the header's time field


def test_a_plain_csv_is_written_as_anyone_would(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ("text", "label"), [('a "b", c', 1), (None, 0)])
    assert (tmp_path / "t.csv").read_bytes() == b'text,label\n"a ""b"", c",1\n,0\n'


@pytest.mark.parametrize("cell", ["a\tb", "a\nb", "a\rb"])
def test_tsv_refuses_cells_that_would_break_a_row(tmp_path: Path, cell: str) -> None:
    with pytest.raises(DataError, match="row 1 holds a tab or a line break"):
        write_table(tmp_path / "t.tsv", ("text", "label"), [("fine", "0"), (cell, "1")])
    assert list(tmp_path.iterdir()) == []


def test_writing_refuses_what_it_could_not_read_back(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 0 would be a blank line"):
        write_table(tmp_path / "t.tsv", ("text",), [("",)])
    with pytest.raises(DataError, match="row 1 has 1 cells for 2 columns"):
        write_table(tmp_path / "t.csv", ("text", "label"), [("a", "0"), ("b",)])
    with pytest.raises(DataError, match="does not fit into jsonl"):
        write_table(tmp_path / "t.jsonl", ("text",), [("\ud800",)])
    with pytest.raises(DataError, match="does not fit into parquet"):
        write_table(tmp_path / "t.parquet", ("text",), [("a",), (1,)])
    with pytest.raises(DataError, match="more than one column is named 'text'"):
        write_table(tmp_path / "t.csv", ("text", "text"), [])
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file_and_no_scrap(tmp_path: Path) -> None:
    (tmp_path / "t.csv").mkdir()  # renaming a file onto a folder fails, whoever runs the test
    with pytest.raises(OutputError, match="cannot be written"):
        write_table(tmp_path / "t.csv", ("text",), [("a",)])
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_tsv_takes_quotes_as_ordinary_characters(tmp_path: Path) -> None:
    path = save(tmp_path, "t.tsv", 'text\tlabel\n"open\t0\nsay "hi" \'x\'\t1\n')
    assert read_table(path).records() == [('"open', "0"), ("say \"hi\" 'x'", "1")]


def test_csv_counts_the_lines_of_quoted_cells(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", 'text,label\n"two\nlines",0\n\n"say ""hi""",1\nlast,0\n\n')
    table = read_table(path)
    assert table.records() == [("two\nlines", "0"), ('say "hi"', "1"), ("last", "0")]
    assert table.lines is not None
    assert list(table.lines) == [2, 5, 6]


@pytest.mark.parametrize(("name", "separator"), [("t.csv", ","), ("t.tsv", "\t")])
def test_bom_windows_line_ends_and_blank_lines_do_no_harm(tmp_path: Path, name: str, separator: str) -> None:
    lines = ["text|label", "a|0", "", "b|1", ""]
    path = save(tmp_path, name, b"\xef\xbb\xbf" + "\r\n".join(lines).replace("|", separator).encode())
    table = read_table(path)
    assert table.columns == ("text", "label")
    assert table.records() == [("a", "0"), ("b", "1")]
    assert table.lines is not None
    assert list(table.lines) == [2, 4]


def test_ragged_rows_are_named_with_row_and_line(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", 'text,label\n"a\nb",0\nc,1,2\nd\ne,1\n')
    table = read_table(path)
    assert problems_of(table) == [(1, 4, "3 columns instead of 2"), (2, 5, "1 column instead of 2")]
    assert table.records() == [("a\nb", "0"), (None, None), (None, None), ("e", "1")]


@pytest.mark.parametrize("name", ["t.csv", "t.tsv"])
def test_undecodable_bytes_are_named_with_row_and_line(tmp_path: Path, name: str) -> None:
    content = b"text|label\ncaf\xc3\xa9|0\ncaf\xe9|1\nend|0\n".replace(b"|", b"," if name == "t.csv" else b"\t")
    table = read_table(save(tmp_path, name, content))
    assert problems_of(table) == [(1, 3, "not UTF-8")]
    assert table.records() == [("café", "0"), (None, None), ("end", "0")]


def test_broken_jsonl_lines_are_named_with_row_and_line(tmp_path: Path) -> None:
    lines = [b'{"text": "a", "label": 0}', b"", b"[1]", b"{oops", b'{"text": "b", "text": "c"}', b'{"text": "\xe9"}']
    lines += [b"[" * 100_000, b'{"label": 1, "extra": "x"}']
    table = read_table(save(tmp_path, "t.jsonl", b"\n".join(lines)))
    assert problems_of(table) == [
        (1, 3, "not a JSON object"),
        (2, 4, "not a JSON object"),
        (3, 5, "a key given twice"),
        (4, 6, "not UTF-8"),
        (5, 7, "not a JSON object"),
    ]
    assert table.columns == ("text", "label", "extra")
    assert table.records()[0] == ("a", 0, None)
    assert table.records()[6] == (None, 1, "x")


def test_an_unclosed_quote_names_the_line_where_its_row_starts(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", 'text,label\na,0\n"never closed,1\nb,0\nc,1\n')
    with pytest.raises(DataError, match="the quoting breaks in the row that starts at line 3"):
        read_table(path)


def test_a_very_long_field_is_read_and_the_limit_of_csv_is_left_alone(tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    long = "word " * 60_000
    assert len(long) > limit
    assert read_table(save(tmp_path, "t.csv", f"text,label\n{long},0\n")).records() == [(long, "0")]
    with pytest.raises(DataError):
        read_table(save(tmp_path, "broken.csv", 'text\n"'))
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "the file is empty"),
        ("t.tsv", b"\n\n", "the file is empty"),
        ("t.jsonl", b"\n", "the file is empty"),
        ("t.jsonl", b"[\n1\n]\n", "no line is a JSON object"),
        ("t.csv", "text,label\na,0\n".encode("utf-16"), "the file is UTF-16; save it as UTF-8"),
        ("t.csv", b"text,caf\xe9\na,0\n", "the header line is not UTF-8"),
        ("t.csv", b"text,label,text\na,0,b\n", "more than one column is named 'text'"),
        ("t.csv.gz", b"text,label\n", "not a whole gzip file"),
        ("t.csv.gz", gzip.compress(b"text,label\n" * 99, mtime=0)[:-9], "not a whole gzip file"),
        ("t.parquet", b"PAR1 no", "not a whole parquet file"),
        ("t.parquet", b"", "the file is empty"),
        ("t.xlsx", b"PK", r"unknown kind of file; pass a \.csv"),
        ("csv", b"text,label\n", r"unknown kind of file; pass a \.csv"),
        ("t.parquet.gz", b"", r"unknown kind of file; pass a \.csv"),
    ],
)
def test_an_unreadable_file_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = save(tmp_path, name, content)
    with pytest.raises(DataError, match=message) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_says_what_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.csv: no such file; pass a \.csv, \.tsv or \.jsonl file"):
        open_source(tmp_path / "nowhere.csv")


def test_the_sha256_is_of_the_bytes_on_disk(tmp_path: Path) -> None:
    for name in ("t.csv.gz", "t.parquet"):
        write_table(tmp_path / name, ("text", "label"), AWKWARD)
        assert read_table(tmp_path / name).sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()


def test_folders_saved_by_datasets_are_read_and_several_splits_are_refused(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"text": ["a", "b"], "label": [0, 1]})
    rows.select([1, 0]).save_to_disk(tmp_path / "one")
    assert open_source(tmp_path / "one").records() == [("b", 1), ("a", 0)]
    splits = DatasetDict({"train": rows, "test": rows})
    splits.save_to_disk(tmp_path / "two")
    for source in (tmp_path / "two", splits):
        with pytest.raises(DataError, match=r"several sets of rows; .*'train', 'test'"):
            open_source(source)  # type: ignore[arg-type]
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match=r"the folder holds no data set; pass a \.csv"):
        open_source(tmp_path / "none")


def test_rows_in_memory_are_read_whatever_their_format() -> None:
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 1]}).select([2, 0]).with_format("numpy")
    assert open_source(rows).records() == [("c", 1), ("a", 0)]
    frame = pandas.DataFrame(
        {"text": ["a", None, "c"], "label": pandas.array([1, 2, None], dtype="Int64")}, index=[7, 8, 9]
    )
    assert open_source(frame).records() == [("a", 1), (None, 2), ("c", None)]
    with pytest.raises(DataError, match="more than one column is named '1'"):
        open_source(pandas.DataFrame([[0, 0]], columns=[1, "1"]))
    with pytest.raises(DataError, match="cannot read rows from a list"):
        open_source([1])  # type: ignore[arg-type]


def test_class_names_survive_a_parquet_file(tmp_path: Path) -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["neg", "pos"])})
    rows = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    rows.to_parquet(tmp_path / "t.parquet")
    assert open_source(rows).class_names == {"label": ("neg", "pos")}
    assert read_table(tmp_path / "t.parquet").class_names == {"label": ("neg", "pos")}


def test_jsonl_is_written_readably(tmp_path: Path) -> None:
    write_table(tmp_path / "t.jsonl", ("text", "label"), [("café", 1)])
    content = (tmp_path / "t.jsonl").read_text(encoding="utf-8")
    assert content == '{"text": "café", "label": 1}\n'
    assert json.loads(content) == {"text": "café", "label": 1}


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.jsonl", "t.jsonl.gz", "t.parquet"])
def test_a_cell_that_cannot_be_written_leaves_the_old_file_and_nothing_beside_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    write_table(path, ("text", "label"), [("good", "1")])
    before = path.read_bytes()
    broken = [("fine", "0")] * 5000 + [("half a \ud800 surrogate", "1")]
    with pytest.raises(DataError, match="a cell does not fit into"):
        write_table(path, ("text", "label"), broken)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
