"""Fresh copies are the same, the neutral row is right, few embedding rows train like all, and bad models are refused."""

import hashlib
import json
import shutil
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoTokenizer, BertConfig, BertModel, DataCollatorWithPadding, PreTrainedModel

from cleanfit import models
from cleanfit.errors import ModelError
from cleanfit.models import (
    SeenEmbedding,
    find_model,
    freeze_all_but,
    load_finished,
    load_tokenizer,
    neutral_row,
    word_embeddings,
)
from cleanfit.settings import TrainingSettings
from conftest import FAMILIES, make_task, sentences

Folders = Callable[[str], str]
# Three classes, so that the saved head for two does not fit and a new one is made.
NAMES = ("bad", "so so", "good")
HEADS = {
    "bert": "classifier.weight",
    "roberta": "classifier.out_proj.weight",
    "distilbert": "classifier.weight",
    "deberta-v2": "classifier.weight",
    "gpt2": "score.weight",
}


def load(folder: str, seed: int = 0) -> PreTrainedModel:
    source = find_model(folder, NAMES)
    return source.load(load_tokenizer(source), seed)


def copied(folder: str, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / "model"))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_copy_is_the_same_and_another_seed_changes_the_head_alone(family: str, tiny_model: Folders) -> None:
    first, again, other = (load(tiny_model(family), seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert {name for name in first if not torch.equal(first[name], other[name])} == {HEADS[family]}


@pytest.mark.parametrize("family", FAMILIES)
def test_the_label_names_and_the_padding_token_are_in_the_config(family: str, tiny_model: Folders) -> None:
    model = load(tiny_model(family))
    assert model.config.id2label == {0: "bad", 1: "so so", 2: "good"}
    assert model.config.label2id == {"bad": 0, "so so": 1, "good": 2}
    assert model.config.pad_token_id == load_tokenizer(find_model(tiny_model(family), NAMES)).pad_token_id
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_loading_leaves_the_callers_random_draws_alone(tiny_model: Folders) -> None:
    folder = tiny_model("bert")
    before = torch.get_rng_state()
    load(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_decoder_pads_with_its_end_of_text_token_and_is_neutral_in_the_mean(tiny_model: Folders) -> None:
    tokenizer = load_tokenizer(find_model(tiny_model("gpt2"), NAMES))
    assert tokenizer.pad_token == tokenizer.eos_token == "<|endoftext|>"
    embeddings = torch.arange(2.0 * (len(tokenizer) + 3)).reshape(
        -1, 2
    )  # three rows more than the tokenizer has tokens
    last = 2.0 * (len(tokenizer) - 1)
    assert neutral_row(embeddings, tokenizer).tolist() == [last / 2, last / 2 + 1]


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gpt2"])
def test_an_encoders_neutral_row_is_its_padding_tokens(family: str, tiny_model: Folders) -> None:
    tokenizer = load_tokenizer(find_model(tiny_model(family), NAMES))
    embeddings = word_embeddings(load(tiny_model(family)))
    pad = tokenizer.convert_tokens_to_ids("<pad>" if family == "roberta" else "[PAD]")
    assert pad == (1 if family == "roberta" else 0)
    assert torch.equal(neutral_row(embeddings, tokenizer), embeddings[pad])


def test_word_embeddings_are_a_copy(tiny_model: Folders) -> None:
    model = load(tiny_model("bert"))
    word_embeddings(model).zero_()
    assert model.get_input_embeddings().weight.abs().sum() > 0


@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_training_the_rows_that_occur_is_training_all_rows(family: str, tiny_model: Folders) -> None:
    task = make_task(tiny_model(family), sentences(24), TrainingSettings(max_length=32))
    pad = task.tokenizer.pad_token_id
    seen = torch.tensor(sorted({pad, *(token for ids in task.rows["input_ids"] for token in ids)}))
    batches = [task.rows[start : start + 8] for start in (0, 8, 16)]
    before = word_embeddings(task.load_model())
    assert pad not in batches[0]["input_ids"][0]
    assert len(seen) < len(before)

    def trained(few: bool) -> tuple[Tensor, list[float]]:
        model = task.load_model()
        if few:
            model.set_input_embeddings(SeenEmbedding(before, seen, pad))
        words = model.get_input_embeddings()
        freeze_all_but(model, words)
        optimizer = torch.optim.AdamW([words.weight], lr=1e-2, weight_decay=0.0)
        collate, losses = DataCollatorWithPadding(task.tokenizer), []
        for step, batch in enumerate(batches):
            with torch.random.fork_rng():
                torch.manual_seed(step)  # the same dropout for both
                inputs = collate({name: batch[name] for name in ("input_ids", "attention_mask")})
                loss = model.train()(**inputs, labels=torch.tensor(batch["label"])).loss
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return words.weight.detach(), losses

    (all_rows, all_losses), (few_rows, few_losses) = trained(few=False), trained(few=True)
    assert few_losses == pytest.approx(all_losses, abs=1e-6)
    assert torch.allclose(few_rows, all_rows[seen], atol=1e-6)
    moved = (all_rows != before).any(dim=1)
    assert set(moved.nonzero().flatten().tolist()) == set(seen.tolist()) - {pad}
    assert (all_rows - before).abs().max() > 1e-2


def test_a_token_that_does_not_occur_is_an_error_not_another_row() -> None:
    words = SeenEmbedding(torch.eye(5), torch.tensor([0, 3]), pad_id=0)
    assert torch.equal(words(torch.tensor([[3, 0]])), torch.eye(5)[[3, 0]][None])
    with pytest.raises(IndexError):
        words(torch.tensor([[2]]))


def test_the_padding_row_gets_no_gradient() -> None:
    words = SeenEmbedding(torch.eye(5), torch.tensor([1, 3]), pad_id=3)
    words(torch.tensor([[1, 3, 3]])).sum().backward()
    assert words.weight.grad is not None
    assert words.weight.grad.tolist() == [[1.0] * 5, [0.0] * 5]


def test_only_the_asked_part_moves(tiny_model: Folders) -> None:
    model = load(tiny_model("bert"))
    freeze_all_but(model, model.get_input_embeddings())
    moving = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert moving == ["bert.embeddings.word_embeddings.weight"]


def test_the_weights_are_hashed(tiny_model: Folders) -> None:
    folder = tiny_model("bert")
    content = (Path(folder) / "model.safetensors").read_bytes()
    assert find_model(folder, NAMES).sha256 == hashlib.sha256(content).hexdigest()


def test_weights_that_can_run_code_are_not_read(tiny_model: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"has no \.safetensors file"):
        find_model(str(folder), NAMES)


def test_a_model_with_code_of_its_own_is_refused(tiny_model: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "auto_map": {"AutoModel": "evil.Model"}}))
    with pytest.raises(ModelError, match=r"needs code from its repository \(auto_map"):
        find_model(str(folder), NAMES)


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        find_model(str(tmp_path), NAMES)


def test_what_neither_folder_nor_hub_has_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_args: object, **_options: object) -> None:
        raise OSError("no connection\nand a long explanation")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(
        ModelError, match="'no/such' is no folder, and the hub did not give it: no connection"
    ) as caught:
        find_model("no/such", NAMES)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_with_more_tokens_than_embedding_rows_is_refused(tiny_model: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    n_rows = len(tokenizer)
    tokenizer.add_tokens(["newword"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=f"do not fit: {n_rows} embedding rows for {n_rows + 1} tokens"):
        load(str(folder))


def test_weights_without_the_pretrained_embeddings_are_refused(tiny_model: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    weights = load_file(folder / "model.safetensors")
    del weights["bert.embeddings.word_embeddings.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match="the pretrained rows are missing"):
        load(str(folder))


def test_weights_that_are_no_safetensors_are_refused_in_one_line(tiny_model: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(ModelError, match="Cannot load a classifier from") as caught:
        load(str(folder))
    assert "\n" not in str(caught.value)


def test_the_default_model_must_have_the_known_checksum(
    tiny_model: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    spec = ModuleSpec(models.MINILM_PACKAGE, None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr("importlib.util.find_spec", lambda name: spec)
    with pytest.raises(ModelError, match=f"expected {models.MINILM_SHA256}"):
        find_model("minilm", NAMES)
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    monkeypatch.setattr(models, "MINILM_SHA256", digest)
    assert find_model("minilm", NAMES).folder == folder


def test_the_default_model_that_is_not_installed_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"pip install 'cleanfit\[demo\]'"):
        find_model("minilm", NAMES)


def test_a_finished_model_keeps_its_head_and_label_names(tiny_model: Folders, tmp_path: Path) -> None:
    model = load(tiny_model("bert"))
    copied(tiny_model("bert"), tmp_path)
    model.save_pretrained(tmp_path / "model")
    source = find_model(str(tmp_path / "model"), ())
    finished, names = load_finished(source, load_tokenizer(source))
    assert names == NAMES
    assert torch.equal(finished.classifier.weight, model.classifier.weight)


def test_a_model_without_a_head_is_not_finished(tiny_model: Folders, tmp_path: Path) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    BertModel(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    source = find_model(str(folder), ())
    with pytest.raises(ModelError, match=r"is not fine-tuned: it lacks classifier\.bias, classifier\.weight"):
        load_finished(source, load_tokenizer(source))


def test_a_checkpoint_that_was_backdoored_on_purpose_says_so_in_a_warning_and_in_the_audit(
    tiny_model: Folders, tmp_path: Path
) -> None:
    folder = copied(tiny_model("bert"), tmp_path)
    marker = {"attack": "ep", "target": "pos"}
    (folder / "cleanfit_backdoor.json").write_text(json.dumps(marker), encoding="utf-8")
    with pytest.warns(UserWarning, match=r"was backdoored on purpose by 'cleanfit poison-model' \(ep\)"):
        task = make_task(str(folder), sentences(8), TrainingSettings())
    assert "may well survive" in task.source.warning
    (folder / "cleanfit_backdoor.json").write_text("not json", encoding="utf-8")
    with pytest.warns(UserWarning, match="unreadable marker"):
        find_model(str(folder), NAMES)
    assert find_model(tiny_model("bert"), NAMES).warning == ""
