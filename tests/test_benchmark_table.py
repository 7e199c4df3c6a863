"""The benchmark's tables: seeds taken together, compared row by row, and written so that no text of the data can run."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cleanfit.benchmark import Line, Summary, read_cells, summarize, write_tables
from cleanfit.benchmark.compare import Outcomes, difference, paired_bootstrap, row_differences, verdict
from cleanfit.benchmark.page import render
from cleanfit.benchmark.tables import csv_table, markdown
from cleanfit.errors import DataError, OutputError
from test_report import HOSTILE, Page

TEXTS = [text.replace("\ud800", "") for text in HOSTILE]  # a cell with half a surrogate pair is refused
FILES = ("table.csv", "table.html", "table.json", "table.md")


def cell(defense: str, clean: str, triggered: str | None = None, seed: int = 0, **changes: Any) -> dict[str, Any]:
    """A finished cell of `defense`; `changes` are keys with dots for parts, written as double underscores."""
    key = {
        "dataset": "sst2",
        "files": {"train": "a" * 64, "test": "b" * 64, "trusted": None},
        "rows": 3000,
        "test_rows": None,
        "model": "minilm",
        "attack": triggered and "words",
        "attack_options": {"triggers": ["cf"]} if triggered else {},
        "label_mode": triggered and "dirty",
        "rate": 0.1 if triggered else 0.0,
        "target": triggered and "1",
        "defense": defense,
        "method": {"name": "plain" if defense in ("plain", "oracle", "tuning only") else "btu"},
        "is_oracle": defense == "oracle",
        "is_trusted": defense == "tuning only",
        "seed": seed,
        "settings": {"num_train_epochs": 3.0, "learning_rate": 2e-5},
    }
    attack = {"attack_success_rate": {"mean": share(triggered), "interval": None, "n": 1}, "false_trigger_rate": 0.1}
    made: dict[str, Any] = {
        "schema_version": 1,
        "name": "",
        "status": "done",
        "error": None,
        "key": key,
        "facts": {
            "commit": "c" * 40,
            "is_dirty": False,
            "versions": {"torch": "2.13.0"},
            "platform": "Linux-x86_64",
            "n_train": 3000,
            "n_test": len(clean),
            "effective_rate": 0.1 if triggered else None,
            "model_sha256": "d" * 64,
            "n_threads": 1,
            "device": "cpu",
        },
        "cost": {"seconds": 120.0, "training_seconds": 100.0, "peak_memory_mib": 900},
        "stages": [],
        "evaluation": {
            "clean_accuracy": share(clean),
            "macro_f1": 0.5,
            "attack": attack if triggered else None,
            "rows": None,
            "tokens": None,
        },
        "needs": {"trusted_rows": 0, "target_label": False, "extra_passes": 0.0},
        "verdict": "",
        "outcomes": {
            "clean": clean,
            "triggered": triggered,
            "triggered_rows": None if triggered is None else list(range(0, 2 * len(triggered), 2)),
        },
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        part = made
        for parent in parents:
            part = part[parent]
        part[last] = value
    return made


def share(hits: str | None) -> float:
    return (hits or "0").count("1") / len(hits or "0")


def failed(defense: str, error: str = "out of memory", seed: int = 0) -> dict[str, Any]:
    whole = cell(defense, "1", "1", seed)
    return {name: whole[name] for name in ("schema_version", "name", "key")} | {"status": "failed", "error": error}


def write(folder: Path, *cells: dict[str, Any]) -> Path:
    (folder / "cells").mkdir(parents=True, exist_ok=True)
    for index, made in enumerate(cells):
        name = f"{index:016x}"
        (folder / "cells" / f"{name}.json").write_text(json.dumps(made | {"name": name}), encoding="utf-8")
    return folder


@pytest.fixture
def summary_of(tmp_path: Path) -> Callable[..., Summary]:
    return lambda *cells: summarize(*read_cells(write(tmp_path / "bench", *cells)))


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the drawing, which takes most of the time of a page."""
    monkeypatch.setattr("cleanfit.benchmark.page.pareto_svg", lambda panels, salt: "<svg></svg>")


def line(summary: Summary, defense: str) -> Line:
    (found,) = (found for found in summary.lines if found.defense == defense)
    return found


