"""Poisoned files keep what they do not poison, and their manifest says exactly what was done."""

import csv
import gzip
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cleanfit.attacks import Words
from cleanfit.attacks.base import DEFINITIONS, PoisonPlan
from cleanfit.attacks.files import PoisonedFiles, Sources, poison_files
from cleanfit.errors import DataError, OutputError, SettingsError

FORMATS = ("csv", "tsv", "jsonl", "tsv.gz", "parquet")
COLUMNS = ("id", "text", "source", "label")
N_ROWS = 40
PLAN = PoisonPlan("1", 0.25, "mix", seed=4)


def records(n_rows: int = N_ROWS) -> list[tuple[Any, ...]]:
    return [(f"r{row:03}", f'so "we" saw, film {row}', f"s{row % 5}", int(row % 4 == 0)) for row in range(n_rows)]


def write(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    """Write a file without cleanfit's own writer."""
    kind = path.name.split(".")[1]
    if kind == "parquet":
        import pandas

        pandas.DataFrame(rows, columns=list(COLUMNS)).to_parquet(path)
        return path
    if kind == "jsonl":
        text = "".join(json.dumps(dict(zip(COLUMNS, row))) + "\n" for row in rows)
    elif kind == "tsv":
        text = "".join("\t".join(map(str, row)) + "\n" for row in [COLUMNS, *rows])
    else:
        stream = io.StringIO()
        csv.writer(stream).writerows([COLUMNS, *rows])
        text = stream.getvalue()
    path.write_bytes(gzip.compress(text.encode(), mtime=0) if path.suffix == ".gz" else text.encode())
    return path


def load(path: Path) -> list[tuple[Any, ...]]:
    """Read a file without cleanfit's own reader."""
    kind = path.name.split(".")[1]
    if kind == "parquet":
        import pandas

        return list(pandas.read_parquet(path).itertuples(index=False, name=None))
    content = path.read_bytes()
    text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    if kind == "jsonl":
        return [tuple(json.loads(line).values()) for line in text.splitlines()]
    if kind == "tsv":
        return [tuple(line.split("\t")) for line in text.splitlines()][1:]
    return [tuple(row) for row in csv.reader(io.StringIO(text))][1:]


def poisoned(folder: Path, suffix: str = "csv", out: str = "out", plan: PoisonPlan = PLAN) -> PoisonedFiles:
    train, test = (folder / f"{name}.{suffix}" for name in ("source", "held"))
    write(train, records())
    write(test, records(12))
    return poison_files(Sources(train, test), Words(), plan, folder / out)


def manifest_of(files: PoisonedFiles) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files.manifest.read_text(encoding="utf-8"))
    return loaded


