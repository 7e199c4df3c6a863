"""Figures say what they show, studies run no cell twice, and the commands do all of it."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import matplotlib.colors
import numpy as np
import pytest
from matplotlib.axes import Axes

from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.attacks.words import Words
from cleanfit.errors import OutputError, SettingsError
from cleanfit.metrics import pareto_front
from cleanfit.run_folder import RunFolder
from cleanfit.settings import TrainingSettings
from cleanfit.trajectory import Looks, Point, Recipe, Subject, cells, poison_rates, sweep
from cleanfit.trajectory.cells import Cell
from cleanfit.trajectory.looks import summarize
from cleanfit.trajectory.plots import save_figure, stage_figure, state_figure
from cleanfit.trajectory.states import StateMaps
from cleanfit.trajectory.study_plots import heat_figure, pareto_figure, rate_figure
from conftest import sentences, write_tsv

Folders = Callable[[str], str]
Run = Callable[..., tuple[int, str, str]]
SETTINGS = TrainingSettings(
    learning_rate=1e-3, max_steps=2, per_device_train_batch_size=10, max_length=32, precision="fp32", device="cpu"
)
LOOKS = (
    Point(0, 0.0, 1e-3, 0.5, 0.7, 0.71, 0.69, 1.0, 0.9, 6.0),
    Point(4, 0.5, 8e-4, 0.7, 0.5, 0.4, 0.8, 0.3, 0.2, 5.0),
    Point(16, 2.0, 0.0, 0.9, 0.2, 0.1, 0.3, 0.8, 0.1, 1.0),
)


def drawn(axes: Axes) -> dict[str, tuple[list[float], list[float]]]:
    """What each entry of a legend stands for: the data of the line with the entry's colour and dashes."""
    legend = axes.get_legend()
    assert legend is not None
    found = {}
    for handle, text in zip(legend.get_lines(), legend.get_texts()):
        sign = (handle.get_color(), handle.get_linestyle())
        (line,) = [line for line in axes.lines if (line.get_color(), line.get_linestyle()) == sign]
        found[text.get_text()] = (list(map(float, line.get_xdata())), list(map(float, line.get_ydata())))
    return found


def cell(accuracy: float, success: float, **over: float) -> Cell:
    last = dataclasses.replace(LOOKS[2], clean_accuracy=accuracy, attack_success_rate=success)
    return Cell("name", over, 16, 99, summarize((*LOOKS[:2], last)))


def test_each_entry_of_the_stage_plots_legends_stands_for_its_own_curve() -> None:
    scores, losses, separation = stage_figure(LOOKS).axes
    assert drawn(scores) == {
        "clean accuracy": ([0, 4, 16], [0.5, 0.7, 0.9]),
        "attack success rate": ([0, 4, 16], [1.0, 0.3, 0.8]),
        "false-trigger rate": ([0, 4, 16], [0.9, 0.2, 0.1]),
    }
    assert drawn(losses) == {
        "clean training rows": ([0, 4, 16], [0.71, 0.4, 0.1]),
        "poisoned training rows": ([0, 4, 16], [0.69, 0.8, 0.3]),
    }
    assert list(drawn(separation).values()) == [([0, 4, 16], [6.0, 5.0, 1.0])]
    assert scores.get_ylim() == pytest.approx((0, 1), abs=0.05)


def test_a_stage_plot_without_ground_truth_shows_what_there_is() -> None:
    scores, losses = stage_figure([Point(0, 0, 0, 0.5, 0.7), Point(9, 1, 0, 0.8, 0.3)]).axes
    assert drawn(scores) == {"clean accuracy": ([0, 9], [0.5, 0.8])}
    assert drawn(losses) == {"all training rows": ([0, 9], [0.7, 0.3])}


