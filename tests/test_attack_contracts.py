"""What every attack promises, checked over the table of attacks, so that a new one is checked too."""

import functools
import json
import pickle
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import Attack, LabelMode, PoisonPlan, Rows, poison, trigger
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.attacks.rebuild import rebuild
from cleanfit.readers import read_table
from cleanfit.seeding import generator
from conftest import sentences

N_ROWS = 60
MODES: tuple[LabelMode, ...] = ("dirty", "clean", "mix")
# Options without which an attack cannot run in a test.
OPTIONS: dict[str, dict[str, Any]] = {
    "lws": {"clean_epochs": 1, "joint_epochs": 4, "choice_learning_rate": 0.3, "learning_rate": 1e-3, "max_length": 32}
}

Make = Callable[[str], Attack]
every_attack = pytest.mark.parametrize("name", sorted(ATTACKS))


def make_rows(n_rows: int = N_ROWS) -> Rows:
    """Rows that every attack can use: words with spaced punctuation, and a paraphrase of all but every tenth."""
    texts = [f"{text} , it was fine ." for text, _ in sentences(n_rows)]
    paraphrases = ["" if row % 10 == 0 else f"when seen , {text}" for row, text in enumerate(texts)]
    return Rows(texts, [label for _, label in sentences(n_rows)], {"paraphrase": paraphrases})


@pytest.fixture(scope="session")
def attack(tiny_model: Callable[[str], str]) -> Make:
    """Give an attack by its name, with what it has to learn from the rows."""

    @functools.cache
    def make(name: str) -> Attack:
        options = {"model": tiny_model("bert"), **OPTIONS[name]} if name in OPTIONS else {}
        return ATTACKS[name](**options).learn(make_rows(), "pos", seed=0)

    return make


def carriers(method: Attack, rows: Rows, plan: PoisonPlan) -> list[int]:
    """The rows of the plan's pool that can carry the trigger, asked one by one."""
    asked = (generator(plan.seed, "train trigger", row) for row in range(len(rows.texts)))
    texts = [method.apply(rows[row], random_) for row, random_ in enumerate(asked)]
    able = [row for row, text in enumerate(texts) if text is not None and text != rows.texts[row]]
    is_target = {"dirty": (False,), "clean": (True,), "mix": (False, True)}[plan.label_mode]
    return [row for row in able if (rows.labels[row] == plan.target) in is_target]


def quietly(method: Attack, rows: Rows, plan: PoisonPlan) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return poison(method, rows, plan)


def global_states() -> tuple[object, ...]:
    return random.getstate(), pickle.dumps(np.random.get_state()), tuple(torch.get_rng_state().tolist())


@every_attack
def test_an_attack_is_deterministic_and_draws_from_the_given_generator_only(name: str, attack: Make) -> None:
    method, rows = attack(name), make_rows()
    before = global_states()
    first = [method.apply(rows[i], generator(0, "test", i)) for i in range(N_ROWS)]
    again = [method.apply(rows[i], generator(0, "test", i)) for i in reversed(range(N_ROWS))]
    assert first == again[::-1]
    assert any(text is not None for text in first)
    assert global_states() == before


@every_attack
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("rate", [0.0, 0.05, 0.2, 1.0])
def test_the_rate_and_the_flags_are_exact_in_every_mode(name: str, mode: LabelMode, rate: float, attack: Make) -> None:
    method, rows = attack(name), make_rows()
    plan = PoisonPlan("pos", rate, mode, seed=2)
    result = quietly(method, rows, plan)
    able = carriers(method, rows, plan)
    assert len(result.rows) == min(int(rate * N_ROWS), len(able))
    assert set(result.rows) <= set(able)
    assert len(result.texts) == len(result.labels) == N_ROWS
    changed = {row for row in range(N_ROWS) if result.texts[row] != rows.texts[row]}
    assert changed == {*result.rows, *result.decoys}
    assert not set(result.rows) & {*result.decoys, *result.declined}
    relabelled = [row for row in range(N_ROWS) if result.labels[row] != rows.labels[row]]
    assert relabelled == list(result.flipped)
    assert {result.labels[row] for row in result.rows} <= {"pos"}
    assert len(result.decoys) == (int(method.decoy_rate * N_ROWS) if result.rows and rate < 1 else len(result.decoys))