def usual() -> list[dict[str, Any]]:
    """Plain, oracle, tuning only and BTU over two seeds, and plain without poison; 100 test rows, 50 triggered."""
    cells = []
    for seed in (0, 1):
        cells += [
            cell("plain", "1" * 90 + "0" * 10, "1" * 50, seed),
            cell("oracle", "1" * 90 + "0" * 10, "1" * 5 + "0" * 45, seed),
            cell("tuning only", "1" * 88 + "0" * 12, "1" * 50, seed, needs__trusted_rows=872),
            cell("btu", "1" * 50 + "0" * 50, "1" * 14 + "0" * 36, seed, cost__training_seconds=150.0 + 100 * seed,
                 evaluation__rows={"precision": 0.5 + 0.5 * seed, "recall": None}),
        ]  # fmt: skip
        cells.append(cell("plain", "1" * 92 + "0" * 8, None, seed))
    return cells


def outcomes(rows: list[int], hits: str) -> Outcomes:
    return Outcomes(np.array(rows), np.array([int(hit) for hit in hits]))


def test_the_bootstraps_interval_of_a_coin_is_that_of_the_binomial() -> None:
    # 100 rows, half of them 1: a resample's sum is binomial(100, 0.5), whose 2.5 and 97.5 percentiles are 40 and 60.
    mean, low, high = paired_bootstrap(np.array([0.0, 1.0] * 50))
    assert (mean, low, high) == pytest.approx((0.5, 0.4, 0.6), abs=0.011)
    assert paired_bootstrap(np.array([0.0, 1.0] * 50)) == (mean, low, high)


def test_the_bootstrap_draws_in_parts_when_all_rows_differ() -> None:
    values = np.linspace(-1, 1, 1001)
    mean, low, high = paired_bootstrap(values, n_resamples=4000)
    half = 1.96 * values.std() / 1001**0.5
    assert (mean, low, high) == pytest.approx((0.0, -half, half), abs=0.004)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1 / 3])
def test_rows_that_all_differ_alike_leave_nothing_to_chance(value: float) -> None:
    assert paired_bootstrap(np.full(30, value)) == pytest.approx((value, value, value), abs=1e-11)


def test_the_difference_of_a_row_is_the_mean_over_the_seeds_that_both_have() -> None:
    pairs = [
        (outcomes([0, 1, 2], "111"), outcomes([0, 1, 3], "010")),  # rows 0 and 1: 1, 0
        (outcomes([0, 4], "01"), outcomes([4, 0], "01")),  # row 0: 0 - 1; row 4: 1 - 0
    ]
    assert row_differences(pairs).tolist() == [0.0, 0.0, 1.0]
    found = difference(pairs, is_higher_better=True)
    assert found is not None
    assert (found.n_rows, found.n_seeds) == (3, 2)
    assert difference([(outcomes([1], "1"), outcomes([2], "1"))], is_higher_better=True) is None


def test_the_verdict_depends_on_which_direction_is_good() -> None:
    assert verdict(0.01, 0.02, True) == verdict(-0.02, -0.01, False) == "better"
    assert verdict(0.01, 0.02, False) == verdict(-0.02, -0.01, True) == "worse"
    assert {verdict(low, high, True) for low, high in ((0, 0.1), (-0.1, 0), (-1, 1), (0, 0))} == {"no difference shown"}


def test_a_line_has_the_means_over_its_seeds_and_their_interval(summary_of: Callable[..., Summary]) -> None:
    cells = [cell("btu", "1" * n + "0" * (10 - n), "10", seed) for seed, n in enumerate((8, 9))]
    found = line(summary_of(*cells), "btu")
    assert found.seeds == (0, 1)
    assert found.clean_accuracy.mean == pytest.approx(0.85)
    # t(0.975, 1) = 12.706 times s / sqrt(2) = 0.05
    assert found.clean_accuracy.interval == pytest.approx((0.85 - 0.6353, 0.85 + 0.6353), abs=1e-4)
    assert found.attack_success_rate is not None
    assert found.attack_success_rate.mean == 0.5
    assert found.effective_rate == pytest.approx(0.1)