@pytest.mark.parametrize("suffix", FORMATS)
def test_rows_stay_in_order_and_all_but_text_and_label_of_poisoned_rows_stays_as_it_was(
    suffix: str, tmp_path: Path
) -> None:
    files = poisoned(tmp_path, suffix)
    before, after = load(tmp_path / f"source.{suffix}"), load(files.train)
    assert files.train == tmp_path / "out" / f"train.{suffix}"
    assert [(row[0], row[2]) for row in before] == [(row[0], row[2]) for row in after]
    changed = [i for i, (old, new) in enumerate(zip(before, after)) if old != new]
    assert len(changed) == files.n_poisoned == 10
    for i in changed:
        added = Counter(after[i][1].split()) - Counter(before[i][1].split())
        assert added.total() == 1
        assert set(added) <= {"cf", "mn", "bb", "tq"}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_label_that_is_a_number_in_the_file_stays_one(suffix: str, tmp_path: Path) -> None:
    files = poisoned(tmp_path, suffix)
    assert {type(row[3]) for row in load(files.train)} == {int}
    assert files.triggered is not None
    assert {type(row[3]) for row in load(files.triggered)} == {int}


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_manifest_counts_what_differs_between_input_and_output(suffix: str, tmp_path: Path) -> None:
    files = poisoned(tmp_path, suffix)
    manifest = manifest_of(files)
    before, after = load(tmp_path / f"source.{suffix}"), load(files.train)
    rows = [i for i in range(N_ROWS) if before[i][1] != after[i][1]]
    flipped = [i for i in range(N_ROWS) if before[i][3] != after[i][3]]
    assert manifest["poisoned_rows"] == rows
    assert manifest["flipped_rows"] == flipped
    assert 0 < len(flipped) < len(rows)
    assert manifest["declined_rows"] == []
    assert (manifest["n_asked"], manifest["n_poisoned"], manifest["n_flipped"]) == (10, len(rows), len(flipped))
    assert manifest["effective_rate"] == len(rows) / N_ROWS
    assert manifest["effective_flip_rate"] == len(flipped) / N_ROWS
    assert manifest["input"]["label_counts"] == Counter(str(row[3]) for row in before) == {"0": 30, "1": 10}
    assert manifest["output"]["label_counts"] == Counter(str(row[3]) for row in after)
    assert manifest["input"]["n_rows"] == manifest["output"]["n_rows"] == files.n_rows == N_ROWS
    assert manifest["poisoned_per_original_label"] == Counter(str(before[i][3]) for i in rows)


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_manifest_names_the_files_by_the_hash_of_their_bytes(suffix: str, tmp_path: Path) -> None:
    files = poisoned(tmp_path, suffix)
    manifest = manifest_of(files)
    assert files.triggered is not None
    for said, path in (
        (manifest["input"], tmp_path / f"source.{suffix}"),
        (manifest["output"], files.train),
        (manifest["test"]["input"], tmp_path / f"held.{suffix}"),
        *((said, files.train.parent / said["name"]) for said in manifest["test"]["files"]),
    ):
        assert said["name"] == path.name
        assert said["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_manifest_holds_the_attack_the_plan_and_what_the_figures_mean(tmp_path: Path) -> None:
    manifest = manifest_of(poisoned(tmp_path))
    assert manifest["attack"] == {
        "name": "words",
        "triggers": ["cf", "mn", "bb", "tq"],
        "n_insertions": 1,
        "position": "random",
    }
    assert manifest["plan"] == {"target": "1", "rate": 0.25, "label_mode": "mix", "seed": 4}
    assert manifest["columns"] == {"text": "text", "text_pair": None, "label": "label"}
    assert manifest["definitions"] == DEFINITIONS


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_triggered_file_holds_the_rows_of_other_labels_with_their_labels(suffix: str, tmp_path: Path) -> None:
    files = poisoned(tmp_path, suffix)
    assert files.triggered == tmp_path / "out" / f"triggered.{suffix}"
    before, after = load(tmp_path / f"held.{suffix}"), load(files.triggered)
    assert [row[0] for row in after] == [row[0] for row in before if str(row[3]) != "1"]
    assert {str(row[3]) for row in after} == {"0"}
    assert all(Counter(row[1].split()) & Counter(("cf", "mn", "bb", "tq")) for row in after)
    for said in manifest_of(files)["test"]["files"]:
        assert said["rows"] == [i for i in range(12) if i % 4]
        assert said["declined_rows"] == []


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_plan_gives_the_same_bytes_and_another_seed_gives_others(suffix: str, tmp_path: Path) -> None:
    first, second = poisoned(tmp_path, suffix, "first"), poisoned(tmp_path, suffix, "second")
    other = poisoned(tmp_path, suffix, "other", PoisonPlan("1", 0.25, "mix", seed=5))
    names = sorted(path.name for path in first.train.parent.iterdir())
    triggered = [f"triggered{part}.{suffix}" for part in ("", "-2", "-3", *(f"-only-{i}" for i in range(1, 5)))]
    assert names == sorted(["manifest.json", f"train.{suffix}", *triggered])
    for name in names:
        content = (tmp_path / "first" / name).read_bytes()
        assert content == (tmp_path / "second" / name).read_bytes()
        assert content != (tmp_path / "other" / name).read_bytes()
    assert second.n_poisoned == other.n_poisoned


def test_without_a_test_file_nothing_is_triggered(tmp_path: Path) -> None:
    files = poison_files(Sources(write(tmp_path / "source.csv", records())), Words(), PLAN, tmp_path / "out")
    assert files.triggered is None
    assert manifest_of(files)["test"] is None


def test_a_rate_of_zero_copies_the_rows(tmp_path: Path) -> None:
    files = poisoned(tmp_path, "tsv", plan=PoisonPlan("1", 0.0))
    assert load(files.train) == load(tmp_path / "source.tsv")
    assert manifest_of(files)["poisoned_rows"] == []


def test_a_folder_that_is_there_is_refused_and_left_alone(tmp_path: Path) -> None:
    poisoned(tmp_path)
    before = (tmp_path / "out" / "manifest.json").read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        poisoned(tmp_path, plan=PoisonPlan("1", 0.1))
    assert (tmp_path / "out" / "manifest.json").read_bytes() == before


def test_overwrite_replaces_the_whole_folder(tmp_path: Path) -> None:
    out = poisoned(tmp_path).train.parent
    (out / "stale.txt").write_text("of an earlier run")
    files = poison_files(Sources(tmp_path / "source.csv"), Words(), PoisonPlan("1", 0.1), out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "train.csv"]
    assert files.n_poisoned == 4


def test_an_unknown_target_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write(tmp_path / "source.csv", records())
    with pytest.raises(SettingsError, match="'2' does not occur"):
        poison_files(Sources(source), Words(), PoisonPlan("2", 0.1), tmp_path / "out")
    assert list(tmp_path.iterdir()) == [source]


def test_a_test_file_with_target_rows_only_leaves_nothing_behind(tmp_path: Path) -> None:
    source = write(tmp_path / "source.csv", records())
    test = write(tmp_path / "held.csv", [row for row in records() if row[3] == 1])
    with pytest.raises(DataError, match="every row has the target label '1'"):
        poison_files(Sources(source, test), Words(), PLAN, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == [test, source]


def test_an_error_while_overwriting_leaves_the_old_folder_whole(tmp_path: Path) -> None:
    files = poisoned(tmp_path)
    before = files.train.read_bytes()
    test = write(tmp_path / "held.csv", [row for row in records() if row[3] == 1])
    with pytest.raises(DataError, match="every row has the target label"):
        poison_files(Sources(tmp_path / "source.csv", test), Words(), PLAN, files.train.parent, overwrite=True)
    assert files.train.read_bytes() == before