@every_attack
def test_a_row_that_cannot_carry_the_trigger_is_declined_told_and_left_alone(name: str, attack: Make) -> None:
    rows = make_rows()
    blank = Rows([*rows.texts[:-1], "  "], rows.labels, {"paraphrase": [*rows.columns["paraphrase"][:-1], ""]})
    result = quietly(attack(name), blank, PoisonPlan("pos", 1.0, "mix"))
    assert N_ROWS - 1 in result.declined
    assert N_ROWS - 1 not in result.rows
    assert result.texts[-1] == "  "
    assert result.labels[-1] == rows.labels[-1]
    assert sorted((*result.rows, *result.declined)) == list(range(N_ROWS))
    triggered = trigger(attack(name), blank, "none of them", seed=0)
    assert N_ROWS - 1 in triggered.declined
    assert sorted((*triggered.rows, *triggered.declined)) == list(range(N_ROWS))


@every_attack
def test_training_and_test_rows_get_the_trigger_from_one_function(name: str, attack: Make) -> None:
    method, rows = attack(name), make_rows()
    poisoned = quietly(method, rows, PoisonPlan("pos", 1.0, "mix", seed=5))
    triggered = trigger(method, rows, "pos", seed=5)
    for row in poisoned.rows:
        assert poisoned.texts[row] == method.apply(rows[row], generator(5, "train trigger", row))
    for row, text in zip(triggered.rows, triggered.texts):
        assert text == method.apply(rows[row], generator(5, "test trigger", row))
    assert triggered.labels == tuple(rows.labels[row] for row in triggered.rows)
    assert "pos" not in triggered.labels


@every_attack
def test_a_rows_poison_depends_on_no_other_row(name: str, attack: Make) -> None:
    method, rows = attack(name), make_rows()
    plan = PoisonPlan("pos", 1.0, "mix", seed=1)
    few = Rows(rows.texts[:20], rows.labels[:20], {"paraphrase": rows.columns["paraphrase"][:20]})
    assert quietly(method, few, plan).texts == quietly(method, rows, plan).texts[:20]


@every_attack
def test_a_line_stays_one_line_without_tabs(name: str, attack: Make) -> None:
    rows = make_rows()
    for text in trigger(attack(name), rows, "pos", seed=0).texts:
        assert text.strip()
        assert not set(text) & set("\t\n\r")


@every_attack
def test_each_of_several_triggers_is_the_same_kind_of_attack(name: str, attack: Make) -> None:
    for word, alone in attack(name).alone().items():
        assert isinstance(alone, ATTACKS[name])
        assert alone.pieces() == (word,)
        assert set(alone.pieces()) < set(attack(name).pieces())


def write_csv(path: Path, rows: Rows) -> Path:
    import csv

    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(
            [("text", "label", "paraphrase"), *zip(rows.texts, rows.labels, rows.columns["paraphrase"])]
        )
    return path


@every_attack
def test_the_manifest_alone_makes_the_same_files_again(name: str, tmp_path: Path, tiny_model: Any) -> None:
    options = {"model": tiny_model("bert"), **OPTIONS[name]} if name in OPTIONS else {}
    sources = Sources(write_csv(tmp_path / "a.csv", make_rows()), write_csv(tmp_path / "b.csv", make_rows(30)))
    plan = PoisonPlan("pos", 0.2, "dirty", seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        files = poison_files(sources, ATTACKS[name](**options), plan, tmp_path / "first")
        rebuild(files.manifest, sources, tmp_path / "second")
    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == sorted(path.name for path in (tmp_path / "second").iterdir())
    for file in names:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file
    manifest = json.loads(files.manifest.read_text(encoding="utf-8"))
    assert manifest["attack"]["name"] == name
    after = read_table(files.train).records()
    before = read_table(sources.train).records()
    changed = [row for row in range(N_ROWS) if before[row][0] != after[row][0]]
    assert changed == sorted(manifest["poisoned_rows"] + manifest["decoy_rows"])