def test_a_row_of_a_state_map_is_drawn_once_in_the_colour_that_the_legend_gives_it() -> None:
    labels, is_poisoned = np.array([0, 0, 1, 1, 1]), np.array([False, True, False, True, False])
    planes = np.arange(20.0).reshape(2, 5, 2)
    figure = state_figure(StateMaps((0, 8), planes, labels, is_poisoned), ("neg", "a $x$ pos"))
    (legend,) = figure.legends
    signs = {
        matplotlib.colors.to_hex(handle.get_facecolor()[0]): text.get_text()  # type: ignore[attr-defined]
        for handle, text in zip(legend.legend_handles, legend.get_texts())
    }
    assert sorted(signs.values()) == ["a $x$ pos", "neg", "poisoned"]
    expected = {"neg": [0], "a $x$ pos": [2, 4], "poisoned": [1, 3]}
    for axes, plane, step in zip(figure.axes, planes, (0, 8)):
        assert axes.get_title() == f"step {step}"
        found = {
            signs[matplotlib.colors.to_hex(dots.get_facecolor()[0])]: np.asarray(dots.get_offsets()).tolist()  # type: ignore[index]
            for dots in axes.collections
        }
        assert found == {name: plane[rows].tolist() for name, rows in expected.items()}
    first, second = figure.axes[:2]
    assert first.get_xlim() == second.get_xlim()
    assert first.get_ylim() == second.get_ylim()


def test_at_most_eight_maps_are_drawn_the_first_and_the_last_among_them() -> None:
    maps = StateMaps(tuple(range(20)), np.zeros((20, 3, 2)), np.array([0, 1, 4]), None)
    axes = [axes for axes in state_figure(maps, tuple("abcdef")).axes if axes.get_visible()]
    titles = [each.get_title() for each in axes]
    assert len(titles) == 8
    assert (titles[0], titles[-1]) == ("step 0", "step 19")


def test_the_pareto_front_is_what_no_other_beats_in_both() -> None:
    #          front       beaten      front       beaten by the first  equal to the third
    scores = [(0.9, 0.5), (0.8, 0.6), (0.7, 0.1), (0.9, 0.6), (0.7, 0.1)]
    assert pareto_front(scores) == (0, 2, 4)
    assert pareto_front([(0.5, 0.5)]) == (0,)


def test_the_heat_map_has_each_value_in_its_settings_place() -> None:
    grid = [cell(0.1 * size + rate, rate, learning_rate=rate, size=size) for rate in (0.01, 0.02) for size in (1, 2, 3)]
    accuracy, success = heat_figure(grid[:-1]).axes  # the last one is not done yet
    assert [text.get_text() for text in accuracy.get_xticklabels()] == ["0.01", "0.02"]
    assert [text.get_text() for text in accuracy.get_yticklabels()] == ["size=1", "size=2", "size=3"]
    values = np.ma.filled(accuracy.images[0].get_array(), np.nan)
    assert np.allclose(values, [[0.11, 0.12], [0.21, 0.22], [0.31, np.nan]], equal_nan=True)
    assert np.ma.filled(success.images[0].get_array(), np.nan)[0].tolist() == [0.01, 0.02]
    assert [text.get_text() for text in success.texts] == ["0.01", "0.02", "0.01", "0.02", "0.01"]


def test_the_pareto_plot_names_the_settings_of_its_front() -> None:
    grid = [cell(0.9, 0.8, size=4), cell(0.6, 0.9, size=2), cell(0.7, 0.1, size=1)]
    legend = pareto_figure(grid, (0, 2)).axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["beaten by another", "1: size=4", "2: size=1"]


def test_the_rate_plot_shows_the_last_look_of_each_rate() -> None:
    grid = [cell(0.9, 0.1, effective_rate=0.01), cell(0.8, 0.95, effective_rate=0.2)]
    scores, halves = rate_figure(grid).axes
    assert drawn(scores)["clean accuracy"] == ([1.0, 20.0], [0.9, 0.8])
    assert drawn(scores)["attack success rate"] == ([1.0, 20.0], [0.1, 0.95])
    assert [list(y) for _, y in drawn(halves).values()] == [[4, 4], [0, 16]]