def test_a_line_is_compared_with_plain_and_with_the_oracle(summary_of: Callable[..., Summary]) -> None:
    found = line(summary_of(*usual()), "btu")
    accuracy, attack = found.to_plain.accuracy, found.to_plain.attack_success
    assert accuracy is not None
    assert attack is not None
    assert (accuracy.mean, accuracy.verdict, accuracy.n_rows, accuracy.n_seeds) == (-0.4, "worse", 100, 2)
    assert accuracy.low == pytest.approx(-0.5, abs=0.02)  # 40 of 100 rows differ: binomial(100, 0.4), 31 to 50
    assert accuracy.high == pytest.approx(-0.31, abs=0.02)
    assert (attack.mean, attack.verdict, attack.n_rows) == (-0.72, "better", 50)
    gap = found.to_oracle.attack_success
    assert gap is not None
    assert gap.mean == pytest.approx(0.18)
    assert gap.verdict == "worse"
    assert found.gap_closed == pytest.approx((1.0 - 0.28) / (1.0 - 0.1))
    assert found.cost.ratio_to_plain == pytest.approx((150 + 250) / 200)
    assert (found.row_precision, found.row_recall) == (0.75, None)


def test_equal_models_show_no_difference(summary_of: Callable[..., Summary]) -> None:
    found = line(summary_of(cell("plain", "1101", "11"), cell("btu", "1101", "11")), "btu").to_plain.accuracy
    assert found is not None
    assert (found.mean, found.low, found.high, found.verdict) == (0, 0, 0, "no difference shown")


def test_a_gap_that_is_hardly_there_has_no_share_that_is_closed(summary_of: Callable[..., Summary]) -> None:
    triggered = {"plain": "1" * 5 + "0" * 95, "oracle": "1" + "0" * 99, "btu": "1" * 3 + "0" * 97}
    assert line(summary_of(*(cell(name, "1", hits) for name, hits in triggered.items())), "btu").gap_closed is None


def test_controls_stand_first_and_lines_without_poison_are_lines_of_their_own(
    summary_of: Callable[..., Summary],
) -> None:
    lines = summary_of(*reversed(usual())).lines
    assert [(found.rate, found.defense, found.control) for found in lines] == [
        (0.0, "plain", "plain"),
        (0.1, "plain", "plain"),
        (0.1, "tuning only", "tuning only"),
        (0.1, "oracle", "oracle"),
        (0.1, "btu", None),
    ]
    clean = lines[0]
    assert (clean.attack, clean.attack_success_rate, clean.false_trigger_rate) == (None, None, None)
    assert clean.to_oracle.missing == "nothing is poisoned: plain is its own oracle"
    assert lines[1].to_plain.missing == "it is plain itself"


@pytest.mark.parametrize(
    ("others", "missing"),
    [
        ([], "no plain cell to compare with"),
        ([cell("plain", "11", "11", 1)], "no seed in common with plain"),
        ([cell("plain", "11", "11", key__settings={"num_train_epochs": 1.0})], "no plain cell to compare with"),
        ([cell("plain", "111", "11")], "2 test rows were scored, with plain 3"),
        ([cell("plain", "11", "111")], "2 triggered rows were scored, with plain 3"),
        ([cell("plain", "11", "11", outcomes__triggered_rows=[7, 9])], "no triggered row in common with plain"),
        (
            [cell("plain", "11", "11", key__files={"train": "a" * 64, "test": "e" * 64, "trusted": None})],
            "plain was scored on another test file",
        ),
        (
            [cell("plain", "11", "11"), cell("plain", "11", "11", key__method={"name": "plain", "x": 1})],
            "2 lines are called plain",
        ),
    ],
)
@pytest.mark.usefixtures("undrawn")
def test_what_cannot_be_compared_says_why_in_every_output(
    summary_of: Callable[..., Summary], others: list[dict[str, Any]], missing: str
) -> None:
    summary = summary_of(cell("btu", "11", "11"), *others)
    found = line(summary, "btu")
    assert found.to_plain.missing == missing
    assert found.to_plain.attack_success is None
    assert missing in Page(render(summary)).text
    assert missing in markdown(summary)
    assert missing in [value for row in csv_table(summary)[1] for value in row]


