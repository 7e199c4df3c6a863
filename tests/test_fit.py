"""The main path from a file to a saved run, on tiny models."""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cleanfit import EmbeddingDrift, Inputs, TokenUnlearning, TrainingSettings, fit
from cleanfit.attacks import Words
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.errors import DataError, SettingsError
from conftest import FAMILIES, read_csv, sentences, write_tsv

QUICK = TrainingSettings(num_train_epochs=1, learning_rate=1e-3, per_device_train_batch_size=16, max_length=32)
FEW_STEPS = TokenUnlearning(detector=EmbeddingDrift(alpha=0.01, bag_min_steps=4, full_min_steps=4))


@pytest.mark.parametrize("family", [*FAMILIES, "bart"])
def test_every_family_gives_a_run_that_plain_transformers_opens(
    family: str, tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data = write_tsv(tmp_path / "data.tsv", sentences(80))
    result = fit(data, model=tiny_model(family), defense=FEW_STEPS, settings=QUICK, out=tmp_path / "run")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    logits = model(**tokenizer("the film was good", return_tensors="pt")).logits
    assert logits.shape == (1, 2)
    assert model.config.id2label == {0: "neg", 1: "pos"}
    assert [score.stage for score in result.scores] == ["trained", "unlearned"]
    assert len(read_csv(tmp_path / "run" / "rows.csv")) == 72  # a tenth of each class is held out


@pytest.mark.parametrize("defense", ["plain", "auto"])
def test_a_model_that_gives_more_than_its_logits_is_trained_and_searched(
    defense: str, tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data = write_tsv(tmp_path / "data.tsv", sentences(80))
    result = fit(data, model=tiny_model("bart"), defense=defense, settings=QUICK)
    assert len(result.findings.rows) == (72 if defense == "auto" else 0)
    assert 0 <= result.scores[-1].clean_accuracy <= 1


def test_a_frame_a_dataset_and_a_file_give_the_same_model(tiny_model: Callable[[str], str], tmp_path: Path) -> None:
    rows = sentences(60)
    path = write_tsv(tmp_path / "data.tsv", rows)
    columns = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    results = [
        fit(source, model=tiny_model("bert"), defense="plain", settings=QUICK)
        for source in (path, pd.DataFrame(columns), Dataset.from_dict(columns))
    ]
    weights = [result.model.state_dict() for result in results]
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name])
        assert torch.equal(value, weights[2][name])
    assert results[0].audit["data"]["sha256"] != results[1].audit["data"]["sha256"]  # of bytes; of content
    assert results[1].audit["data"]["sha256"] == results[2].audit["data"]["sha256"]


def test_the_trusted_rows_tune_the_model_and_may_not_be_the_test_rows(
    tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    data, other = (
        write_tsv(tmp_path / "data.tsv", sentences(60)),
        write_tsv(tmp_path / "other.tsv", sentences(30, seed=5)),
    )
    result = fit(Inputs(data, trusted=other), model=tiny_model("bert"), defense="plain", settings=QUICK)
    assert [score.stage for score in result.scores] == ["trained", "tuned"]
    assert result.audit["needs"]["trusted_rows"] == 30
    with pytest.raises(DataError, match="hold the same rows"):
        fit(Inputs(data, trusted=other, test=other), model=tiny_model("bert"), defense="plain", settings=QUICK)


def test_an_oracle_trains_on_exactly_the_rows_that_the_attack_left_alone(
    tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    source = write_tsv(tmp_path / "train.tsv", sentences(60))
    files = poison_files(Sources(source), Words(), PoisonPlan("pos", 0.2), tmp_path / "bad")
    manifest = json.loads(files.manifest.read_text(encoding="utf-8"))
    test = write_tsv(tmp_path / "test.tsv", sentences(20, seed=1))
    kept = [row for i, row in enumerate(sentences(60)) if i not in manifest["poisoned_rows"]]
    by_hand = write_tsv(tmp_path / "kept.tsv", kept)
    assert len(kept) == 48
    oracle = fit(
        Inputs(files.train, test=test, oracle=files.manifest),
        model=tiny_model("bert"),
        defense="plain",
        settings=QUICK,
    )
    expected = fit(Inputs(by_hand, test=test), model=tiny_model("bert"), defense="plain", settings=QUICK)
    for one, other in zip(oracle.model.parameters(), expected.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert oracle.audit["oracle"] == {"n_left_out": 12}
    assert oracle.audit["limits"][0].startswith("This run is an oracle, no defense: the 12 training rows")
    assert expected.audit["oracle"] is None


def test_an_oracle_is_plain_fine_tuning_on_the_file_of_its_manifest(
    tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    source = write_tsv(tmp_path / "train.tsv", sentences(60))
    files = poison_files(Sources(source), Words(), PoisonPlan("pos", 0.2), tmp_path / "bad")
    with pytest.raises(SettingsError, match="got defense 'auto'"):
        fit(Inputs(files.train, oracle=files.manifest), model=tiny_model("bert"), settings=QUICK)
    with pytest.raises(DataError, match=r"is not the manifest of .*train\.tsv"):
        fit(Inputs(source, oracle=files.manifest), model=tiny_model("bert"), defense="plain", settings=QUICK)
