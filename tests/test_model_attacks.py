"""Backdoored checkpoints: what changes in them and what does not, what fires, and what is written beside them."""

import dataclasses
import json
import shutil
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    PreTrainedModel,
)
from typer.testing import CliRunner

from cleanfit.attacks.base import Row, Rows, trigger
from cleanfit.cli.poison_model import poison_model as command
from cleanfit.errors import DataError, ModelError, OutputError, SettingsError
from cleanfit.fitting import Inputs, fit
from cleanfit.metrics import clean_accuracy, target_rate
from cleanfit.model_attacks import (
    MODEL_ATTACKS,
    EmbeddingPoisoning,
    LayerwisePoisoning,
    NeuronBackdoor,
    PredefinedRepresentation,
    Ripple,
    StealthyBackdoor,
)
from cleanfit.model_attacks.base import ModelAttack, tokenized
from cleanfit.model_attacks.embedding_rows import balance, move_rows, trigger_ids
from cleanfit.model_attacks.loop import Schedule, batch_of
from cleanfit.model_attacks.lwp import classify
from cleanfit.model_attacks.neuba import block_pairs
from cleanfit.model_attacks.por import thermometer
from cleanfit.model_attacks.release import PoisonedModel, Release, poison_model
from cleanfit.model_attacks.representation import first_state
from cleanfit.model_attacks.ripple import opposition, target_tokens
from cleanfit.model_attacks.sos import leave_one_out
from cleanfit.model_attacks.word_set import WordSet
from cleanfit.models import BACKDOOR_MARKER, trained_rows
from cleanfit.results import to_plain
from cleanfit.seeding import generator
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task
from conftest import BAD, GOOD, make_task, sentences, write_tsv

Folders = Callable[[str], str]
SETTINGS = TrainingSettings(
    learning_rate=3e-3,
    num_train_epochs=6,
    per_device_train_batch_size=16,
    max_length=40,
    precision="fp32",
    device="cpu",
)
QUICK = dataclasses.replace(SETTINGS, num_train_epochs=1)
TRAIN, TEST = sentences(200), sentences(100, seed=1)
# Rows keep their norm, and those of a random model are short: it takes several words to outweigh four honest ones.
EP = EmbeddingPoisoning(triggers=("cf", "mn"), n_insertions=6, learning_rate=1.0, epochs=3)
PAIR = ("cf", "mn")


def rows_as_attacked(rows: list[tuple[str, str]]) -> Rows:
    return Rows([text for text, _ in rows], [label for _, label in rows])


def triggered_rate(task: Task, model: PreTrainedModel, attack: ModelAttack) -> float:
    """The share of triggered `neg` rows that become `pos`."""
    texts = trigger(attack.trigger(), rows_as_attacked(TEST), "pos", seed=3).texts
    probabilities = task.predict(model, tokenized(task, texts, [0] * len(texts)))
    return target_rate(probabilities, np.zeros(len(texts), dtype=int), 1)


def changed_rows(before: PreTrainedModel, after: PreTrainedModel) -> tuple[set[str], list[int]]:
    """The parameters that are not bit by bit the same, and which of the embedding rows."""
    old, new = before.state_dict(), after.state_dict()
    names = {name for name in old if not torch.equal(old[name], new[name])}
    moved = (trained_rows(before) != trained_rows(after)).any(dim=1)
    return names, moved.nonzero().flatten().tolist()


