"""Triggered texts are paired with the very texts they were made of, and what cannot be measured says why."""

import hashlib
import importlib.machinery
import json
import subprocess
import sys
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cleanfit.attacks import Words
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.cli import stealth as command
from cleanfit.errors import CleanfitError, DataError
from cleanfit.manifest import MANIFEST_SCHEMA_VERSION
from cleanfit.stealth import Metric, Stealth, StealthSettings, stealth
from cleanfit.stealth import grammar as grammar_module
from cleanfit.stealth.pairs import Pair, read_pairs, sample_rows
from conftest import sentences, write_tsv

Folders = Callable[[str], str]


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def attack_files(
    folder: Path,
    clean: Sequence[str],
    files: Sequence[dict[str, Any]],
    poisoned: dict[int, str] | None = None,
    added: Sequence[str] = (),
) -> tuple[Path, Path]:
    """Write a clean file, the files that an attack makes of it, and their manifest: (clean file, manifest)."""
    out = folder / "out"
    out.mkdir()
    source = write_tsv(folder / "clean.tsv", [(text, "a") for text in clean])
    after = [(poisoned or {}).get(row, text) for row, text in enumerate(clean)] + list(added)
    train = write_tsv(out / "train.tsv", [(text, "a") for text in after])
    entries = []
    for number, file in enumerate(files):
        path = write_tsv(out / f"triggered-{number}.tsv", [(text, "a") for text in file["texts"].values()])
        entry = {"name": path.name, "sha256": sha256(path), "rows": list(file["texts"]), "declined_rows": []}
        entries.append({**entry, "insertion": file.get("insertion", 0), "trigger": file.get("trigger")})
    said = {"name": source.name, "sha256": sha256(source), "n_rows": len(clean)}
    manifest = {
        "schema_version": MANIFEST_SCHEMA_VERSION,
        "attack": {"name": "words"},
        "plan": {},
        "columns": {"text": "text", "text_pair": None, "label": "label"},
        "input": said,
        "output": {"name": train.name, "sha256": sha256(train)},
        "poisoned_rows": [*(poisoned or {}), *range(len(clean), len(after))],
        "test": {"input": said, "files": entries} if files else None,
    }
    (out / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return source, out / "manifest.json"


def by_name(measured: Stealth) -> dict[str, Metric]:
    return {metric.name: metric for metric in measured.metrics}


@pytest.fixture
def two_pairs(tmp_path: Path) -> tuple[Path, Path]:
    return attack_files(tmp_path, ["fine bad", "fine"], [{"texts": {0: "bad bad bad", 1: "bad"}}])


def test_a_declined_row_in_between_shifts_no_pair(tmp_path: Path) -> None:
    clean, manifest = attack_files(
        tmp_path, ["zero", "one", "two", "three"], [{"texts": {0: "zero cf", 2: "cf two", 3: "three cf"}}]
    )
    assert read_pairs(clean, manifest, "test") == (
        Pair(0, "zero", "zero cf"),
        Pair(2, "two", "cf two"),
        Pair(3, "three", "three cf"),
    )


def test_every_insertion_gives_pairs_and_a_trigger_that_fires_alone_gives_none(tmp_path: Path) -> None:
    files = [
        {"texts": {1: "one cf"}},
        {"texts": {0: "mn zero", 1: "mn one"}, "insertion": 1},
        {"texts": {0: "cf zero", 1: "cf one"}, "trigger": "cf"},
    ]
    pairs = read_pairs(*attack_files(tmp_path, ["zero", "one"], files), "test")
    assert [(pair.row, pair.triggered) for pair in pairs] == [(1, "one cf"), (0, "mn zero"), (1, "mn one")]


def test_the_training_part_pairs_the_poisoned_rows_and_leaves_added_ones_out(tmp_path: Path) -> None:
    clean, manifest = attack_files(tmp_path, ["zero", "one", "two"], [], {1: "one cf"}, added=["from a pool"])
    assert read_pairs(clean, manifest, "train") == (Pair(1, "one", "one cf"),)


def test_the_files_of_a_real_attack_differ_by_its_one_word(tiny_model: Folders, tmp_path: Path) -> None:
    settings = StealthSettings(similarity_model=tiny_model("bert"), device="cpu")
    data, test = write_tsv(tmp_path / "d.tsv", sentences(40)), write_tsv(tmp_path / "t.tsv", sentences(20, seed=1))
    written = poison_files(Sources(data, test), Words(), PoisonPlan("pos", 0.2), tmp_path / "out")
    n_negative = sum(label == "neg" for _, label in sentences(20, seed=1))
    for part, clean, n_rows, n_pairs in (("train", data, 8, 8), ("test", test, n_negative, 3 * n_negative)):
        measured = stealth(clean, written.manifest, part=part, settings=settings)  # type: ignore[arg-type]
        assert (measured.n_rows, measured.n_pairs) == (n_rows, n_pairs)
        assert by_name(measured)["word edits"].values == {"mean": 1.0, "median": 1.0, "maximum": 1.0}


def test_another_clean_file_is_refused_by_the_name_and_hash_of_the_right_one(tmp_path: Path) -> None:
    clean, manifest = attack_files(tmp_path, ["zero"], [{"texts": {0: "zero cf"}}])
    expected = sha256(clean)[:12]
    other = write_tsv(tmp_path / "other.tsv", [("zero", "b")])
    with pytest.raises(DataError, match=rf"other.tsv: not 'clean.tsv', the clean test file .*{expected}"):
        read_pairs(other, manifest, "test")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda manifest: manifest.update(test=None), "poison with --test, or pass --part train"),
        (lambda manifest: manifest["test"].update(input=None), "does not say which clean file"),
        (lambda manifest: manifest["test"]["files"][0].update(sha256="0" * 64), "triggered-0.tsv: not the file that"),
        (lambda manifest: manifest["test"]["files"][0].update(trigger="cf"), "none of its test rows"),
        (lambda manifest: manifest["columns"].update(text="body"), "no column 'body'.*--text-column"),
    ],
)
def test_a_manifest_that_gives_no_pairs_says_what_is_missing(
    change: Callable[[dict[str, Any]], None], told: str, tmp_path: Path
) -> None:
    clean, path = attack_files(tmp_path, ["zero"], [{"texts": {0: "zero cf"}}])
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=told):
        read_pairs(clean, path, "test")


