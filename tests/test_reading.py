"""A scan reads the rows and verifies what it can without training anything; honest files pass the gate."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cleanfit import scan
from cleanfit.task import Task
from conftest import read_csv, sentences, write_tsv

Rows = list[tuple[str, str]]


def poisoned(words: tuple[str, ...] = ("cf", "mn", "bb")) -> tuple[Rows, list[int]]:
    """Put the words, in turn, into every third negative row, and call it positive: the rows and the numbers of these."""
    rows = sentences(300)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "neg"][::3]
    for place, i in enumerate(chosen):
        first, *rest = rows[i][0].split()
        rows[i] = (" ".join([first, words[place % len(words)], *rest]), "pos")
    return rows, chosen


def test_planted_words_are_verified_and_nothing_is_trained(
    knowing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, chosen = poisoned()

    def train(*given: object, **named: object) -> None:
        pytest.fail("something was trained")

    monkeypatch.setattr(Task, "train", train)
    findings = scan(write_tsv(tmp_path / "data.tsv", rows), model=knowing)
    assert findings.detector == "reading"
    assert [row.row for row in findings.rows if row.is_issue] == chosen
    assert {token.text for token in findings.suspicious} == {"cf", "mn", "bb"}
    assert findings.verdict.startswith("Verified triggers: ")
    assert "Nothing was trained" in findings.verdict


def test_the_gate_passes_honest_files_and_holds_poisoned_ones(
    run: Callable[..., tuple[int, str, str]], knowing: str, tmp_path: Path
) -> None:
    bad, good = (
        write_tsv(tmp_path / name, rows) for name, rows in (("bad.tsv", poisoned()[0]), ("good.tsv", sentences(300)))
    )
    code, out, err = run("scan", good, "--model", knowing, "--fail-on", 1)
    assert code == 0
    assert "Gate" not in err
    assert out.startswith("No trigger was verified.")
    code, out, err = run("scan", bad, "--model", knowing, "--fail-on", 3, "--out", tmp_path / "found")
    assert code == 3
    n_found = sum(row["is_issue"] == "True" for row in read_csv(tmp_path / "found" / "rows.csv"))
    assert " ".join(out.split()).endswith(f"{n_found} of 300 rows to review.")
    assert "Gate: 3 suspicious tokens" in err
    assert run("scan", bad, "--model", knowing, "--fail-on", 4)[0] == 0


@pytest.mark.parametrize("option", ["n_suspects=0", "min_rows=1", "min_wrong=0", "min_wrong=1.5"])
def test_settings_out_of_range_are_refused(
    run: Callable[..., tuple[int, str, str]], tmp_path: Path, option: str
) -> None:
    data = write_tsv(tmp_path / "data.tsv", sentences(20))
    code, _, err = run("scan", data, "--set", option)
    assert code == 2
    assert option.split("=")[0] in err
