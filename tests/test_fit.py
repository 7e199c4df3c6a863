"""The main path from a file to a saved run, on tiny models."""

from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from cleanfit import EmbeddingDrift, TokenUnlearning, TrainingSettings, fit
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