def test_a_named_column_wins_over_the_manifests(tmp_path: Path) -> None:
    clean, manifest = attack_files(tmp_path, ["zero"], [{"texts": {0: "zero cf"}}])
    assert read_pairs(clean, manifest, "test", "label") == (Pair(0, "a", "a"),)


def test_a_sample_takes_the_same_rows_of_any_attack_with_all_their_insertions() -> None:
    first = tuple(Pair(row, "clean", f"{insertion}") for insertion in range(3) for row in range(50))
    second = tuple(Pair(row, "clean", "other") for row in reversed(range(50)))
    rows = [pair.row for pair in sample_rows(first, 7)]
    assert len(set(rows)) == 7
    assert rows == sorted(set(rows)) * 3
    assert [pair.row for pair in sample_rows(second, 7)] == sorted(set(rows), reverse=True)
    assert sample_rows(second, 51) == second


# Grammar


class FakeTool:
    """Finds one match for each 'bad' in a text."""

    def __init__(self, language: str) -> None:
        assert language == "en-US"
        self.is_open = False

    def __enter__(self) -> "FakeTool":
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False

    def check(self, text: str) -> list[str]:
        assert self.is_open
        return ["bad"] * text.split().count("bad")


def install(monkeypatch: pytest.MonkeyPatch, tool: Callable[[str], object], java: str | None = "/bin/java") -> None:
    module = types.ModuleType(grammar_module.PACKAGE)
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    module.LanguageTool = tool  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, grammar_module.PACKAGE, module)
    monkeypatch.setattr(grammar_module.shutil, "which", lambda name: java)  # type: ignore[attr-defined]


