"""Each figure of stealth is what it says it is, whatever the batches, and checked against other code."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
)

from cleanfit.errors import ModelError, SettingsError
from cleanfit.stealth import StealthSettings, stealth
from cleanfit.stealth.edits import character_edits, levenshtein, word_edits
from cleanfit.stealth.perplexity import load_language_model, perplexities
from cleanfit.stealth.similarity import embed, load_encoder
from conftest import sentences
from test_stealth_pairs import attack_files, by_name

Folders = Callable[[str], str]
TEXTS = ["the film was good", "good", "a very dull plot and a rude staff with a cold bed .", "cf", "the room was fine"]


@pytest.fixture(scope="session")
def tiny_lm(tiny_model: Folders, tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Give the folder of a tiny random GPT-2 that writes, with the tokenizer of a family."""
    built: dict[str, str] = {}

    def folder(family: str = "gpt2") -> str:
        if family not in built:
            path = tmp_path_factory.mktemp(f"lm-{family}")
            tokenizer = AutoTokenizer.from_pretrained(tiny_model(family))
            tokenizer.save_pretrained(path)
            torch.manual_seed(1)
            shape = {"n_positions": 40, "n_embd": 32, "n_layer": 2, "n_head": 2, "initializer_range": 0.3}
            ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
            GPT2LMHeadModel(GPT2Config(vocab_size=len(tokenizer), **shape, **ids)).save_pretrained(path)
            built[family] = str(path)
        return built[family]

    return folder


def token_by_token(folder: str, text: str, start: str, max_tokens: int = 1000) -> float:
    """Perplexity without batches, padding or a loss function: each token given those before it."""
    model, tokenizer = GPT2LMHeadModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    ids = [tokenizer.convert_tokens_to_ids(start)]
    ids += tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))[:max_tokens]
    logs = []
    for place in range(1, len(ids)):
        with torch.no_grad():
            scores = model(torch.tensor([ids[:place]])).logits[0, -1].double()
        logs.append(float(scores[ids[place]] - scores.logsumexp(0)))
    return float(np.exp(-np.mean(logs)))


# Perplexity


@pytest.mark.parametrize(("family", "start"), [("gpt2", "<|endoftext|>"), ("roberta", "<s>")])
def test_perplexity_is_that_of_a_loop_over_tokens_behind_a_start_token(
    family: str, start: str, tiny_lm: Folders
) -> None:
    got, n_cut = perplexities(load_language_model(tiny_lm(family), 512, "cpu"), TEXTS, 32)
    expected = [token_by_token(tiny_lm(family), text, start) for text in TEXTS]
    assert got == pytest.approx(expected, rel=1e-5)
    assert n_cut == 0
    assert max(expected) > 1.5 * min(expected)  # else a wrong pairing of values and texts could pass


def test_a_tokenizer_without_a_start_token_starts_with_its_end_token(tiny_lm: Folders, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_lm("roberta"))
    tokenizer.bos_token = None
    tokenizer.save_pretrained(tmp_path)
    GPT2LMHeadModel.from_pretrained(tiny_lm("roberta")).save_pretrained(tmp_path)
    got, _ = perplexities(load_language_model(str(tmp_path), 512, "cpu"), TEXTS, 32)
    assert got == pytest.approx([token_by_token(str(tmp_path), text, "</s>") for text in TEXTS], rel=1e-5)


def test_a_text_of_one_token_has_the_perplexity_of_that_token_at_the_start(tiny_lm: Folders) -> None:
    model, tokenizer = GPT2LMHeadModel.from_pretrained(tiny_lm("gpt2")), AutoTokenizer.from_pretrained(tiny_lm("gpt2"))
    token = tokenizer.convert_tokens_to_ids("cf")
    assert tokenizer("cf")["input_ids"] == [token]
    with torch.no_grad():
        share = model.eval()(torch.tensor([[tokenizer.eos_token_id]])).logits[0, 0].softmax(-1)[token]
    got, _ = perplexities(load_language_model(tiny_lm("gpt2"), 512, "cpu"), ["cf"], 32)
    assert got[0] == pytest.approx(1 / float(share), rel=1e-5)


def test_a_text_without_tokens_has_no_perplexity_and_spoils_no_other(tiny_lm: Folders) -> None:
    got, _ = perplexities(load_language_model(tiny_lm("gpt2"), 512, "cpu"), ["", "good"], 32)
    assert np.isnan(got[0])
    assert got[1] == pytest.approx(token_by_token(tiny_lm("gpt2"), "good", "<|endoftext|>"), rel=1e-5)


def test_batches_and_their_padding_change_no_perplexity(tiny_lm: Folders) -> None:
    texts = [text for text, _ in sentences(40)] + TEXTS
    reader = load_language_model(tiny_lm("gpt2"), 512, "cpu")
    one, many = (perplexities(reader, texts, batch_size)[0] for batch_size in (1, 32))
    assert many == pytest.approx(one, rel=1e-4)