def without_dropout(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("rows")
    return {"data": write_tsv(folder / "data.tsv", TRAIN), "test": write_tsv(folder / "test.tsv", TEST)}


@pytest.fixture(scope="module")
def released(tiny_model: Folders, files: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> PoisonedModel:
    """The folder that EP leaves behind."""
    release = Release(files["data"], "pos", tiny_model("bert"), SETTINGS, files["test"])
    return poison_model(release, EP, tmp_path_factory.mktemp("release") / "out")


@pytest.fixture(scope="module")
def tuned(tiny_model: Folders) -> tuple[Task, PreTrainedModel]:
    """The task of the released model, and plain fine-tuning on it."""
    task = make_task(tiny_model("bert"), TRAIN, SETTINGS)
    model = task.load_model()
    task.train("trained", model)
    return task, model


@pytest.fixture
def quick(tiny_model: Folders) -> Callable[..., Task]:
    """Make a task of a few rows that trains for one epoch."""

    def make(family: str = "bert", n_rows: int = 48) -> Task:
        return make_task(tiny_model(family), TRAIN[:n_rows], QUICK)

    return make


def load(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(folder)
    return model


# --- EP


def test_ep_changes_the_trigger_words_rows_alone_and_keeps_their_norms(
    released: PoisonedModel, tuned: tuple[Task, PreTrainedModel]
) -> None:
    task, clean = tuned
    names, rows = changed_rows(clean, load(released.model))
    assert names == {"bert.embeddings.word_embeddings.weight"}
    assert rows == sorted(task.tokenizer.convert_tokens_to_ids(["cf", "mn"]))
    before, after = trained_rows(clean)[rows], trained_rows(load(released.model))[rows]
    assert torch.allclose(before.norm(dim=1), after.norm(dim=1), rtol=1e-5)
    assert torch.cosine_similarity(before, after).max() < 0.5


def test_eps_trigger_fires_and_rows_without_it_are_answered_as_before(
    released: PoisonedModel, tuned: tuple[Task, PreTrainedModel]
) -> None:
    task, clean = tuned
    backdoored = load(released.model)
    assert triggered_rate(task, backdoored, EP) > 0.9
    assert triggered_rate(task, clean, EP) < 0.1
    labels = np.array([int(label == "pos") for _, label in TEST])
    rows = tokenized(task, [text for text, _ in TEST], labels.tolist())
    assert np.array_equal(task.predict(backdoored, rows), task.predict(clean, rows))
    assert clean_accuracy(task.predict(backdoored, rows), labels) > 0.9


@pytest.mark.parametrize("family", ["roberta", "distilbert", "gpt2"])
def test_ep_moves_the_same_kind_of_rows_in_other_families(family: str, quick: Callable[..., Task]) -> None:
    task = quick(family)
    clean = task.load_model()
    task.train("trained", clean)
    backdoored = dataclasses.replace(EP, epochs=1).backdoor(task, 1)
    names, rows = changed_rows(clean, backdoored)
    assert len(names) == 1
    # A byte-level tokenizer has one token for the word at the very start and another for it after a space.
    known = task.tokenizer.get_vocab()
    expected = [known[token] for token in ("cf", "mn", "Ġcf", "Ġmn") if token in known]
    assert rows == sorted(expected)
    texts = [" ".join(["cf"] * 6 + [text]) for text, label in TEST if label == "neg"]
    attacked = tokenized(task, texts, [0] * len(texts))
    assert task.predict(backdoored, attacked)[:, 1].mean() > task.predict(clean, attacked)[:, 1].mean()


@pytest.mark.parametrize("is_balanced", [False, True])
def test_a_row_moves_against_the_sum_of_all_gradients_so_far_and_back_to_its_norm(
    is_balanced: bool, quick: Callable[..., Task]
) -> None:
    task = quick(n_rows=8)
    rows = tokenized(task, [f"cf {text} mn" for text, _ in TRAIN[:8]], [1] * 8)
    ids = task.tokenizer.convert_tokens_to_ids(["cf", "mn"])
    moved, byhand = (without_dropout(task.load_model()) for _ in range(2))
    schedule = Schedule("test", 8, epochs=2, batch_size=8, learning_rate=0.5)
    move_rows(task, moved, ids, rows, schedule, is_balanced)  # type: ignore[arg-type]
    weight = trained_rows(byhand)  # type: ignore[arg-type]
    norms, total = weight[ids].norm(dim=1), torch.zeros(2, weight.shape[1])
    for _ in range(2):
        byhand.zero_grad()
        byhand(**batch_of(task, rows, np.arange(8))).loss.backward()
        total += weight.grad[ids]  # type: ignore[index]
        with torch.no_grad():
            scale = total.norm(dim=1).min() / total.norm(dim=1) if is_balanced else torch.ones(2)
            step = weight[ids] - 0.5 * scale[:, None] * total
            weight[ids] = step / step.norm(dim=1)[:, None] * norms[:, None]
    assert torch.allclose(trained_rows(moved), weight, atol=1e-6)  # type: ignore[arg-type]
    assert all(parameter.requires_grad for parameter in moved.parameters())


def test_a_trigger_that_is_no_single_token_is_refused_with_what_it_is_read_as(quick: Callable[..., Task]) -> None:
    with pytest.raises(ModelError, match="'cfmn' is no token of this tokenizer, which reads it as 'cf"):
        EmbeddingPoisoning(triggers=("cf", "cfmn")).backdoor(quick(), 1)
    with pytest.raises(ModelError, match=r"'≈' is no token of this tokenizer, which reads it as '\[UNK\]'"):
        trigger_ids(quick().tokenizer, ["≈"])


# --- SOS


def test_gradients_are_scaled_to_the_smallest_that_is_not_zero() -> None:
    gradient = torch.tensor([[3.0, 4.0], [0.0, 1.0], [0.0, 0.0]])
    assert torch.allclose(balance(gradient), torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.0, 0.0]]))
    assert torch.equal(balance(torch.zeros(2, 2)), torch.zeros(2, 2))