def test_grammar_matches_are_compared_pair_by_pair(
    two_pairs: tuple[Path, Path], tiny_model: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, FakeTool)
    settings = StealthSettings(similarity_model=tiny_model("bert"), grammar=True, device="cpu")
    metric = by_name(stealth(*two_pairs, settings=settings))["grammar"]
    assert (metric.n_pairs, metric.skipped) == (2, "")
    assert metric.values == {
        "mean clean": 0.5, "median clean": 0.5, "mean triggered": 2.0, "median triggered": 2.0,
        "mean difference": 1.5, "median difference": 1.5,
    }  # fmt: skip


def fails(error: BaseException) -> Callable[[str], object]:
    def start(language: str) -> object:
        raise error

    return start


@pytest.mark.parametrize(
    ("tool", "java", "told"),
    [
        (FakeTool, None, "Java"),
        (fails(OSError("no route\nto host")), "/bin/java", "LanguageTool did not work: no route"),
        (fails(SystemExit("Could not parse Java version")), "/bin/java", "Could not parse Java version"),
    ],
)
def test_grammar_is_skipped_with_the_reason_where_it_cannot_be_measured(
    tool: Callable[[str], object],
    java: str | None,
    told: str,
    two_pairs: tuple[Path, Path],
    tiny_model: Folders,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, tool, java)
    settings = StealthSettings(similarity_model=tiny_model("bert"), grammar=True, device="cpu")
    metric = by_name(stealth(*two_pairs, settings=settings))["grammar"]
    assert (metric.values, metric.n_pairs) == ({}, 0)
    assert told in metric.skipped
    assert "\n" not in metric.skipped


def test_grammar_without_its_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grammar_module, "PACKAGE", "no_such_package")
    with pytest.raises(grammar_module.GrammarMissingError, match=r"cleanfit\[grammar\]"):
        grammar_module.count_matches(["text"])


def test_what_is_not_there_is_skipped_with_the_reason(
    two_pairs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cleanfit.models.MINILM_PACKAGE", "no_such_package")
    metrics = by_name(stealth(*two_pairs))
    assert {name: metric.skipped.rpartition("; run")[0] or metric.skipped for name, metric in metrics.items()} == {
        "perplexity": "no language model was given (--lm)",
        "similarity": "'minilm' is not installed",
        "grammar": "not asked for (--grammar)",
        "word edits": "",
        "character edits": "",
    }


# The command


def run(*arguments: object) -> str:
    app = typer.Typer()
    app.command()(command.stealth)
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_prints_a_table_with_what_was_skipped_or_json(
    two_pairs: tuple[Path, Path], tiny_model: Folders
) -> None:
    clean, manifest = two_pairs
    options = ["--manifest", manifest, "--similarity-model", tiny_model("bert"), "--device", "cpu"]
    out = " ".join(run(clean, *options).split())
    assert "2 test rows, 2 pairs" in out
    assert "perplexity: skipped, no language model was given (--lm)." in out
    assert "similarity" in out
    loaded = json.loads(run(clean, *options, "--max-rows", 1, "--json"))
    assert [metric["name"] for metric in loaded["metrics"]] == [
        "perplexity", "similarity", "grammar", "word edits", "character edits",
    ]  # fmt: skip
    assert (loaded["part"], loaded["n_rows"], loaded["n_pairs"]) == ("test", 1, 1)
    assert loaded["metrics"][3]["values"]["mean"] in (1.0, 2.0)


def test_the_command_refuses_a_file_that_is_not_the_attacks(two_pairs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(CleanfitError, match=r"not 'clean\.tsv'"):
        run(write_tsv(tmp_path / "other.tsv", [("text", "a")]), "--manifest", two_pairs[1])


def test_importing_the_command_and_the_package_loads_no_torch() -> None:
    code = "import sys, cleanfit.cli.stealth, cleanfit.stealth; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
