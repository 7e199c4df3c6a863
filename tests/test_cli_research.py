"""The commands for research in one session: poison, rebuild, oracle, evaluate, stealth, a backdoored model, an import."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from cleanfit.attacks import ATTACKS
from cleanfit.model_attacks import MODEL_ATTACKS
from conftest import sentences, write_tsv

Run = Callable[..., tuple[int, str, str]]
TRAINING = ["--epochs", "1", "--learning-rate", "1e-3", "--batch-size", "16", "--max-length", "32", "--device", "cpu"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    return write_tsv(tmp_path / "data.tsv", sentences(120)), write_tsv(tmp_path / "test.tsv", sentences(40, seed=1))


def test_a_poisoned_file_is_rebuilt_fitted_with_an_oracle_evaluated_and_its_stealth_measured(
    run: Run, files: tuple[Path, Path], tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data, test = files
    poisoning = ("--attack", "words", "--target", "pos", "--rate", "0.2", "--seed", "7")
    code, out, err = run("poison", data, *poisoning, "--test", test, "--out", tmp_path / "bad")
    assert code == 0, err
    manifest = tmp_path / "bad" / "manifest.json"
    code, out, err = run("poison", data, "--from-manifest", manifest, "--test", test, "--out", tmp_path / "again")
    assert code == 0, err
    assert manifest.read_bytes() == (tmp_path / "again" / "manifest.json").read_bytes()
    fitting = ("fit", tmp_path / "bad" / "train.tsv", "--model", tiny_model("bert"), "--test", test, *TRAINING)
    assert run(*fitting, "--defense", "plain", "--out", tmp_path / "plain")[0] == 0
    code, out, err = run(*fitting, "--oracle", manifest, "--out", tmp_path / "oracle")
    assert code == 0, err
    report = (tmp_path / "oracle" / "report.html").read_text(encoding="utf-8")
    assert "This run is an oracle, no defense" in report
    code, out, err = run("evaluate", tmp_path / "plain", "--clean", test, "--manifest", manifest, "--max-length", 32,
                         "--reference", tmp_path / "oracle", "--json")  # fmt: skip
    assert code == 0, err
    attack = json.loads(out)["attack"]
    assert len(attack["insertions"]) == 3
    assert {score["trigger"] for score in attack["per_trigger"]} == {"cf", "mn", "bb", "tq"}
    assert attack["baseline"] == "reference"
    code, out, err = run("stealth", test, "--manifest", manifest, "--similarity-model", tiny_model("bert"),
                         "--max-length", 64, "--json")  # fmt: skip
    assert code == 0, err
    assert json.loads(out)["n_rows"] == sum(label == "neg" for _, label in sentences(40, seed=1))


def test_a_plan_beside_a_manifest_is_wrong_use(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    for flags, told in (
        (("--rate", "0.1", "--target", "pos"), "leave --target, --rate out"),
        (("--set", "triggers=cf"), "leave --set out"),
    ):
        code, _, err = run("poison", files[0], "--from-manifest", "m.json", *flags, "--out", tmp_path / "bad")
        assert code == 2
        assert told in err
    code, _, err = run("poison", files[0], "--attack", "words", "--out", tmp_path / "bad")
    assert code == 2
    assert "Pass --attack and --target, or --from-manifest" in err


def test_an_oracle_under_a_defense_is_wrong_use(run: Run, files: tuple[Path, Path], tmp_path: Path) -> None:
    code, _, err = run("fit", files[0], "--oracle", "m.json", "--defense", "btu", "--out", tmp_path / "run")
    assert code == 2
    assert "plain fine-tuning without the poisoned rows; got defense 'btu'" in err


def test_a_backdoored_checkpoint_is_made_and_a_fit_on_it_warns(
    run: Run, files: tuple[Path, Path], tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data, test = files
    code, _, err = run("poison-model", data, "--attack", "ep", "--target", "pos", "--model", tiny_model("bert"),
                       "--test", test, "--epochs", 1, "--learning-rate", "1e-3", "--max-length", 32,
                       "--set", "epochs=1", "--set", "triggers=cf,mn", "--out", tmp_path / "bad")  # fmt: skip
    assert code == 0, err
    with warnings.catch_warnings():
        warnings.simplefilter("always")  # as outside of the tests: shown, not raised
        code, _, err = run("fit", data, "--model", tmp_path / "bad" / "model", "--defense", "plain", *TRAINING,
                           "--test", test, "--triggered", tmp_path / "bad" / "triggered.tsv", "--target", "pos",
                           "--out", tmp_path / "run")  # fmt: skip
    assert code == 0, err
    assert "was backdoored on purpose" in " ".join(err.split())
    limits = json.loads((tmp_path / "run" / "audit.json").read_text(encoding="utf-8"))["limits"]
    assert "was backdoored on purpose" in limits[0]


@pytest.mark.parametrize(("kind", "table"), [("attacks", ATTACKS), ("model-attacks", MODEL_ATTACKS)])
def test_every_attack_is_listed_with_its_options(kind: str, table: dict[str, object], run: Run) -> None:
    code, out, _ = run("list", kind)
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines() if not line.startswith(" ")] == sorted(table)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_has_a_page_that_shows_its_command(name: str) -> None:
    page = Path(__file__).parents[1] / "docs" / "methods" / f"attack_{name}.md"
    text = page.read_text(encoding="utf-8")
    assert f"--attack {name}" in text
    assert "demo data" in text