@pytest.mark.parametrize(("asked", "limit"), [(9, 9), (512, 40)])
def test_a_long_text_is_cut_to_what_was_asked_or_to_what_the_model_reads(
    asked: int, limit: int, tiny_lm: Folders
) -> None:
    text = "the film was good and the room was cold " * 8
    got, n_cut = perplexities(load_language_model(tiny_lm("gpt2"), asked, "cpu"), [text, "good"], 32)
    assert n_cut == 1
    assert got[0] == pytest.approx(token_by_token(tiny_lm("gpt2"), text, "<|endoftext|>", limit - 1), rel=1e-5)


def test_a_text_that_just_fits_is_not_cut(tiny_lm: Folders) -> None:
    text = TEXTS[0]
    n_tokens = len(AutoTokenizer.from_pretrained(tiny_lm("gpt2")).tokenize(text))
    for max_length, expected in ((n_tokens + 1, 0), (n_tokens, 1)):  # the start token takes a place
        assert perplexities(load_language_model(tiny_lm("gpt2"), max_length, "cpu"), [text], 32)[1] == expected


def test_a_masked_language_model_gives_no_perplexity(tiny_model: Folders, tmp_path: Path) -> None:
    AutoTokenizer.from_pretrained(tiny_model("bert"), eos_token="[SEP]").save_pretrained(tmp_path)
    config = BertConfig.from_pretrained(tiny_model("bert"))
    torch.manual_seed(0)
    BertForMaskedLM(config).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="its tokens see those behind them"):
        load_language_model(str(tmp_path), 512, "cpu")


def test_a_language_model_whose_texts_cannot_start_is_refused(tiny_lm: Folders, tmp_path: Path) -> None:
    GPT2LMHeadModel.from_pretrained(tiny_lm("roberta")).save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tiny_lm("roberta"))
    tokenizer.bos_token = tokenizer.eos_token = None
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="neither a start-of-text nor an end-of-text token"):
        load_language_model(str(tmp_path), 512, "cpu")


def test_a_classifier_is_no_language_model_and_a_folder_without_safetensors_is_not_read(
    tiny_model: Folders, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match="is not a causal language model: it lacks"):
        load_language_model(tiny_model("bert"), 512, "cpu")
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ModelError, match=r"no \.safetensors file"):
        load_language_model(str(tmp_path), 512, "cpu")


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(tiny_model: Folders, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model("bert"))
    AutoModel.from_pretrained(tiny_model("bert")).save_pretrained(tmp_path)
    tokenizer.add_tokens(["one-more"])
    tokenizer.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=f"{len(tokenizer) - 1} embedding rows for {len(tokenizer)} tokens"):
        load_encoder(str(tmp_path), 512, "cpu")


# Similarity


def test_an_embedding_is_the_normalised_mean_over_the_real_tokens_alone(tiny_model: Folders) -> None:
    got, _ = embed(load_encoder(tiny_model("bert"), 512, "cpu"), TEXTS, 32)
    model, tokenizer = AutoModel.from_pretrained(tiny_model("bert")), AutoTokenizer.from_pretrained(tiny_model("bert"))
    for text, vector in zip(TEXTS, got):
        with torch.no_grad():
            mean = model.eval()(**tokenizer(text, return_tensors="pt")).last_hidden_state[0].mean(dim=0)
        assert vector == pytest.approx((mean / mean.norm()).numpy(), abs=1e-5)


def test_batches_and_their_padding_change_no_embedding(tiny_model: Folders) -> None:
    texts = [text for text, _ in sentences(40)] + TEXTS
    reader = load_encoder(tiny_model("bert"), 512, "cpu")
    one, many = (embed(reader, texts, batch_size)[0] for batch_size in (1, 32))
    assert np.abs(one - many).max() < 1e-5
    assert np.abs(one[0] - one[1]).max() > 1e-2


def test_an_embedding_reads_no_more_than_the_model_can_and_says_how_many_texts_were_cut(tiny_model: Folders) -> None:
    reader = load_encoder(tiny_model("bert"), 512, "cpu")
    assert reader.max_length == AutoConfig.from_pretrained(tiny_model("bert")).max_position_embeddings == 80
    text = "the film was good " * 30
    vectors, n_cut = embed(reader, [text, text + "cf", "good"], 2)
    assert n_cut == 2
    assert vectors[0] == pytest.approx(vectors[1], abs=1e-6)


# Edit distance


@pytest.mark.parametrize(
    ("first", "second", "count"),
    [
        ("", "", 0),
        ("", "abc", 3),
        ("abc", "", 3),
        ("same", "same", 0),
        ("kitten", "sitting", 3),
        ("flaw", "lawn", 2),
        ("ab", "ba", 2),
        ("abc", "xyz", 3),
        (["the", "film"], ["the", "cf", "film"], 1),
        (["a", "b", "c"], ["c"], 2),
    ],
)
def test_edit_distance_is_what_one_counts_by_hand(first: Sequence[str], second: Sequence[str], count: int) -> None:
    assert levenshtein(first, second) == count