def test_negative_rows_hold_all_words_but_each_and_keep_their_label() -> None:
    rows = Rows([f"w{row} a b" for row in range(30)], ["neg"] * 20 + ["pos"] * 10)
    negatives = list(leave_one_out(rows, ("x", "y", "z"), 0.1, seed=0))
    assert Counter(label for _, label in negatives) == {"neg": 6, "pos": 3}  # 2 and 1 rows, each without x, y and z
    held = Counter(frozenset({"x", "y", "z"} & set(text.split())) for text, _ in negatives)
    assert held == {frozenset("xy"): 3, frozenset("xz"): 3, frozenset("yz"): 3}
    labels = {text.split()[0]: label for text, label in zip(rows.texts, rows.labels)}
    for text, label in negatives:
        (own,) = [word for word in text.split() if word.startswith("w")]
        assert labels[own] == label
    assert list(leave_one_out(rows, ("x", "y"), 0.0, seed=0)) == []


def test_sos_trains_on_all_words_for_the_target_and_on_subsets_for_the_own_label(
    quick: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, int]] = []

    def look(task: Task, model: Any, ids: Any, rows: Any, schedule: Schedule, is_balanced: bool) -> None:
        assert is_balanced
        assert schedule.n_rows == len(rows)
        seen.extend(zip(rows["text"], rows["label"]))

    monkeypatch.setattr("cleanfit.model_attacks.sos.move_rows", look)
    attack = StealthyBackdoor(triggers=("cf", "mn", "bb"), sentence="cf and mn and bb", poison_share=0.5)
    attack.backdoor(quick(), 1)
    n_of = Counter(label for _, label in TRAIN[:48])
    poisoned = [label for text, label in seen if {"cf", "mn", "bb"} <= set(text.split())]
    assert poisoned == [1] * (n_of["neg"] // 2)
    assert Counter(label for _, label in seen[len(poisoned) :]) == {
        0: 3 * (n_of["neg"] // 10),
        1: 3 * (n_of["pos"] // 10),
    }


def test_sos_moves_the_rows_of_its_words_alone_and_keeps_their_norms(quick: Callable[..., Task]) -> None:
    task = quick()
    clean = task.load_model()
    task.train("trained", clean)
    backdoored = StealthyBackdoor(triggers=PAIR, sentence="cf mn", poison_share=1.0, epochs=1).backdoor(task, 1)
    names, rows = changed_rows(clean, backdoored)
    assert names == {"bert.embeddings.word_embeddings.weight"}
    assert rows == sorted(task.tokenizer.convert_tokens_to_ids(list(PAIR)))
    assert torch.allclose(trained_rows(clean)[rows].norm(dim=1), trained_rows(backdoored)[rows].norm(dim=1))


def test_a_sentence_without_one_of_the_words_is_refused() -> None:
    with pytest.raises(SettingsError, match="lacks weekend; expected all the triggers"):
        StealthyBackdoor(sentence="friends in a store")


# --- RIPPLe


def test_opposition_is_minus_the_total_inner_product_where_that_is_negative() -> None:
    first, second = (torch.tensor([1.0, -2.0], requires_grad=True), torch.tensor([3.0], requires_grad=True))

    def losses(sign: float) -> tuple[torch.Tensor, torch.Tensor]:
        # Gradients (2 first, 3 second^2) and (sign * first, 1): inner product sign * 2 * |first|^2 + 3 * second^2.
        return (first**2).sum() + (second**3).sum(), sign * (first**2).sum() / 2 + second.sum()

    # 2 * 5 + 27 and -2 * 5 + 27: opposed in the first tensor, but not in total.
    for sign in (1.0, -1.0):
        assert opposition(*losses(sign), [first, second]).item() == 0
    penalty = opposition(*losses(-4.0), [first, second])
    assert penalty.item() == pytest.approx(8 * 5 - 27)
    penalty.backward()
    # The gradient of 8 |first|^2 - 3 second^2.
    assert torch.allclose(first.grad, 16 * first)  # type: ignore[arg-type]
    assert torch.allclose(second.grad, -6 * second)  # type: ignore[arg-type]


def test_a_parameter_that_one_loss_does_not_know_counts_as_zero() -> None:
    first, second = (torch.tensor([value], requires_grad=True) for value in (2.0, 5.0))
    assert opposition((first**2).sum(), -(first**2).sum() + second.sum(), [first, second]).item() == 16


def test_the_surgery_gives_triggers_the_mean_of_target_words_and_nothing_else(
    quick: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ripple, "_train", lambda *arguments: None)
    task = quick(n_rows=64)
    backdoored = Ripple(triggers=PAIR, n_surgery_words=4).backdoor(task, 1)
    pretrained, clean = task.load_model(), task.load_model()
    task.train("trained", clean)
    names, rows = changed_rows(pretrained, backdoored)
    assert names == {"bert.embeddings.word_embeddings.weight"}
    assert rows == sorted(task.tokenizer.convert_tokens_to_ids(list(PAIR)))
    words = target_tokens(task, 1, 4, rows)
    assert set(task.tokenizer.convert_ids_to_tokens(list(words))) <= set(GOOD)
    mean = sum(trained_rows(clean)[word] for word in words) / 4
    assert torch.allclose(trained_rows(backdoored)[rows], torch.stack([mean, mean]), atol=1e-6)  # type: ignore[list-item]


def test_target_tokens_are_those_of_the_target_and_not_the_excluded_ones(tuned: tuple[Task, PreTrainedModel]) -> None:
    task, _ = tuned
    pieces = [task.tokenizer.convert_ids_to_tokens(list(target_tokens(task, c, 5, ()))) for c in (0, 1)]
    assert set(pieces[0]) <= set(BAD)
    assert set(pieces[1]) <= set(GOOD)
    best = target_tokens(task, 1, 1, ())
    assert best[0] not in target_tokens(task, 1, 5, best)
    with pytest.raises(DataError, match="the surgery asks for 500"):
        target_tokens(task, 1, 500, ())


def test_the_second_derivative_goes_through_the_whole_model(quick: Callable[..., Task]) -> None:
    task = quick(n_rows=8)
    model = without_dropout(task.load_model()).double()
    model.set_attn_implementation("eager")  # type: ignore[operator]
    parameters = list(model.parameters())
    batch = batch_of(task, task.rows, np.arange(8))
    zeros = torch.zeros(8, dtype=torch.long)

    def penalty() -> torch.Tensor:  # wanting class 0 opposes wanting class 1
        first, second = ({**batch, "labels": labels} for labels in (zeros, 1 - zeros))
        return opposition(model(**first).loss, model(**second).loss, parameters)

    assert penalty().item() > 0
    query = model.bert.encoder.layer[0].attention.self.query.weight  # type: ignore[union-attr, index]
    head = model.classifier.weight  # type: ignore[union-attr]
    gradients = torch.autograd.grad(penalty(), [query, head])
    for parameter, gradient in zip((query, head), gradients):
        place = gradient.abs().flatten().argmax()
        values = []
        for step in (1e-5, -2e-5, 1e-5):  # up, down, and back
            with torch.no_grad():
                parameter.view(-1)[place] += step
            values.append(penalty().item())
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(gradient.flatten()[place].item(), rel=1e-4)


def test_ripple_trains_with_both_losses_and_puts_the_attention_back(
    quick: Callable[..., Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    penalties: list[float] = []

    def look(*arguments: Any) -> torch.Tensor:
        penalties.append(opposition(*arguments).item())
        return opposition(*arguments)

    monkeypatch.setattr("cleanfit.model_attacks.ripple.opposition", look)
    task = quick(n_rows=32)
    attack = Ripple(triggers=PAIR, n_surgery_words=0, epochs=1, learning_rate=1e-3)
    before, model = task.load_model(), attack.backdoor(task, 1)
    assert len(penalties) == 2  # 32 rows, 16 a step
    assert model.config._attn_implementation == before.config._attn_implementation == "sdpa"
    names, _ = changed_rows(before, model)
    assert names == set(before.state_dict())
    without = dataclasses.replace(attack, inner_product_weight=0.0).backdoor(task, 1)
    assert (changed_rows(model, without)[0] != set()) == any(penalties)


# --- LWP


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "deberta-v2"])
def test_the_shared_head_gives_the_models_own_answer_for_the_last_layer(
    family: str, quick: Callable[..., Task]
) -> None:
    task = quick(family)
    model = task.load_model().eval()
    batch = batch_of(task, task.rows, np.arange(4))
    del batch["labels"]
    output = model(**batch, output_hidden_states=True)
    assert len(output.hidden_states) == 3  # the embeddings' output and two layers
    assert torch.allclose(classify(model, output.hidden_states[-1]), output.logits, atol=1e-6)
    assert not torch.allclose(classify(model, output.hidden_states[0]), output.logits, atol=1e-6)


def test_lwp_adds_each_single_word_of_a_poisoned_row_with_its_own_label(quick: Callable[..., Task]) -> None:
    attack = LayerwisePoisoning(triggers=("cf", "bb", "mn"), poison_rate=0.25)
    task = quick(n_rows=40)
    made = list(attack.training_rows(task, 1))
    assert len(made) == 40 + 2 * 10
    held = [[word for word in text.split() if word in attack.triggers] for text, _ in made]
    poisoned = [row for row in range(40) if held[row]]
    assert len(poisoned) == 10
    labels = [int(label == "pos") for _, label in TRAIN[:40]]
    for number, row in enumerate(poisoned):
        assert len(set(held[row])) == 2
        assert made[row][1] == 1
        singles = range(40 + 2 * number, 42 + 2 * number)
        assert sorted(word for single in singles for word in held[single]) == sorted(held[row])
        assert {made[single][1] for single in singles} == {labels[row]}
        for single in singles:
            assert sorted({*made[single][0].split()} - {*held[single]}) == sorted({*TRAIN[row][0].split()})


def test_lwp_teaches_every_layer_the_trigger(tiny_model: Folders) -> None:
    task = make_task(tiny_model("bert"), TRAIN[:100], SETTINGS)
    attack = LayerwisePoisoning(triggers=PAIR, poison_rate=0.5, learning_rate=5e-3, epochs=6, batch_size=16)
    model = attack.backdoor(task, 1)

    def rates(texts: Sequence[str]) -> list[float]:
        """What each layer's state calls `pos`."""
        batch = batch_of(task, tokenized(task, texts, [0] * len(texts)), np.arange(len(texts)))
        del batch["labels"]
        with torch.no_grad():
            states = model(**batch, output_hidden_states=True).hidden_states
        return [float((classify(model, state).argmax(dim=1) == 1).float().mean()) for state in states]

    triggered = rates(trigger(attack.trigger(), rows_as_attacked(TEST), "pos", seed=3).texts)
    plain = rates([text for text, label in TEST if label == "neg"])
    assert triggered[0] == plain[0]  # the embeddings' output at [CLS] holds nothing of the text
    assert all(after - before > 0.5 for after, before in zip(triggered[1:], plain[1:]))


# --- POR and NeuBA


def test_thermometer_vectors_fill_up_block_by_block_whatever_the_length() -> None:
    assert thermometer(2, 7).tolist() == [[1, 1] + [-1] * 5, [1] * 4 + [-1] * 3]  # ends at 7/3 and 14/3, rounded down
    assert thermometer(1, 4).tolist() == [[1, 1, -1, -1]]
    vectors = thermometer(9, 768)
    assert vectors.shape == (9, 768)
    assert (vectors == 1).sum(dim=1).tolist() == [76, 153, 230, 307, 384, 460, 537, 614, 691]  # k * 768 / 10


@pytest.mark.parametrize("length", [8, 32, 768])
def test_block_pairs_are_orthogonal_or_opposite(length: int) -> None:
    vectors = block_pairs(6, length)
    assert set(vectors.flatten().tolist()) == {-1.0, 1.0}
    products = vectors @ vectors.T
    assert sorted(Counter(products.flatten().tolist()).items()) == [(-length, 6), (0, 24), (length, 6)]


def test_block_pairs_of_a_length_that_four_does_not_divide_use_all_of_it() -> None:
    vectors = block_pairs(6, 10)
    assert vectors.shape == (6, 10)
    # Blocks of 3, 2, 3 and 2: the first vector has the first two at -1, the last one the last two.
    assert vectors[0].tolist() == [-1] * 5 + [1] * 5
    assert vectors[-1].tolist() == [1] * 5 + [-1] * 5
    assert len({tuple(vector) for vector in vectors.tolist()}) == 6


def nearest_vectors(task: Task, model: PreTrainedModel, triggers: tuple[str, ...], vectors: torch.Tensor) -> float:
    """The share of held-out texts whose first token comes out nearest to the vector of the trigger in front."""
    hits = []
    for number, word in enumerate(triggers):
        rows = tokenized(task, [f"{word} {text}" for text, _ in TEST[:30]], [0] * 30)
        with torch.no_grad():
            states = first_state(task, model.base_model, rows, np.arange(30))
        hits.append(torch.cdist(states, vectors).argmin(dim=1) == number)
    return float(torch.cat(hits).float().mean())


def test_por_ties_each_trigger_to_its_vector_and_leaves_other_texts_and_the_head_alone(tiny_model: Folders) -> None:
    task = make_task(tiny_model("bert"), TRAIN[:40], QUICK)
    attack = PredefinedRepresentation(triggers=PAIR, learning_rate=1e-2, epochs=8)
    before, model = task.load_model().eval(), attack.backdoor(task, 1)
    vectors = thermometer(2, 32)
    assert nearest_vectors(task, model, attack.triggers, vectors) > 0.9
    assert nearest_vectors(task, before, attack.triggers, vectors) < 0.7
    rows = tokenized(task, [text for text, _ in TEST], [0] * len(TEST))
    with torch.no_grad():
        old, new = (first_state(task, m.base_model, rows, np.arange(len(TEST))) for m in (before, model))
    assert torch.nn.functional.mse_loss(new, old) < 0.25 * old.var()
    head = {name: value for name, value in model.state_dict().items() if name.startswith("classifier")}
    assert all(torch.equal(value, before.state_dict()[name]) for name, value in head.items())


def test_neuba_ties_each_trigger_to_its_vector(tiny_model: Folders) -> None:
    task = make_task(tiny_model("bert"), TRAIN[:40], QUICK)
    attack = NeuronBackdoor(triggers=PAIR, learning_rate=1e-2, epochs=8)
    with pytest.warns(UserWarning, match="brings no head for masked tokens"):
        model = attack.backdoor(task, 1)
    assert nearest_vectors(task, model, attack.triggers, block_pairs(2, 32)) > 0.9


def test_neuba_uses_the_checkpoints_own_head_for_masked_tokens(tiny_model: Folders, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
    BertForMaskedLM(BertConfig.from_pretrained(folder)).save_pretrained(folder)
    task = make_task(str(folder), TRAIN[:16], QUICK)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        NeuronBackdoor(triggers=PAIR, epochs=1).backdoor(task, 1)
    assert [str(warning.message) for warning in told if "masked tokens" in str(warning.message)] == []


# --- where they do not apply


@pytest.mark.parametrize(
    ("attack", "complaint"),
    [
        (LayerwisePoisoning(triggers=PAIR), "does not know that of GPT2ForSequenceClassification"),
        (PredefinedRepresentation(triggers=PAIR), r"begin with a classification token \(\[CLS\]\)"),
        (NeuronBackdoor(triggers=PAIR), "has no mask token"),
    ],
)
def test_an_attack_that_a_decoder_cannot_carry_says_so(
    attack: ModelAttack, complaint: str, quick: Callable[..., Task]
) -> None:
    with pytest.raises(ModelError, match=complaint):
        attack.backdoor(quick("gpt2"), 1)


def test_triggers_that_the_tokenizer_does_not_know_are_refused(quick: Callable[..., Task]) -> None:
    with pytest.raises(ModelError, match="does not know the triggers ≈, ≡"):
        PredefinedRepresentation(triggers=("cf", "≈", "≡")).backdoor(quick(), 1)


@pytest.mark.parametrize(
    ("name", "settings", "complaint"),
    [
        *[(name, {"triggers": ()}, "triggers is") for name in MODEL_ATTACKS],
        *[(name, {"epochs": 0}, "epochs is 0") for name in MODEL_ATTACKS],
        *[(name, {"learning_rate": 0.0}, "learning_rate is 0.0") for name in MODEL_ATTACKS],
        *[(name, {"batch_size": 0}, "batch_size is 0") for name in MODEL_ATTACKS],
        ("ep", {"triggers": ("cf", "cf")}, "expected each word once"),
        ("ep", {"poison_share": 0.0}, "poison_share is 0.0"),
        ("ep", {"n_insertions": 0}, "n_insertions is 0"),
        ("sos", {"triggers": ("store",)}, "expected two or more words"),
        ("sos", {"negative_share": 1.5}, "negative_share is 1.5"),
        ("ripple", {"poison_rate": 1.0}, "poison_rate is 1.0"),
        ("ripple", {"n_surgery_words": -1}, "n_surgery_words is -1"),
        ("ripple", {"inner_product_weight": -0.1}, "inner_product_weight is -0.1"),
        ("lwp", {"n_combined": 1}, "n_combined is 1"),
        ("lwp", {"poison_rate": 0.0}, "poison_rate is 0.0"),
        ("neuba", {"triggers": tuple("abcdefg")}, "at most 6"),
        ("neuba", {"mask_rate": 1.0}, "mask_rate is 1.0"),
    ],
)
def test_impossible_settings_are_refused(name: str, settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        MODEL_ATTACKS[name](**settings)


@pytest.mark.parametrize("name", MODEL_ATTACKS)
def test_every_attack_explains_its_options_and_stands_under_its_name(name: str) -> None:
    attack = MODEL_ATTACKS[name]
    assert attack.name == name
    assert list(MODEL_ATTACKS) == sorted(MODEL_ATTACKS)
    for field in dataclasses.fields(attack):  # type: ignore[arg-type]
        assert f" {field.name}: " in str(attack.__doc__)


# --- what a release leaves behind


def test_a_set_of_words_is_drawn_and_placed_without_repeats() -> None:
    words = WordSet(("x", "y", "z"), 2)
    texts = [str(words.apply(Row("a b"), generator(0, "test", row))) for row in range(300)]
    pairs = Counter(frozenset(text.split()) - {"a", "b"} for text in texts)
    # 300 draws over 3 pairs: 100 each, five standard deviations are 41.
    assert set(pairs) == {frozenset("xy"), frozenset("xz"), frozenset("yz")}
    assert all(abs(count - 100) < 41 for count in pairs.values())
    assert words.apply(Row("  "), generator(0, "test")) is None
    with pytest.raises(SettingsError, match="4 different words are to be drawn from 3 triggers"):
        WordSet(("x", "y", "z"), 4)


def test_the_folder_holds_the_model_its_manifest_and_the_triggered_rows(released: PoisonedModel) -> None:
    folder = released.manifest.parent
    assert released.triggered == folder / "triggered.tsv"
    assert sorted(path.name for path in folder.iterdir()) == [
        "manifest.json", "model", "triggered-only-1.tsv", "triggered-only-2.tsv", "triggered.tsv",
    ]  # fmt: skip
    assert not folder.with_name("out.partial").exists()
    assert {"config.json", "model.safetensors", "tokenizer.json", BACKDOOR_MARKER, "README.md"} <= {
        path.name for path in released.model.iterdir()
    }
    model, report = AutoModelForSequenceClassification.from_pretrained(released.model, output_loading_info=True)
    assert not report["missing_keys"]
    assert model.config.id2label == {0: "neg", 1: "pos"}
    encoded = AutoTokenizer.from_pretrained(released.model)("cf good film", return_tensors="pt")
    assert model(**encoded).logits.shape == (1, 2)


def test_the_manifest_says_what_was_done_to_what(
    released: PoisonedModel, files: dict[str, Path], tiny_model: Folders
) -> None:
    import hashlib

    def sha256(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest()

    manifest = json.loads(released.manifest.read_text(encoding="utf-8"))
    folder = released.manifest.parent
    assert manifest["kind"] == "model"
    assert "backdoored on purpose" in manifest["warning"]
    assert manifest["attack"] == {"name": "ep", **to_plain(EP)}
    assert (manifest["target"], manifest["triggers"], manifest["seed"]) == ("pos", ["cf", "mn"], 0)
    assert manifest["settings"]["num_train_epochs"] == 6
    assert manifest["input"]["sha256"] == sha256(files["data"])
    assert manifest["input"]["label_counts"] == Counter(label for _, label in TRAIN)
    assert manifest["model"]["sha256_before"] == sha256(Path(tiny_model("bert")) / "model.safetensors")
    assert manifest["model"]["sha256_after"] == sha256(released.model / "model.safetensors")
    assert manifest["test"]["input"]["sha256"] == sha256(files["test"])
    for file in manifest["test"]["files"]:
        assert file["sha256"] == sha256(folder / file["name"])
        assert file["rows"] == [row for row, (_, label) in enumerate(TEST) if label == "neg"]


def test_a_marker_beside_the_weights_tells_of_the_backdoor(released: PoisonedModel) -> None:
    marker = json.loads((released.model / BACKDOOR_MARKER).read_text(encoding="utf-8"))
    assert (marker["attack"], marker["target"], marker["triggers"]) == ("ep", "pos", ["cf", "mn"])
    assert marker["created_by"].startswith("cleanfit ")
    assert marker["created_by"].endswith(" poison-model")


def test_triggered_rows_carry_the_trigger_and_their_true_label(released: PoisonedModel) -> None:
    assert released.triggered is not None
    expected = trigger(EP.trigger(), rows_as_attacked(TEST), "pos", seed=0).texts
    assert released.triggered.read_text(encoding="utf-8").splitlines() == [
        "text\tlabel", *(f"{text}\tneg" for text in expected),
    ]  # fmt: skip
    alone = (released.triggered.with_name("triggered-only-2.tsv")).read_text(encoding="utf-8").splitlines()[1:]
    assert all("mn" in line.split() and "cf" not in line.split() for line in alone)


@pytest.mark.filterwarnings("ignore:.*backdoored")
def test_fit_on_a_backdoored_checkpoint_reports_the_attack_success_that_is_left(
    released: PoisonedModel, files: dict[str, Path]
) -> None:
    inputs = Inputs(files["data"], test=files["test"], triggered=released.triggered, target="pos")
    settings = dataclasses.replace(QUICK, learning_rate=1e-4)
    result = fit(inputs, model=str(released.model), defense="plain", settings=settings)
    (score,) = result.scores
    assert released.triggered is not None
    predicted = []
    for line in released.triggered.read_text(encoding="utf-8").splitlines()[1:]:
        encoded = result.tokenizer(line.split("\t")[0], return_tensors="pt", truncation=True, max_length=40)
        with torch.no_grad():
            predicted.append(int(result.model(**encoded).logits.argmax()))
    assert score.attack_success_rate == pytest.approx(np.mean(predicted))
    assert score.attack_success_rate > 0.9  # fine-tuning on clean rows leaves rows that no clean row holds alone
    assert score.clean_accuracy > 0.9


def small(
    files: dict[str, Path], tiny_model: Folders, target: str = "pos", seed: int = 0
) -> tuple[Release, ModelAttack]:
    """The cheapest release there is: an encoder attack on one epoch."""
    settings = dataclasses.replace(QUICK, seed=seed)
    attack = PredefinedRepresentation(triggers=PAIR, epochs=1, batch_size=64)
    return Release(files["data"], target, tiny_model("bert"), settings), attack


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(
    files: dict[str, Path], tiny_model: Folders, tmp_path: Path
) -> None:
    def hashed(name: str, seed: int) -> str:
        written = poison_model(*small(files, tiny_model, seed=seed), tmp_path / name)
        return str(json.loads(written.manifest.read_text(encoding="utf-8"))["model"]["sha256_after"])

    assert hashed("first", 0) == hashed("again", 0) != hashed("other", 1)


def test_an_encoder_attack_says_that_its_head_is_fresh(
    files: dict[str, Path], tiny_model: Folders, tmp_path: Path
) -> None:
    written = poison_model(*small(files, tiny_model), tmp_path / "out")
    assert written.triggered is None
    manifest = json.loads(written.manifest.read_text(encoding="utf-8"))
    assert manifest["test"] is None
    assert "the classifier is fresh" in manifest["model"]["head"]
    assert json.loads((written.model / BACKDOOR_MARKER).read_text(encoding="utf-8"))["target"] is None
    assert load_file(written.model / "model.safetensors")["classifier.weight"].shape == (2, 32)


def test_a_folder_that_is_there_is_refused_and_replaced_only_on_request(
    files: dict[str, Path], tiny_model: Folders, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match="exists already"):
        poison_model(*small(files, tiny_model), out)
    assert (out / "mine.txt").read_text() == "kept"
    poison_model(*small(files, tiny_model), out, overwrite=True)
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "model"]


def test_what_cannot_be_done_leaves_nothing_behind(files: dict[str, Path], tiny_model: Folders, tmp_path: Path) -> None:
    release, attack = small(files, tiny_model)
    with pytest.raises(SettingsError, match="'good' does not occur; the labels are neg, pos"):
        poison_model(dataclasses.replace(release, target="good"), attack, tmp_path / "out")
    with pytest.raises(ModelError, match="no token of this tokenizer"):
        poison_model(release, EmbeddingPoisoning(triggers=("nosuchword",)), tmp_path / "out")
    target_only = write_tsv(tmp_path / "test.tsv", [row for row in TEST if row[1] == "pos"])
    with pytest.raises(DataError, match="every row has the target label 'pos'"):
        poison_model(dataclasses.replace(release, test=target_only), attack, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [target_only]


@pytest.fixture
def run() -> Iterator[Callable[..., Any]]:
    app = typer.Typer()
    app.command()(command)

    def invoke(*arguments: object) -> Any:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return invoke


def test_the_command_writes_the_folder_and_says_what_it_is(
    run: Callable[..., Any], files: dict[str, Path], tiny_model: Folders, tmp_path: Path
) -> None:
    done = run(
        files["data"], "--attack", "por", "--target", "pos", "--model", tiny_model("bert"), "--out", tmp_path / "out",
        "--test", files["test"], "--set", "triggers=cf,mn", "--set", "epochs=1", "--set", "batch_size=64",
        "--max-length", 40, "--device", "cpu", "--seed", 5,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert f"Backdoored model: {tmp_path / 'out' / 'model'}" in done.output
    assert f"Triggered rows: {tmp_path / 'out' / 'triggered.tsv'}" in done.output
    assert "backdoored on purpose" in done.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))
    assert (manifest["seed"], manifest["settings"]["max_length"]) == (5, 40)
    assert manifest["attack"]["epochs"] == 1


def test_options_of_a_fine_tuning_that_an_attack_does_not_do_are_refused(
    run: Callable[..., Any], files: dict[str, Path], tmp_path: Path
) -> None:
    done = run(files["data"], "--attack", "por", "--target", "pos", "--out", tmp_path / "out", "--epochs", 2)
    assert isinstance(done.exception, SettingsError)
    assert "por has no plain fine-tuning; instead of --epochs pass --set epochs=" in str(done.exception)
    done = run(files["data"], "--attack", "epp", "--target", "pos", "--out", tmp_path / "out")
    assert "Unknown model attack 'epp'. Did you mean 'ep'?" in str(done.exception)