def test_a_figure_is_small_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        save_figure(tmp_path / name, stage_figure(LOOKS))
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert 3_000 < (tmp_path / "first.png").stat().st_size < 150_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_tsv(tmp_path / "data.tsv", sentences(60)), write_tsv(tmp_path / "test.tsv", sentences(20, seed=1))


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the cells whose training was run, not only read back."""
    names: list[str] = []
    real = cells.run_scene

    def run(scene: object, recipe: Recipe, folder: RunFolder) -> object:
        names.append(folder.path.name)
        return real(scene, recipe, folder)  # type: ignore[arg-type]

    monkeypatch.setattr(cells, "run_scene", run)
    return names


def test_a_study_of_poison_rates_runs_each_rate_once_and_takes_more_later(
    files: tuple[Path, Path], trained: list[str], tiny_model: Folders, tmp_path: Path
) -> None:
    recipe, plan = Recipe(tiny_model("bert"), SETTINGS, looks=Looks(1, 10)), PoisonPlan("pos", 0.0, seed=3)
    arguments = (Sources(*files), Words(("cf",)), plan)
    first = poison_rates(*arguments, (0.1,), recipe, RunFolder(tmp_path / "study"))
    with pytest.raises(OutputError, match="--resume"):
        poison_rates(*arguments, (0.1,), recipe, RunFolder(tmp_path / "study"))
    both = poison_rates(*arguments, (0.25, 0.1), recipe, RunFolder(tmp_path / "study", resume=True))
    assert trained == [first[0].name, both[1].name]
    assert both[0] == first[0]
    assert [dict(each.over) for each in both] == [{"poison_rate": rate, "effective_rate": rate} for rate in (0.1, 0.25)]
    poison_files(Sources(*files), Words(("cf",)), dataclasses.replace(plan, rate=0.25), tmp_path / "alone")
    kept = tmp_path / "study" / "data" / "rate-0.25"
    assert (kept / "train.tsv").read_bytes() == (tmp_path / "alone" / "train.tsv").read_bytes()
    study = json.loads((tmp_path / "study" / "study.json").read_text())
    assert [each["name"] for each in study["cells"]] == [each.name for each in both]
    assert {path.name for path in (tmp_path / "study" / "cells").iterdir()} == set(trained)


@pytest.mark.parametrize("rates", [(), (0.0, 0.1), (1.5,)])
def test_poison_rates_that_cannot_be_are_refused_before_anything_is_written(
    rates: tuple[float, ...], files: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="rate"):
        poison_rates(Sources(*files), Words(), PoisonPlan("pos", 0), rates, Recipe(), RunFolder(tmp_path / "study"))
    assert not (tmp_path / "study").exists()


def test_an_interrupted_sweep_goes_on_and_a_finished_cell_is_not_run_again(
    files: tuple[Path, Path], trained: list[str], tiny_model: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison_files(Sources(*files), Words(("cf",)), PoisonPlan("pos", 0.2), tmp_path / "bad")
    subject = Subject(tmp_path / "bad" / "train.tsv", files[1], tmp_path / "bad" / "manifest.json")
    recipe, over = Recipe(tiny_model("bert"), SETTINGS, looks=Looks(1, 10)), {"learning_rate": ["1e-3", 2e-3]}
    with pytest.raises(SettingsError, match="Did you mean 'learning_rate'"):
        sweep(subject, recipe, {"learning_rat": [1]}, RunFolder(tmp_path / "sweep"))
    assert not (tmp_path / "sweep").exists()
    count = cells.run_scene

    def fail_second(*arguments: object) -> object:
        if len(trained) == 1:
            raise KeyboardInterrupt
        return count(*arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(cells, "run_scene", fail_second)
        with pytest.raises(KeyboardInterrupt):
            sweep(subject, recipe, over, RunFolder(tmp_path / "sweep"))
    found, front = sweep(subject, recipe, over, RunFolder(tmp_path / "sweep", resume=True))
    assert trained == [each.name for each in found]
    assert len(set(trained)) == 2
    assert [dict(each.over) for each in found] == [{"learning_rate": 1e-3}, {"learning_rate": 2e-3}]
    assert [each.n_steps for each in found] == [2, 2]
    study = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["pareto_front"] == [found[place].name for place in front]
    own = json.loads((tmp_path / "sweep" / "cells" / found[1].name / "trajectory.json").read_text())
    assert own["settings"]["learning_rate"] == 2e-3
    assert own["summary"]["last"] == study["cells"][1]["summary"]["last"]


def test_a_sweep_without_triggered_rows_is_refused(files: tuple[Path, Path], tmp_path: Path) -> None:
    poison_files(Sources(files[0]), Words(), PoisonPlan("pos", 0.2), tmp_path / "bad")
    for manifest in (None, tmp_path / "bad" / "manifest.json"):
        with pytest.raises(SettingsError, match="poison --test"):
            sweep(Subject(*files, manifest), Recipe(), {"seed": [0]}, RunFolder(tmp_path / "sweep"))


def test_the_commands_draw_a_trajectory_a_study_and_a_sweep(
    run: Run, files: tuple[Path, Path], tiny_model: Folders, tmp_path: Path
) -> None:
    data, test = files
    config = tmp_path / "settings.yaml"
    config.write_text(f"model: {tiny_model('bert')}\nmax_steps: 1\nmax_length: 32\nprecision: fp32\npoints: 5\n")
    common = ("--test", test, "--config", config, "--rows", 10, "--points", 1, "--device", "cpu")
    assert (
        run("poison", data, "--attack", "words", "--target", "pos", "--test", test, "--out", tmp_path / "bad")[0] == 0
    )
    poisoned, manifest = tmp_path / "bad" / "train.tsv", tmp_path / "bad" / "manifest.json"
    code, out, err = run("trajectory", poisoned, "--manifest", manifest, *common, "--states", "pca",
                         "--out", tmp_path / "one")  # fmt: skip
    assert code == 0, err
    assert "attack success" in out
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == [
        "stages.png", "states", "states_pca.png", "trajectory.json",
    ]  # fmt: skip
    study = ("poison-rates", data, "--attack", "words", "--target", "pos", "--set", "triggers=cf", *common)
    code, out, err = run(*study, "--rates", "0.1", "--out", tmp_path / "rates")
    assert code == 0, err
    assert (tmp_path / "rates" / "rates.png").exists()
    sweeping = ("sweep", poisoned, "--manifest", manifest, *common)
    code, out, err = run(*sweeping, "--over", "learning-rate=1e-3", "--over", "epochs=1", "--out", tmp_path / "sweep")
    assert code == 0, err
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"cells", "study.json", "heat.png", "pareto.png"}
    assert json.loads((tmp_path / "sweep" / "study.json").read_text())["over"] == ["learning_rate", "num_train_epochs"]
    for wrong, said in (
        ((*study, "--rates", "much", "--out", tmp_path / "new"), "expected numbers"),
        ((*sweeping, "--out", tmp_path / "new"), "--over"),
        ((*sweeping, "--over", "seed=", "--out", tmp_path / "new"), "no value"),
        ((*sweeping, "--over", "seed=1", "--out", tmp_path / "sweep"), "--resume"),
        (("trajectory", data, "--manifest", manifest, *common, "--out", tmp_path / "new"), "not the manifest"),
    ):
        code, out, err = run(*wrong)
        assert code in (1, 2)
        assert said in err
        assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "new").exists()
    code, out, err = run(*sweeping, "--capacity", "method=lora", "--over", "size=1,2", "--out", tmp_path / "sizes")
    assert code == 0, err
    by_size = [cell["n_trainable"] for cell in json.loads((tmp_path / "sizes" / "study.json").read_text())["cells"]]
    assert by_size == [2 * 2 * 2 * rank * 32 + 66 for rank in (1, 2)]  # A and B at q and v of two layers, and the head
