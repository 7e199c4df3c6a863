"""The main path from a file to a saved run, on tiny models."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cleanfit import EmbeddingDrift, Inputs, TokenUnlearning, TrainingSettings, fit
from cleanfit.errors import DataError
from conftest import FAMILIES, read_csv, sentences, write_tsv

QUICK = TrainingSettings(num_train_epochs=1, learning_rate=1e-3, per_device_train_batch_size=16, max_length=32)
FEW_STEPS = TokenUnlearning(detector=EmbeddingDrift(alpha=0.01, bag_min_steps=4, full_min_steps=4))


@pytest.mark.parametrize("family", FAMILIES)
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