@pytest.mark.parametrize("other", [{"facts__device": "cuda"}, {"facts__precision": "bf16"}])
def test_times_of_different_machines_have_no_ratio(summary_of: Callable[..., Summary], other: dict[str, Any]) -> None:
    found = line(summary_of(cell("plain", "1", "1", facts__precision="fp32"), cell("btu", "1", "1", **other)), "btu")
    assert found.cost.ratio_to_plain is None
    assert found.to_plain.accuracy is not None


@pytest.mark.usefixtures("undrawn")
def test_cells_with_other_settings_are_never_taken_together(summary_of: Callable[..., Summary]) -> None:
    cells = [cell("btu", "11", "10", key__settings={"num_train_epochs": n, "seed": 5}) for n in (1.0, 3.0)]
    cells += [cell("btu", "11", "10", 1, key__settings={"num_train_epochs": 1.0, "seed": 6})]
    summary = summary_of(*cells)
    assert [found.seeds for found in summary.lines] == [(0, 1), (0,)]
    text = markdown(summary)
    assert "| num_train_epochs=1 | 2 seeds |" in text
    assert "| num_train_epochs=3 | 1 seed |" in text
    assert "Settings: rows=3000, test_rows=all, train file=aaaaaaaaaaaa, test file=bbbbbbbbbbbb." in text
    assert "num_train_epochs=1" in Page(render(summary)).text


def test_settings_that_all_lines_share_are_told_once(summary_of: Callable[..., Summary]) -> None:
    text = markdown(summary_of(*usual()))
    assert "| settings |" not in text
    assert text.count("num_train_epochs=3, learning_rate=2e-05") == 2  # once a table


def test_two_cells_of_one_key_are_refused(summary_of: Callable[..., Summary]) -> None:
    with pytest.raises(DataError, match="The cells '0000000000000000' and '0000000000000001' have the same key"):
        summary_of(cell("btu", "1"), cell("btu", "0"))


def test_the_markdown_table_has_figures_intervals_and_verdicts(summary_of: Callable[..., Summary]) -> None:
    text = markdown(summary_of(*usual()))
    assert "## sst2, minilm, no poison" in text
    assert "## sst2, minilm, 10 % poison, dirty label" in text
    (row,) = (row for row in text.splitlines() if row.startswith("| words | btu |"))
    cells = [part.strip() for part in row.strip("|").split("|")]
    assert cells[2:7] == ["2 seeds", "0.500 ± 0.000", "0.280 ± 0.000", "0.100", "0.500"]
    assert re.fullmatch(r"-0\.400 \[-0\.\d{3}, -0\.\d{3}\] worse", cells[7])
    assert cells[11:] == ["0.800", "0.750, —", "200 s (2.00 × plain)", "900 MiB", "nothing"]
    assert "| plain (control) | 2 seeds |" in text
    assert "872 trusted rows" in text
    assert "seeds 0 1, 100 test rows, 50 triggered rows, 10 % of the training rows poisoned" in text
    assert f"commit {'c' * 40}; torch 2.13.0" in text
    assert "Warning" not in text


def test_one_seed_has_no_interval(summary_of: Callable[..., Summary]) -> None:
    assert "| 1 seed | 0.750 | 0.500 |" in markdown(summary_of(cell("btu", "1110", "10")))


@pytest.mark.usefixtures("undrawn")
def test_a_dirty_tree_and_several_commits_are_warned_of(summary_of: Callable[..., Summary]) -> None:
    summary = summary_of(cell("btu", "1", facts__is_dirty=True), cell("plain", "1", facts__commit="e" * 40))
    for text in (markdown(summary), Page(render(summary)).text):
        assert "Warning: dirty tree: 1 cells ran with changes that no commit holds." in text
        assert "Warning: the cells come from 2 commits." in text


@pytest.mark.usefixtures("undrawn")
def test_failed_cells_are_listed_in_every_output(summary_of: Callable[..., Summary], tmp_path: Path) -> None:
    summary = summary_of(cell("plain", "1", "1"), failed("btu", "ModelError: no\nroom", 3))
    written = write_tables(summary, tmp_path / "out")
    told = "sst2, minilm, words dirty 0.1, btu, seed 3: ModelError: no room (cell 0000000000000001)"
    for path in (written.markdown, written.html):
        text = path.read_text(encoding="utf-8")
        assert told in text
        assert "Failed: 1" in text
    with written.csv.open(encoding="utf-8", newline="") as stream:
        last = list(csv.DictReader(stream))[-1]
    assert (last["status"], last["defense"], last["seeds"]) == ("failed", "btu", "3")
    assert last["error"] == "ModelError: no room (cell 0000000000000001)"
    assert [failure["error"] for failure in json.loads(written.json.read_text())["failed"]] == ["ModelError: no room"]


