"""When an output folder is refused, resumed, replaced or left behind."""

import csv
import os
import threading
from pathlib import Path

import pytest

from cleanfit.errors import DataError, OutputError
from cleanfit.run_folder import RunFolder, write_csv

FINGERPRINT = {"data": "abc", "settings": {"seed": 0, "rounds": (1, 2)}}


def finish(folder: RunFolder, content: str = "new") -> None:
    with folder.open(FINGERPRINT) as (result, _):
        (result / "audit.json").write_text(content)


def break_off(folder: RunFolder, error: BaseException) -> None:
    with folder.open(FINGERPRINT) as (result, work):
        (result / "half.txt").write_text("half")
        (work / "checkpoint").write_text("step 3")
        raise error


def interrupt(folder: RunFolder) -> None:
    with pytest.raises(RuntimeError, match="power cut"):
        break_off(folder, RuntimeError("power cut"))


def test_the_result_appears_whole_at_the_end_and_nothing_else_stays(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "deep" / "run")
    with folder.open(FINGERPRINT) as (result, work):
        (result / "audit.json").write_text("new")
        (work / "checkpoint").write_text("step 3")
        assert not folder.path.exists()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["run"]
    assert [path.name for path in folder.path.iterdir()] == ["audit.json"]


def test_a_finished_run_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    finish(folder, "old")
    for call in (folder.check, lambda: finish(folder)):
        with pytest.raises(OutputError, match=r"exists already\. Pass --overwrite"):
            call()
    assert (folder.path / "audit.json").read_text() == "old"
    assert list(tmp_path.iterdir()) == [folder.path]


def test_an_interrupted_run_is_refused_unless_resumed(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    interrupt(folder)
    with pytest.raises(OutputError, match=r"holds an interrupted run\. Pass --resume"):
        finish(folder)
    assert (folder.partial / "work" / "checkpoint").read_text() == "step 3"


def test_resuming_keeps_the_work_and_begins_the_result_anew(tmp_path: Path) -> None:
    interrupt(RunFolder(tmp_path / "run"))
    with RunFolder(tmp_path / "run", resume=True).open(FINGERPRINT) as (result, work):
        assert (work / "checkpoint").read_text() == "step 3"
        assert list(result.iterdir()) == []
        (result / "audit.json").write_text("new")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["audit.json"]
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]


def test_resuming_where_nothing_was_interrupted_just_begins(tmp_path: Path) -> None:
    finish(RunFolder(tmp_path / "run", resume=True))
    assert (tmp_path / "run" / "audit.json").read_text() == "new"


def test_resuming_with_other_inputs_is_refused_and_names_what_changed(tmp_path: Path) -> None:
    interrupt(RunFolder(tmp_path / "run"))
    folder = RunFolder(tmp_path / "run", resume=True)
    changed = {"data": "abc", "settings": {"seed": 1, "rounds": (1, 2)}, "model": "other"}
    with pytest.raises(OutputError, match=r"had other model, settings\. Resume it with the same inputs"):
        folder.open(changed).__enter__()
    assert (folder.partial / "work" / "checkpoint").exists()
    finish(folder)  # the right inputs still resume it


def test_overwrite_begins_an_interrupted_run_anew(tmp_path: Path) -> None:
    interrupt(RunFolder(tmp_path / "run"))
    with RunFolder(tmp_path / "run", overwrite=True).open({"data": "other"}) as (_, work):
        assert list(work.iterdir()) == []


def test_overwrite_replaces_a_finished_run_only_at_the_end(tmp_path: Path) -> None:
    finish(RunFolder(tmp_path / "run"), "old")
    (tmp_path / "run" / "stale.txt").write_text("of the old run")
    with RunFolder(tmp_path / "run", overwrite=True).open(FINGERPRINT) as (result, _):
        (result / "audit.json").write_text("new")
        assert (tmp_path / "run" / "audit.json").read_text() == "old"
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["audit.json"]
    assert (tmp_path / "run" / "audit.json").read_text() == "new"
    assert list(tmp_path.iterdir()) == [tmp_path / "run"]


def test_an_error_of_the_users_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 3"):
        break_off(RunFolder(tmp_path / "run"), DataError("row 3"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_any_other_interruption_leaves_what_is_needed_to_go_on(error: type[BaseException], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(error):
        break_off(folder, error())
    assert list(tmp_path.iterdir()) == [folder.partial]
    finish(RunFolder(tmp_path / "run", resume=True))


@pytest.mark.parametrize("how", [{"resume": True}, {"overwrite": True}])
def test_a_folder_in_which_a_run_is_going_on_is_refused_and_left_alone(how: dict[str, bool], tmp_path: Path) -> None:
    with RunFolder(tmp_path / "run").open(FINGERPRINT) as (result, work):
        (work / "checkpoint").write_text("step 3")
        (result / "audit.json").write_text("first")
        refused: list[BaseException] = []

        def second() -> None:
            try:
                finish(RunFolder(tmp_path / "run", **how))
            except OutputError as error:
                refused.append(error)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert "Another process is working in" in str(refused)
        assert (work / "checkpoint").read_text() == "step 3"
    assert (tmp_path / "run" / "audit.json").read_text() == "first"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Cannot write"):
        finish(RunFolder(tmp_path / "run"))


def test_a_file_in_the_place_of_a_parent_folder_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="Cannot write"):
        finish(RunFolder(tmp_path / "file" / "run"))


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell: str, tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("a", "b"), [(cell, "safe")])
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as stream:
        assert list(csv.reader(stream)) == [["a", "b"], [f"'{cell}", "safe"]]


def test_numbers_and_harmless_cells_are_written_as_they_are(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("a", "b", "c"), [(-1.5, "x=1", 'say "a", b'), (True, "", "ü")])
    assert (tmp_path / "t.csv").read_text(encoding="utf-8") == 'a,b,c\n-1.5,x=1,"say ""a"", b"\nTrue,,ü\n'
