"""What `cleanfit.data` lets through, refuses and leaves out; splits and hashes."""

import gzip
import hashlib
import json
import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from datasets import ClassLabel, Dataset, Features, Value

from cleanfit import data
from cleanfit.data import Columns, LabeledData, content_hash, read, split
from cleanfit.errors import DataError, SettingsError

ADVICE = "Mend them or pass --drop-invalid to leave them out; the audit will list them."
GUESSED = Columns()
GOOD = "fine one,0\nfine two,1\nfine three,0\nfine four,1\n"  # lines 2 to 5, rows 0 to 3


def save(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(source: Any, columns: Columns = GUESSED, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        read(source, columns, **options)
    message = str(caught.value)
    assert "\n" not in message
    return message


def labeled(counts: dict[str, int]) -> LabeledData:
    """Rows in which the classes take turns, so that no class is one block."""
    left, labels = dict(counts), []
    while any(left.values()):
        for name in counts:
            if left[name]:
                left[name] -= 1
                labels.append(name)
    return read(pandas.DataFrame({"text": [f"text {i}" for i in range(len(labels))], "label": labels}))


def test_a_clean_file_becomes_rows_with_numbered_labels(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", "id,text,label\n7,one, pos\n8,two,neg\n9,three,pos \n10,four,neg\n")
    result = read(str(path))
    assert result.rows.to_dict() == {
        "row_id": [0, 1, 2, 3],
        "text": ["one", "two", "three", "four"],
        "label": [1, 0, 1, 0],
    }
    assert result.label_names == ("neg", "pos")
    assert result.source == str(path)
    assert result.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert result.columns == Columns(text="text", label="label")
    assert result.dropped == ()


def test_every_kind_of_broken_row_in_a_csv_is_named(tmp_path: Path) -> None:
    bad = b'"two\nlines",0\n ,1\n,0\ntext,\na,b,c\nlost\ncaf\xe9,1\n'  # from line 6, row 4 on
    path = save(tmp_path, "t.csv", b"text,label\n" + GOOD.encode() + bad)
    message = refusal(path)
    assert message.startswith(f"{path}: 6 unusable rows: empty text (2): row 5 (line 8), row 6 (line 9); ")
    for part in (
        "no label (1): row 7 (line 10)",
        "3 columns instead of 2 (1): row 8 (line 11)",
        "1 column instead of 2 (1): row 9 (line 12)",
        "not UTF-8 (1): row 10 (line 13)",
    ):
        assert part in message
    assert message.endswith(ADVICE)


def test_dropping_keeps_row_numbers_and_lists_what_was_left_out(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", "text,label\n,0\n" + GOOD + "x,1,2\nlast,1\n")
    result = read(path, drop_invalid=True)
    assert result.rows["row_id"][:] == [1, 2, 3, 4, 6]
    assert result.rows["text"][:][-1] == "last"
    assert [(problem.row, problem.line, problem.reason) for problem in result.dropped] == [
        (0, 2, "empty text"),
        (5, 7, "3 columns instead of 2"),
    ]


def test_long_lists_of_rows_and_reasons_are_cut(tmp_path: Path) -> None:
    rare = "".join(f"text,rare{i}\n" for i in range(7))
    message = refusal(save(tmp_path, "t.csv", "text,label\n" + GOOD + ",0\n" * 8 + rare))
    assert (
        "empty text (8): row 4 (line 6), row 5 (line 7), row 6 (line 8), row 7 (line 9), row 8 (line 10) and 3 more;"
        in message
    )
    assert "; 3 more reasons. Mend them" in message


def test_texts_and_labels_of_the_wrong_type_in_jsonl_are_named(tmp_path: Path) -> None:
    cells: list[dict[str, Any]] = [
        {"text": "a", "label": 1},
        {"text": "b", "label": 0},
        {"text": "c", "label": 1.0},
        {"text": "d", "label": 0},
        {"text": 5, "label": 1},
        {"text": None, "label": 1},
        {"text": ["x"], "label": 1},
        {"label": 1},
        {"text": "e"},
        {"text": "f", "label": 0.5},
        {"text": "g", "label": [1]},
        {"text": "h", "label": float("nan")},
        {"text": "bad \ud83d half", "label": 1},
        {"text": "i", "label": "\udc00"},
        {"text": True, "label": 1},
    ]
    lines = [json.dumps(cell) for cell in cells]
    path = save(tmp_path, "t.jsonl", "\n".join(lines) + "\nnot json\n")
    assert "no text (2): row 5 (line 6), row 7 (line 8)" in refusal(path)
    result = read(path, drop_invalid=True)
    assert [(problem.row, problem.line, problem.reason) for problem in result.dropped] == [
        (4, 5, "text is a number"),
        (5, 6, "no text"),
        (6, 7, "text is a list"),
        (7, 8, "no text"),
        (8, 9, "no label"),
        (9, 10, "label is a fraction"),
        (10, 11, "label is a list"),
        (11, 12, "no label"),
        (12, 13, "lone surrogate in the text"),
        (13, 14, "lone surrogate in the label"),
        (14, 15, "text is true or false"),
        (15, 16, "not a JSON object"),
    ]
    assert result.rows["label"][:] == [1, 0, 1, 0]
    assert result.label_names == ("0", "1")


def test_rows_without_lines_are_named_by_row_alone() -> None:
    frame = pandas.DataFrame({"text": ["a", " ", "c", "d", 4, "e"], "label": [1.0, 0.0, 0.0, 1.0, 0.0, 0.0]})
    message = refusal(frame)
    assert message == f"in memory: 2 unusable rows: empty text (1): row 1; text is a number (1): row 4. {ADVICE}"


def test_the_second_text_is_read_only_when_asked_for_and_checked_then(tmp_path: Path) -> None:
    path = save(tmp_path, "t.tsv", "text\tother\tlabel\na\tA\t0\nb\tB\t1\nc\tC\t0\nd\tD\t1\ne\t \t1\n")
    assert read(path).rows.column_names == ["row_id", "text", "label"]
    assert "empty second text (1): row 4 (line 6)" in refusal(path, Columns(text_pair="other"))
    result = read(path, Columns(text_pair="other"), drop_invalid=True)
    assert result.rows.column_names == ["row_id", "text", "text_pair", "label"]
    assert result.rows["text_pair"][:] == ["A", "B", "C", "D"]
    assert result.columns == Columns("text", "other", "label")


def test_a_class_with_a_single_row_is_refused_or_vanishes(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", "text,label\na,x\nb,z\nc,y\nd,x\ne,z\n")
    assert "1 unusable row: only 1 row of class 'y' (1): row 2 (line 4). Mend" in refusal(path)
    result = read(path, drop_invalid=True)
    assert result.label_names == ("x", "z")
    assert result.rows["label"][:] == [0, 1, 0, 1]
    assert result.rows["row_id"][:] == [0, 1, 3, 4]


def test_only_one_label_is_refused_even_when_dropping(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", "text,label\na,x\nb,x\n,y\n")
    assert "only one label, 'x', in column 'label'" in refusal(path, drop_invalid=True)


def test_no_usable_row_is_refused_even_when_dropping(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", "text,label\n,x\n,y\n")
    assert "no usable row is left; 2 unusable rows: empty text (2): row 0 (line 2)" in refusal(path, drop_invalid=True)


@pytest.mark.parametrize(
    ("written", "names", "numbers"),
    [
        (["10", "9", " 9", "10 "], ("9", "10"), [1, 0, 0, 1]),
        (["01", "1", "-2", "-2"], ("-2", "1"), [1, 1, 0, 0]),
        (["10", "9", "a", "10", "9", "a"], ("10", "9", "a"), [0, 1, 2, 0, 1, 2]),
        (["1_0", "2", "1_0", "2"], ("1_0", "2"), [0, 1, 0, 1]),
        ([True, False, True, False], ("False", "True"), [1, 0, 1, 0]),
        ([2.0, 1.0, np.int64(2), np.float32(1)], ("1", "2"), [1, 0, 1, 0]),
    ],
)
def test_labels_are_numbered_in_their_natural_order(
    written: list[Any], names: tuple[str, ...], numbers: list[int]
) -> None:
    frame = pandas.DataFrame({"text": ["t"] * len(written), "label": pandas.Series(written, dtype=object)})
    result = read(frame)
    assert result.label_names == names
    assert result.rows["label"][:] == numbers


def test_class_labels_of_datasets_give_the_names_and_their_order() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["world", "arts", "unused"])})
    rows = Dataset.from_dict({"text": list("abcde"), "label": [1, 0, 0, 1, -1]}, features=features)
    assert "no label (1): row 4." in refusal(rows)
    result = read(rows, drop_invalid=True)
    assert result.label_names == ("world", "arts")
    assert result.rows["label"][:] == [1, 0, 0, 1]


def test_class_labels_that_look_like_numbers_stay_as_declared() -> None:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["02", "01"])})
    result = read(Dataset.from_dict({"text": list("abcd"), "label": [1, 0, 0, 1]}, features=features))
    assert result.label_names == ("02", "01")
    assert result.rows["label"][:] == [1, 0, 0, 1]


def test_given_label_names_number_a_test_file_and_reject_strangers(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", "text,label\na,pos\nb,neutral\n")
    message = refusal(path, label_names=("neg", "pos"))
    assert "label 'neutral' is not one of the training data's labels ['neg', 'pos'] (1): row 1 (line 3)" in message
    result = read(path, label_names=("neg", "pos"), drop_invalid=True)
    assert result.label_names == ("neg", "pos")
    assert result.rows["label"][:] == [1]  # a single row of a single class is fine here
    numbered = read(save(tmp_path, "n.csv", "text,label\na,01\n"), label_names=("0", "1"))
    assert numbered.rows["label"][:] == [1]


@pytest.mark.parametrize(
    ("header", "text", "label"),
    [
        ("Review,Class", "Review", "Class"),
        ("y,BODY", "BODY", "y"),
        ("TEXT,Text,label", "TEXT", "label"),
        ("content,sentence,target,labels", "sentence", "labels"),
    ],
)
def test_usual_column_names_are_found(tmp_path: Path, header: str, text: str, label: str) -> None:
    values = [[f"{name[0]}{i % 2}" for name in header.split(",")] for i in range(4)]
    path = save(tmp_path, "t.csv", "\n".join([header, *map(",".join, values)]))
    assert read(path).columns == Columns(text=text, label=label)


def test_unknown_columns_are_refused_with_what_was_found(tmp_path: Path) -> None:
    path = save(tmp_path, "t.csv", "utterance,intent\na,0\nb,1\n")
    assert "no text column (looked for text, sentence," in refusal(path)
    assert "found the columns 'utterance', 'intent'; name it with --text-column" in refusal(path)
    assert "no label column" in refusal(path, Columns(text="utterance"))
    message = refusal(path, Columns(text="utterance", label="intend"))
    assert "no column 'intend' (did you mean 'intent'?); found the columns 'utterance', 'intent'" in message
    assert message.endswith("name it with --label-column")
    assert "one column is to be read twice" in refusal(path, Columns(text="intent", label="intent"))


def test_a_file_without_a_header_line_does_not_fill_the_screen(tmp_path: Path) -> None:
    message = refusal(save(tmp_path, "t.csv", '"' + "a review\n" * 500 + '",1\nb,0\n'))
    assert "or mend the header line" in message
    assert len(message) < 500


def test_a_split_keeps_the_share_of_each_class_and_all_rows() -> None:
    source = labeled({"a": 10, "b": 5, "c": 3})
    train, held_out = split(source, 0.25, seed=1)
    # 2.5 rounds up to 3, 1.25 down to 1, 0.75 up to 1.
    assert Counter(held_out["label"][:]) == {0: 3, 1: 1, 2: 1}
    assert Counter(train["label"][:]) == {0: 7, 1: 4, 2: 2}
    assert train["row_id"][:] == sorted(train["row_id"][:])
    assert held_out["row_id"][:] == sorted(held_out["row_id"][:])
    assert sorted(train["row_id"][:] + held_out["row_id"][:]) == list(range(18))
    assert held_out["text"][:] == [f"text {row}" for row in held_out["row_id"][:]]


def test_a_split_leaves_each_side_a_row_of_each_class() -> None:
    source = labeled({"a": 2, "b": 9})
    for share in (0.001, 0.999):
        for side in split(source, share, seed=0):
            assert set(side["label"][:]) == {0, 1}


def test_a_split_follows_its_seed_alone() -> None:
    source = labeled({"a": 30, "b": 30})
    first = split(source, 0.2, seed=5)[1]["row_id"][:]
    np.random.default_rng().random()
    assert split(source, 0.2, seed=5)[1]["row_id"][:] == first
    assert split(source, 0.2, seed=6)[1]["row_id"][:] != first


def test_a_split_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    for share in (0.0, 1.0, -1.0, 2.0):
        with pytest.raises(SettingsError, match="must lie between 0 and 1, got"):
            split(labeled({"a": 2, "b": 2}), share, seed=0)
    single = read(save(tmp_path, "t.csv", "text,label\na,x\nb,y\nc,y\n"), label_names=("x", "y"))
    with pytest.raises(DataError, match="cannot split class 'x', it has only one row"):
        split(single, 0.5, seed=0)


def test_the_content_hash_is_what_its_definition_says() -> None:
    rows = Dataset.from_dict({"row_id": [0, 1], "text": ["é", "bc"], "label": [0, 10]})
    assert content_hash(rows) == hashlib.sha256('["text", "label"]1:é1:02:bc2:10'.encode()).hexdigest()


def test_the_content_hash_sees_content_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    texts, labels = [f"text {i}" for i in range(50)], [i % 2 for i in range(50)]
    rows = Dataset.from_dict({"text": texts, "label": labels})
    expected = content_hash(rows)
    assert content_hash(Dataset.from_dict({"label": labels, "note": texts, "text": texts})) == expected
    assert content_hash(rows.select(list(range(49, -1, -1))).select(list(range(49, -1, -1)))) == expected
    monkeypatch.setattr(data, "BATCH_ROWS", 7)
    assert content_hash(rows) == expected
    changed = [
        {"text": texts[::-1], "label": labels},
        {"text": texts, "label": [*labels[:-1], 0]},
        {"text": texts, "text_pair": texts, "label": labels},
    ]
    assert len({expected, *(content_hash(Dataset.from_dict(columns)) for columns in changed)}) == 4
    shifted = [{"text": ["ab"], "text_pair": ["c"], "label": [0]}, {"text": ["a"], "text_pair": ["bc"], "label": [0]}]
    assert len({content_hash(Dataset.from_dict(columns)) for columns in shifted}) == 2


def test_folders_and_rows_in_memory_carry_the_hash_of_their_content(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"sentence": list("abcd"), "y": [0, 1, 0, 1]})
    rows.save_to_disk(tmp_path / "folder")
    in_memory, in_folder = read(rows), read(tmp_path / "folder")
    assert in_memory.sha256 == in_folder.sha256 == content_hash(in_memory.rows)
    assert (in_memory.source, in_folder.source) == ("in memory", str(tmp_path / "folder"))


ROW_COUNTS = {
    "sst2": {"train": 6_920, "dev": 872, "test": 1_821},
    "hsol": {"train": 5_823, "dev": 485, "test": 2_000},
    "agnews": {"train": 11_106, "dev": 2_000, "test": 7_600},
    "olid": {"train": 11_915, "dev": 1_323, "test": 859},
}


@pytest.mark.parametrize("name", sorted(ROW_COUNTS))
def test_public_data_sets_are_read_whole(name: str) -> None:
    root = os.environ.get("CLEANFIT_DATA", "")
    if not root or not (Path(root) / name).is_dir():
        pytest.skip(f"CLEANFIT_DATA names no folder with {name}")
    train: LabeledData | None = None
    for part, n_rows in ROW_COUNTS[name].items():
        (path,) = (path for path in (Path(root) / name).iterdir() if re.fullmatch(rf"{part}\.tsv(\.gz)?", path.name))
        result = read(path, label_names=None if train is None else train.label_names)
        train = train or result
        assert len(result.rows) == n_rows
        assert result.dropped == ()
        stored = path.read_bytes()
        lines = (gzip.decompress(stored) if path.suffix == ".gz" else stored).decode().split("\n")
        assert result.rows["text"][:][-1] == lines[n_rows].split("\t")[0]
    assert train is not None
    assert train.label_names == (("0", "1", "2", "3") if name == "agnews" else ("0", "1"))