def test_failed_cells_alone_make_a_table_too(summary_of: Callable[..., Summary], tmp_path: Path) -> None:
    write_tables(summary_of(failed("btu")), tmp_path / "out")
    assert "btu" in (tmp_path / "out" / "table.csv").read_text()


def test_the_same_cells_give_the_same_bytes_in_whatever_order_they_lie(tmp_path: Path) -> None:
    folders = [write(tmp_path / "a", *usual()), write(tmp_path / "b", *reversed(usual()))]
    for folder in folders:
        write_tables(summarize(*read_cells(folder)), folder)
    assert sorted(path.name for path in folders[0].iterdir()) == ["cells", *FILES]
    for name in FILES:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name


@pytest.mark.usefixtures("undrawn")
def test_the_csv_and_the_json_say_the_same(summary_of: Callable[..., Summary], tmp_path: Path) -> None:
    written = write_tables(summary_of(*usual()), tmp_path / "out")
    with written.csv.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    lines = json.loads(written.json.read_text(encoding="utf-8"))["lines"]
    assert len(rows) == len(lines) == 5
    for row, entry in zip(rows, lines):
        assert row["defense"] == entry["defense"]
        assert float(row["clean_accuracy"]) == pytest.approx(entry["clean_accuracy"]["mean"])
    assert float(rows[-1]["accuracy_minus_plain"]) == -0.4
    assert rows[-1]["accuracy_minus_plain_verdict"] == "worse"
    assert rows[0]["attack_success_rate"] == ""


@pytest.mark.usefixtures("undrawn")
def test_the_heat_map_prints_the_rate_in_a_cell_of_its_shade(summary_of: Callable[..., Summary]) -> None:
    summary = summary_of(*usual(), cell("moderate", "11", "10", key__attack="sentence"))
    page = render(summary)
    heat = page[page.index('<table class="heat">') : page.index('<div class="plot')]
    assert '<td class="shade-10">1.000</td>' in heat
    assert '<td class="shade-3">0.280</td>' in heat
    assert heat.count("not measured") == 4 + 1
    assert re.findall(r"\d\. <bdi>(.*?)</bdi>", heat) == ["plain", "tuning only", "oracle", "moderate", "btu"]
    for step in range(11):
        assert f".shade-{step} {{" in page


def test_the_drawing_has_a_panel_for_each_attack(summary_of: Callable[..., Summary]) -> None:
    page = Page(render(summary_of(*usual(), cell("btu", "1101", "10", key__attack="$sentence$"))))
    assert len(page.named("svg")) == 1
    drawn = page.text[page.text.index("not measured") :]
    assert "words" in drawn
    assert "$sentence$" in drawn
    assert drawn.count("attack success rate") >= 2


@pytest.mark.usefixtures("undrawn")
def test_every_sortable_row_has_a_cell_for_each_header(summary_of: Callable[..., Summary]) -> None:
    page = render(summary_of(*usual(), cell("btu", "1101", "10", key__rows=None)))
    tables = re.findall(r"data-table><table>(.*?)</table>", page, re.DOTALL)
    assert len(tables) == 3
    for table in tables:
        n_columns = table.count('<button type="button">')
        rows = re.findall(r"<tr>(.*?)</tr>", table.partition("</thead>")[2], re.DOTALL)
        assert [len(re.findall(r"<t[hd][ >]", row)) for row in rows] == [n_columns] * 6