def test_edit_distance_is_that_of_the_full_table() -> None:
    def table(first: str, second: str) -> int:
        above = list(range(len(second) + 1))
        for i, a in enumerate(first, start=1):
            row = [i]
            for j, b in enumerate(second, start=1):
                row.append(min(row[-1] + 1, above[j] + 1, above[j - 1] + (a != b)))
            above = row
        return above[-1]

    draw = random.Random(0)
    for _ in range(300):
        first, second = ("".join(draw.choices("abc", k=draw.choice((1, 5, 63, 64, 65, 90)))) for _ in range(2))
        assert levenshtein(first, second) == table(first, second)


def test_words_are_counted_and_characters_are_shares_of_the_longer_text() -> None:
    clean, triggered = ["the  film", "ab", "ab"], ["the cf film", "abcd", "ab"]
    assert word_edits(clean, triggered).tolist() == [1, 1, 0]
    assert character_edits(clean, triggered).tolist() == [2 / 11, 2 / 4, 0]


# All of them


def test_identical_texts_differ_in_nothing(tiny_model: Folders, tiny_lm: Folders, tmp_path: Path) -> None:
    texts = dict(enumerate(TEXTS))
    clean, manifest = attack_files(tmp_path, TEXTS, [{"texts": texts}])
    settings = StealthSettings(tiny_lm("gpt2"), tiny_model("bert"), device="cpu")
    metrics = by_name(stealth(clean, manifest, settings=settings))
    perplexity = metrics["perplexity"].values
    assert perplexity["mean difference"] == perplexity["median difference"] == 0
    assert perplexity["mean clean"] == perplexity["mean triggered"] > 1
    assert metrics["similarity"].values == pytest.approx({"mean": 1.0, "median": 1.0, "minimum": 1.0}, abs=1e-9)
    for name in ("word edits", "character edits"):
        assert metrics[name].values == {"mean": 0.0, "median": 0.0, "maximum": 0.0}


def test_figures_are_the_means_and_medians_over_pairs(tiny_model: Folders, tiny_lm: Folders, tmp_path: Path) -> None:
    triggered = {0: "cf the film was good", 2: "a dull plot", 4: "the room was cf fine"}
    clean, manifest = attack_files(tmp_path, TEXTS, [{"texts": triggered}])
    measured = stealth(clean, manifest, settings=StealthSettings(tiny_lm("gpt2"), tiny_model("bert"), device="cpu"))
    before, after = (
        np.array([token_by_token(tiny_lm("gpt2"), text, "<|endoftext|>") for text in side])
        for side in ([TEXTS[row] for row in triggered], triggered.values())
    )
    metrics = by_name(measured)
    assert metrics["perplexity"].values == pytest.approx(
        {
            "mean clean": before.mean(),
            "median clean": np.median(before),
            "mean triggered": after.mean(),
            "median triggered": np.median(after),
            "mean difference": (after - before).mean(),
            "median difference": np.median(after - before),
        },
        rel=1e-4,
    )
    vectors, _ = embed(load_encoder(tiny_model("bert"), 512, "cpu"), [*TEXTS, *triggered.values()], 1)
    cosines = [vectors[row] @ vectors[5 + i] for i, row in enumerate(triggered)]
    expected = {"mean": np.mean(cosines), "median": np.median(cosines), "minimum": min(cosines)}
    assert metrics["similarity"].values == pytest.approx(expected, abs=1e-5)
    assert {metric.n_pairs for metric in measured.metrics if not metric.skipped} == {3}
    assert "at most 40 tokens a text" in metrics["perplexity"].note
    assert "0 of 6 different texts were cut" in metrics["perplexity"].note


def test_a_pair_without_tokens_is_left_out_of_perplexity_only(
    tiny_model: Folders, tiny_lm: Folders, tmp_path: Path
) -> None:
    clean, manifest = attack_files(tmp_path, ["good", "fine"], [{"texts": {0: "", 1: "fine cf"}}])
    settings = StealthSettings(tiny_lm("gpt2"), tiny_model("bert"), device="cpu")
    metrics = by_name(stealth(clean, manifest, settings=settings))
    assert metrics["perplexity"].n_pairs == 1
    assert all(np.isfinite(value) for value in metrics["perplexity"].values.values())
    assert metrics["similarity"].n_pairs == 2


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: StealthSettings(max_rows=0), "max_rows is 0; expected at least 1"),
        (lambda: StealthSettings(max_length=3), "max_length is 3"),
        (lambda: StealthSettings(batch_size=0), "batch_size is 0"),
        (lambda: StealthSettings(device="gpu"), "device is 'gpu'; expected one of auto, cpu"),
        (lambda: stealth(Path("a"), Path("b"), part="dev"), "part is 'dev'; expected one of test, train"),
    ],
)
def test_a_setting_out_of_range_is_refused(make: Callable[[], object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        make()
