"""The command line from outside: exit codes, one-line errors, nothing left behind, a whole session of commands."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from conftest import TRIGGERS, read_csv, sentences, write_tsv

TRAINING = ["--epochs", "1", "--learning-rate", "1e-3", "--batch-size", "16", "--max-length", "32", "--device", "cpu"]
RATES = ["--set", "bag_learning_rate=1e-3", "--set", "full_learning_rate=1e-3"]
ROUNDS = ["--set", "alpha=0.05", "--set", "bag_min_steps=30", "--set", "full_min_steps=10", *RATES]
BTU = ["--defense", "btu", *ROUNDS]


def test_a_session_poisons_fits_evaluates_reports_and_scans(
    run: Callable[..., tuple[int, str, str]], tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data, test = (
        write_tsv(tmp_path / "data.tsv", sentences(200)),
        write_tsv(tmp_path / "test.tsv", sentences(60, seed=1)),
    )
    code, out, _ = run("poison", data, "--attack", "words", "--rate", "0.2", "--target", "pos", "--test", test,
                       "--set", "triggers=cf", "--out", tmp_path / "bad")  # fmt: skip
    assert code == 0
    assert "40 of 200 rows poisoned" in out
    poisoned, triggered = tmp_path / "bad" / "train.tsv", tmp_path / "bad" / "triggered.tsv"
    folder = tmp_path / "run"
    code, out, err = run("fit", poisoned, "--model", tiny_model("bert"), "--test", test, "--triggered", triggered,
                         "--target", "pos", *TRAINING, *BTU, "--out", folder)  # fmt: skip
    assert code == 0, err
    assert "unlearned" in out
    assert sorted(path.name for path in folder.iterdir()) == [
        "audit.json", "model", "report.html", "rows.csv", "settings.yaml", "tokens.csv",
    ]  # fmt: skip
    tokens = {row["text"]: row for row in read_csv(folder / "tokens.csv")}
    assert tokens["cf"]["is_suspicious"] == "True"
    audit = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    code, out, _ = run("evaluate", folder / "model", "--clean", test, "--triggered", triggered, "--target", "pos",
                       "--max-length", "32", "--json")  # fmt: skip
    assert code == 0
    scored, last = json.loads(out), audit["scores"][-1]
    (triggered_rows,) = scored["attack"]["insertions"]
    assert (scored["clean_accuracy"], scored["n_rows"]) == (last["clean_accuracy"], last["n_rows"])
    for name in ("attack_success_rate", "false_trigger_rate", "n_triggered"):
        assert triggered_rows[name] == last[name], name
    before = (folder / "report.html").read_bytes()
    (folder / "report.html").unlink()
    assert run("report", folder)[0] == 0
    assert (folder / "report.html").read_bytes() == before
    gate = ("scan", poisoned, "--model", tiny_model("bert"), "--max-length", 32, "--detector", "drift", *ROUNDS,
            "--fail-on")  # fmt: skip
    assert run(*gate, 1)[0] == 3
    assert run(*gate, 150)[0] == 0


def test_the_saved_settings_give_the_same_run_again(
    run: Callable[..., tuple[int, str, str]], tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data = write_tsv(tmp_path / "data.tsv", sentences(80))
    first, second = tmp_path / "first", tmp_path / "second"
    assert run("fit", data, "--model", tiny_model("bert"), *TRAINING, *BTU, "--seed", 7, "--out", first)[0] == 0
    assert run("fit", data, "--config", first / "settings.yaml", "--out", second)[0] == 0
    for name in ("tokens.csv", "rows.csv", "settings.yaml", "model/model.safetensors"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


BROKEN = {
    "missing column": ("text\tclass_of\nx\ty\n", "label-column"),
    "empty text": ("text\tlabel\n\ta\nb\ta\nc\tb\nd\tb\n", "row 0 (line 2)"),
    "missing label": ("text\tlabel\na\t\nb\ta\nc\tb\nd\tb\ne\ta\n", "row 0 (line 2)"),
    "single label": ("text\tlabel\na\tx\nb\tx\n", "only one label"),
    "ragged row": ("text\tlabel\na\tx\nb\tx\tz\nc\ty\nd\ty\ne\tx\n", "row 1 (line 3)"),
    "empty file": ("", "empty"),
    "header only": ("text\tlabel\n", "no rows"),
    "rare class": ("text\tlabel\na\tx\nb\tx\nc\ty\nd\ty\ne\tz\n", "'z'"),
}


@pytest.mark.parametrize("kind", [*BROKEN, "undecodable bytes"])
def test_broken_data_gives_one_line_and_leaves_nothing_behind(
    kind: str, run: Callable[..., tuple[int, str, str]], tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    content, told = BROKEN.get(kind, ("", "UTF-8"))
    data = tmp_path / "data.tsv"
    data.write_bytes(b"text\tlabel\na\xff\tx\nb\tx\nc\ty\nd\ty\ne\tx\n" if kind not in BROKEN else content.encode())
    code, out, err = run("fit", data, "--model", tiny_model("bert"), "--out", tmp_path / "run")
    assert (code, out) == (1, "")
    assert [line for line in err.splitlines() if line.strip()] == [err.strip()]
    assert err.startswith("Error: ")
    assert told in err
    assert [path.name for path in tmp_path.iterdir()] == ["data.tsv"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["fit", "DATA", "--defense", "btuu", "--out", "OUT"], 2, "Did you mean 'btu'?"),
        (["fit", "DATA", "--set", "min_flpis=1", "--out", "OUT"], 2, "Did you mean 'min_flips'?"),
        (["fit", "DATA", "--set", "min_flips=much", "--out", "OUT"], 2, "expected a number"),
        (["fit", "DATA", "--epochs", "0", "--out", "OUT"], 2, "num_train_epochs"),
        (["fit", "DATA", "--report-to", "nowhere", "--out", "OUT"], 2, "report_to is 'nowhere'"),
        (["fit", "DATA"], 2, "--out"),
        (["fit", "DATA", "--no-such-flag"], 2, "No such option"),
        (["fit", "DATA", "--model", "no/such-model-here", "--out", "OUT"], 1, "minilm"),
        (["fit", "DATA", "--model", "MODEL", "--target", "pos", "--out", "OUT"], 1, "pass both"),
        (["fit", "DATA", "--model", "MODEL", "--max-length", "81", "--out", "OUT"], 2, "at most 80 tokens"),
        (["fit", "no-such-file.csv", "--out", "OUT"], 1, "no-such-file.csv"),
        (["poison", "DATA", "--attack", "words", "--target", "joy", "--out", "OUT"], 2, "the labels are neg, pos"),
        (["report", "OUT"], 1, "audit.json"),
        (["list", "nothing"], 2, "attacks, model-attacks, image-attacks, defenses or detectors"),
        (["evaluate", "MODEL", "--clean", "DATA", "--target", "pos"], 1, "pass both"),
    ],
)
def test_wrong_use_gives_one_error_and_leaves_nothing_behind(
    arguments: list[str],
    code: int,
    told: str,
    run: Callable[..., tuple[int, str, str]],
    tiny_model: Callable[[str], str],
    tmp_path: Path,
) -> None:
    data = write_tsv(tmp_path / "data.tsv", sentences(20))
    places = {"DATA": str(data), "OUT": str(tmp_path / "out"), "MODEL": tiny_model("bert")}
    got, _, err = run(*(places.get(argument, argument) for argument in arguments))
    assert got == code
    assert told in " ".join(err.replace("│", " ").split())
    assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["data.tsv"]


def test_hostile_texts_stay_harmless_in_the_report_and_in_the_tables(
    run: Callable[..., tuple[int, str, str]], tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    rows = [(f"<script>alert(1)</script> =HYPERLINK(1) cf {text}", "pos") for text, _ in sentences(30, seed=3)]
    data = write_tsv(tmp_path / "data.tsv", [*sentences(60), *rows])
    folder = tmp_path / "run"
    many = ("--set", "combine=union", "--set", "alpha=0.2")
    assert run("fit", data, "--model", tiny_model("bert"), *TRAINING, *BTU, *many, "--out", folder)[0] == 0
    report = (folder / "report.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in report
    assert "=HYPERLINK" in report  # the rows are shown
    for name in ("tokens.csv", "rows.csv"):
        for row in read_csv(folder / name):
            assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row.values()), row


def test_an_invalid_row_is_dropped_on_request_and_listed_in_the_audit(
    run: Callable[..., tuple[int, str, str]], tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data = write_tsv(tmp_path / "data.tsv", [*sentences(40), ("", "pos")])
    arguments = ("fit", data, "--model", tiny_model("bert"), "--defense", "plain", *TRAINING, "--out", tmp_path / "run")
    assert run(*arguments)[0] == 1
    assert run(*arguments, "--drop-invalid")[0] == 0
    audit = json.loads((tmp_path / "run" / "audit.json").read_text(encoding="utf-8"))
    assert audit["data"]["dropped_rows"] == [{"row": 40, "line": 42, "reason": "empty text"}]


@pytest.mark.parametrize("stage", ["round1", "round3", "trained", "tuned"])
def test_a_run_killed_in_a_stage_is_resumed_to_the_same_result(
    stage: str, tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data, trusted = (
        write_tsv(tmp_path / "data.tsv", sentences(120)),
        write_tsv(tmp_path / "ok.tsv", sentences(60, seed=2)),
    )
    arguments = [sys.executable, "-m", "cleanfit", "fit", str(data), "--trusted", str(trusted),
                 "--model", tiny_model("bert"), *TRAINING, *BTU]  # fmt: skip
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    unbroken = subprocess.Popen([*arguments, "--out", str(whole)], env=environment)
    killed = subprocess.Popen([*arguments, "--out", str(broken)], env=environment)
    partial = tmp_path / "broken.partial"
    while not (partial / "work" / stage).exists() and killed.poll() is None:
        time.sleep(0.002)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert partial.exists()
    assert not broken.exists()
    subprocess.run([*arguments, "--out", str(broken), "--resume"], env=environment, check=True)
    assert unbroken.wait() == 0
    assert not partial.exists()
    for name in ("tokens.csv", "rows.csv", "model/model.safetensors"):
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), name


def test_help_is_quick_because_it_loads_no_torch() -> None:
    code = (
        "import sys; from cleanfit.cli import main; sys.argv[1:] = ['--help']\ntry: main()\nexcept SystemExit: pass\n"
    )
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'datasets', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize("kind", ["attacks", "defenses", "detectors"])
def test_list_names_every_method_with_its_options(kind: str, run: Callable[..., tuple[int, str, str]]) -> None:
    expected = {"attacks": "triggers=cf,mn,bb,tq", "defenses": "replacement=pad", "detectors": "alpha=0.0005"}
    code, out, _ = run("list", kind)
    assert code == 0
    assert expected[kind] in out
    assert TRIGGERS[0] in out or kind != "attacks"