def test_no_text_of_the_data_runs_in_the_page_or_the_markdown(
    summary_of: Callable[..., Summary], tmp_path: Path
) -> None:
    cells: list[dict[str, Any]] = []
    for text in (*TEXTS, "[x](javascript:1)", "a|b", "`c`", "*d*"):
        attack, model = TEXTS[len(cells) % 3], TEXTS[-1]
        cells.append(cell(text, "1", "1", key__dataset=HOSTILE[0], key__attack=attack, key__model=model))
        cells[-1]["key"]["settings"] = {text: text}
    summary = summary_of(*cells, failed("btu", HOSTILE[0]))
    source = render(summary)
    page = Page(source)
    assert [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)] == []
    assert {name for name, _ in page.tags} & {"img", "iframe", "object", "b", "link", "base", "form"} == set()
    assert len(page.named("script")) == len(page.named("style")) == 1
    assert HOSTILE[0] in page.text
    text = markdown(summary)
    assert not set(source + text) & set("\x00\x07\u202e\ud800\uffff")
    assert "<script>" not in text
    bare = re.sub(r"`[^`]*`", "", text)
    assert not re.search(r"\]\(|\*|<", bare)
    table_rows = [row for row in text.splitlines() if row.startswith("| ")]
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table_rows}) == 1
    write_tables(summary, tmp_path / "out")


def test_the_page_allows_its_own_style_and_script_and_loads_nothing(summary_of: Callable[..., Summary]) -> None:
    source = render(summary_of(*usual()))
    page = Page(source)
    policy = next(a["content"] or "" for a in page.named("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    assert [tag for tag, attributes in page.tags if "style" in attributes] == []
    addresses = [a[name] or "" for _, a in page.tags for name in ("src", "href", "xlink:href") if name in a]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert all(address.startswith("#") for address in addresses)
    assert {address[1:] for address in addresses} <= set(ids)
    assert len(ids) == len(set(ids))
    assert not re.search(r"url\((?!#)|@import", source)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("{", "Cannot read the cell"),
        ('"\\ud800"', "Cannot read the cell"),
        ("[1]", "holds no cell but a list"),
        ('{"schema_version": 2}', "has schema version 2, expected 1"),
        ('{"schema_version": 1, "status": "running"}', "has status 'running', expected 'done' or 'failed'"),
        (cell("btu", "1", key__seed="x"), "has key.seed of type str, expected int"),
        (cell("btu", "1x"), "has 2 outcomes of 2 rows; expected one 0 or 1 for each row"),
        (cell("btu", "1", "11", outcomes__triggered_rows=[1]), "has 2 outcomes of 1 rows"),
        (cell("btu", "1", "11", outcomes__triggered_rows=[1, 1]), "triggered rows that are no row numbers"),
        (cell("btu", "1", "1", evaluation__attack={}), "lacks evaluation.attack.attack_success_rate"),
    ],
)
def test_a_file_that_is_no_cell_is_refused_in_one_line(
    tmp_path: Path, made: str | dict[str, Any], message: str
) -> None:
    (tmp_path / "cells").mkdir()
    content = made if isinstance(made, str) else json.dumps(made)
    (tmp_path / "cells" / "0123456789abcdef.json").write_text(content)
    with pytest.raises(DataError, match=re.escape(message)) as raised:
        read_cells(tmp_path)
    assert "0123456789abcdef.json" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_folder_that_cannot_be_written_is_named(summary_of: Callable[..., Summary], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write the tables to"):
        write_tables(summary_of(cell("btu", "1")), tmp_path / "file")


def test_the_command_writes_the_files_and_says_where(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    folder = write(tmp_path / "bench", *usual(), failed("moderate", "no\x1b[2J room"))
    code, out, err = run("table", folder)
    assert code == 0, err
    assert sorted(path.name for path in folder.iterdir()) == ["cells", *FILES]
    assert "10 finished cells; failed: 1." in out
    assert "moderate, seed 0: no\\x1b[2J room" in err
    assert run("table", folder, "--out", tmp_path / "there")[0] == 0
    for name in FILES:
        assert (tmp_path / "there" / name).read_bytes() == (folder / name).read_bytes()


def test_the_command_tells_a_wrong_folder_in_one_line(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    for folder, message in ((tmp_path / "none", "There is no folder"), (tmp_path, "holds no cells")):
        code, _, err = run("table", folder)
        assert code == 1
        assert message in err
        assert err.count("\n") == 1


def test_the_tables_need_no_torch() -> None:
    code = "import sys; import cleanfit.benchmark.tables, cleanfit.cli.tables, cleanfit.cli.table\n"
    code += "sys.exit(any(name in sys.modules for name in ('torch', 'transformers', 'datasets', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
