"""Capacity levers: how much they leave free, that only this moves, and that the merged model says the same."""

import copy
import functools
import math
import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    PreTrainedModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    ViTConfig,
    ViTForImageClassification,
)

from cleanfit.capacity import AdaptedClassifier, Capacity, ParameterCounts, Restricted, load_finished, restrict
from cleanfit.capacity.base import GENERATED
from cleanfit.capacity.generators import PrefixGenerator, Subspace, VectorGenerator
from cleanfit.capacity.layout import head_names
from cleanfit.errors import ModelError, SettingsError
from cleanfit.evaluate import evaluate
from cleanfit.models import find_model, load_tokenizer, trained_rows
from cleanfit.models import load_finished as load_ordinary
from cleanfit.settings import TrainingSettings, configure
from conftest import FAMILIES, make_task, sentences, write_tsv

Folders = Callable[[str], str]
SETTINGS = TrainingSettings(
    learning_rate=1e-2, num_train_epochs=1, per_device_train_batch_size=16, max_length=32, precision="fp32"
)
ROWS = sentences(48)
ALL = [(method, generator) for generator, methods in GENERATED.items() for method in methods]
MERGEABLE = [pair for pair in [*ALL[:10], ("lora", "tanh_net")] if pair[0] not in ("adapter", "prefix")]


def small(method: str, generator: str = "none") -> Capacity:
    """A capacity for tiny models."""
    return Capacity(method, 16 if method == "vera" else None, generator, subspace_dim=16)  # type: ignore[arg-type]


@functools.cache
def _loaded(folder: str) -> PreTrainedModel:
    source = find_model(folder, ("neg", "pos"))
    return source.load(load_tokenizer(source), seed=0)


def fresh(folder: str) -> PreTrainedModel:
    return copy.deepcopy(_loaded(folder))


def batch() -> dict[str, Tensor]:
    ids = torch.randint(5, 60, (3, 9), generator=torch.Generator().manual_seed(1))
    return {"input_ids": ids, "attention_mask": torch.tensor([[1] * 9, [1] * 7 + [0] * 2, [1] * 9])}


def step(restricted: Restricted, n_steps: int = 3) -> None:
    """Move everything that can move, so that nothing is equal by its start."""
    moving = [parameter for parameter in restricted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=1e-2)
    restricted.train(False)  # no dropout
    for _ in range(n_steps):  # two are needed where one factor starts at zero
        optimizer.zero_grad()
        restricted(**batch(), labels=torch.tensor([0, 1, 0])).loss.backward()
        optimizer.step()


def logits(model: torch.nn.Module) -> Tensor:
    model.train(False)
    with torch.no_grad():
        return model(**batch()).logits


def states() -> tuple[object, ...]:
    return random.getstate(), pickle.dumps(np.random.get_state()), tuple(torch.get_rng_state().tolist())


# Counts at the size of roberta-base; the numbers are those published with the method.


def roberta_base() -> PreTrainedModel:
    with torch.device("meta"):  # the shapes without the 500 MB
        return RobertaForSequenceClassification(RobertaConfig(vocab_size=50265, max_position_embeddings=514))


@pytest.mark.parametrize(("method", "n_weights"), [("lora", 294_912), ("adapter", 903_744), ("prefix", 442_368)])
def test_counts_of_roberta_base_are_the_published_ones(method: str, n_weights: int) -> None:
    counts = restrict(roberta_base(), Capacity(method), 0).counts  # type: ignore[arg-type]
    total = n_weights + 592_130
    assert counts == ParameterCounts(trainable=total, head=592_130, stored=total, effective=total)


@pytest.mark.parametrize(
    ("method", "n_weights", "n_trainable"),
    [("lora", 294_912, 1_774_096), ("adapter", 903_744, 2_991_754), ("prefix", 442_368, 1_254_406)],
)
def test_counts_of_the_published_networks_are_the_published_ones(method: str, n_weights: int, n_trainable: int) -> None:
    counts = restrict(roberta_base(), Capacity(method, generator="tanh_net"), 0).counts  # type: ignore[arg-type]
    # A prefix of rank 2 around one row: 2 (23 + 18432 - 2) + 18432 dimensions. The other networks reach everything.
    free = 55_338 + 592_130 if method == "prefix" else n_weights + 592_130
    assert counts == ParameterCounts(n_trainable, head=592_130, stored=n_weights + 592_130, effective=free)


def test_the_head_is_counted_by_what_becomes_of_it(tiny_model: Folders) -> None:
    def counts(train_head: str, generator: str = "none") -> ParameterCounts:
        capacity = Capacity("lora", generator=generator, train_head=train_head, subspace_dim=16)  # type: ignore[arg-type]
        return restrict(fresh(tiny_model("bert")), capacity, 0).counts

    # Two layers, query and value, A and B of rank 8 at H = 32: 2048; the head 32 x 2 + 2.
    assert counts("dense") == ParameterCounts(2114, 66, 2114, 2114)
    assert counts("frozen") == ParameterCounts(2048, 0, 2048, 2048)
    assert counts("generated", "subspace") == ParameterCounts(16, 66, 2114, 16)
    assert counts("dense", "subspace") == ParameterCounts(16 + 66, 66, 2114, 16 + 66)
    assert counts("frozen", "subspace") == ParameterCounts(16, 0, 2048, 16)


def test_the_default_capacity_lets_everything_move(tiny_model: Folders) -> None:
    model = fresh(tiny_model("bert"))
    total = sum(parameter.numel() for parameter in model.parameters())
    assert restrict(model, Capacity(), 0).counts == ParameterCounts(total, 66, total, total)


def test_tiny_lora_cannot_use_more_numbers_than_its_core_has(tiny_model: Folders) -> None:
    counts = restrict(fresh(tiny_model("bert")), Capacity("tinylora", 10), 0).counts
    assert counts == ParameterCounts(trainable=40 + 66, head=66, stored=40 + 66, effective=16 + 66)


def test_the_reach_of_a_prefix_network_is_the_rank_of_its_derivative() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shapes = {f"{i}": torch.Size((5, 3)) for i in range(4)}
        net = PrefixGenerator(shapes, mid_dim=2)
    names = [name for name, _ in net.named_parameters()]

    def made(*values: Tensor) -> Tensor:
        parts = torch.func.functional_call(net, dict(zip(names, values)), ())
        return torch.cat([part.flatten() for part in parts.values()]).double()

    jacobian = torch.func.jacrev(made, argnums=tuple(range(len(names))))(*[p.detach() for p in net.parameters()])
    matrix = torch.cat([part.flatten(1) for part in jacobian], dim=1)
    assert int(torch.linalg.matrix_rank(matrix, rtol=1e-5)) == net.effective == 2 * (5 - 1 + 12 - 2) + 12


# What moves, and how it starts.


@pytest.mark.parametrize(
    ("family", "method", "generator"),
    [(family, *pair) for family in FAMILIES for pair in ALL if family == "bert" or pair[1] == "none"],
)
def test_gradients_reach_all_that_shall_move_and_the_merged_model_is_equal(
    family: str, method: str, generator: str, tiny_model: Folders
) -> None:
    model = fresh(tiny_model(family))
    if (method, family) == ("prefix", "deberta-v2"):
        with pytest.raises(SettingsError, match=r"Method 'prefix' cannot be used with family 'deberta-v2'.*lora"):
            restrict(model, small(method, generator), 0)
        return
    before = copy.deepcopy(model)
    state = states()
    restricted = restrict(model, small(method, generator), 0)
    assert states() == state
    assert sum(p.numel() for p in restricted.parameters() if p.requires_grad) == restricted.counts.trainable
    step(restricted)
    still = [n for n, p in restricted.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.any())]
    assert still == []
    said, merged = logits(restricted), restricted.merged()
    assert (said - logits(before)).abs().max() > 1e-4
    torch.testing.assert_close(logits(merged), said, atol=1e-5, rtol=0)
    torch.testing.assert_close(logits(restricted), said, atol=0, rtol=0)  # merging changes nothing
    assert all(parameter.requires_grad for parameter in merged.parameters())
    assert type(merged) is (AdaptedClassifier if method in ("adapter", "prefix") else type(before))
    assert merged.config.id2label == {0: "neg", 1: "pos"}


@pytest.mark.parametrize(("method", "generator"), MERGEABLE)
def test_a_merged_model_is_opened_by_plain_transformers(
    method: str, generator: str, tiny_model: Folders, tmp_path: Path
) -> None:
    restricted = restrict(fresh(tiny_model("roberta")), small(method, generator), 0)
    step(restricted)
    restricted.merged().save_pretrained(tmp_path)
    opened, report = AutoModelForSequenceClassification.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    torch.testing.assert_close(logits(opened), logits(restricted), atol=1e-5, rtol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["adapter", "prefix"])
def test_what_is_no_ordinary_weight_is_saved_for_us_and_refused_by_others(
    method: str, family: str, tiny_model: Folders, tmp_path: Path
) -> None:
    if (method, family) == ("prefix", "deberta-v2"):
        return
    folder = tiny_model(family)
    tokenizer = load_tokenizer(find_model(folder, ()))
    restricted = restrict(fresh(folder), Capacity(method, 3), 0)  # type: ignore[arg-type]
    step(restricted)
    restricted.merged().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    source = find_model(str(tmp_path), ())
    with pytest.raises(ValueError, match="cleanfit_adapted"):
        AutoModelForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cleanfit_adapted"):
        load_ordinary(source, tokenizer)
    state = states()
    opened, names = load_finished(source, load_tokenizer(source))
    assert states() == state
    assert names == ("neg", "pos")
    torch.testing.assert_close(logits(opened), logits(restricted), atol=1e-6, rtol=0)


def test_a_folder_that_lacks_weights_is_not_opened(tiny_model: Folders, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    restrict(fresh(tiny_model("bert")), Capacity("adapter"), 0).merged().save_pretrained(tmp_path)
    tokenizer = load_tokenizer(find_model(tiny_model("bert"), ()))
    kept = {name: v for name, v in load_file(tmp_path / "model.safetensors").items() if "output.adapter.up" not in name}
    save_file(kept, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(
        ModelError, match=r"is incomplete: it lacks inner.bert.encoder.layer.0.attention.output.adapter.up"
    ):
        load_finished(find_model(str(tmp_path), ()), tokenizer)


def test_evaluate_scores_a_saved_model_with_its_adapters(tiny_model: Folders, tmp_path: Path) -> None:
    task = make_task(tiny_model("bert"), ROWS, SETTINGS)
    restricted = restrict(task.load_model(), Capacity("adapter"), 0)
    draw = torch.Generator().manual_seed(0)
    for name, parameter in restricted.model.named_parameters():
        if "adapter" in name:
            parameter.data.normal_(generator=draw)
    merged = restricted.merged()
    odds = np.log(task.predict(merged, task.rows)) @ np.array([-1.0, 1.0])
    merged.get_parameter("inner.classifier.bias").data[1] -= float(np.median(odds))  # half of the rows on either side
    merged.save_pretrained(tmp_path / "model")
    task.tokenizer.save_pretrained(tmp_path / "model")
    said = ["pos" if p > 0.5 else "neg" for p in task.predict(merged, task.rows)[:, 1]]
    assert set(said) == {"neg", "pos"}
    data = write_tsv(tmp_path / "test.tsv", [(text, label) for (text, _), label in zip(ROWS, said)])
    assert evaluate(str(tmp_path / "model"), data, settings=SETTINGS).clean_accuracy == 1.0
    for module in merged.modules():
        if hasattr(module, "adapter"):
            module._forward_hooks.clear()
    assert ["pos" if p > 0.5 else "neg" for p in task.predict(merged, task.rows)[:, 1]] != said


@pytest.mark.parametrize(("method", "generator"), [*ALL[:10], ("lora", "tanh_net"), ("bitfit", "subspace")])
def test_only_what_should_move_moves_in_training(
    method: str, generator: str, tiny_model: Folders, tmp_path: Path
) -> None:
    task = make_task(tiny_model("bert"), ROWS, SETTINGS, work=tmp_path)
    pretrained = dict(task.load_model().named_parameters())
    restricted = restrict(task.load_model(), small(method, generator), 0)
    task.train("trained", restricted)
    merged = restricted.merged()
    after = dict((merged.inner if isinstance(merged, AdaptedClassifier) else merged).named_parameters())
    moved = {name for name, value in pretrained.items() if not torch.equal(value, after[name])}
    scaled = ("attention.self.key", "attention.self.value", "output.dense")
    expected = {
        "full": set(pretrained),
        "head": set(),
        "bitfit": {name for name in pretrained if name.endswith("bias")},
        "lora": {name for name in pretrained if ".query.w" in name or ".value.w" in name},
        # Biases are scaled too; here they are 0.
        "ia3": {f"bert.encoder.layer.{i}.{part}.weight" for i in (0, 1) for part in scaled},
        "ln_tuning": {name for name in pretrained if "LayerNorm" in name},
    }
    expected["vera"] = expected["tinylora"] = expected["lora"]
    inside = expected.get(method, set())
    never = {"bert.embeddings.word_embeddings.weight", "bert.embeddings.token_type_embeddings.weight"}
    assert moved - never == (inside | {"classifier.weight", "classifier.bias"}) - never

    again = restrict(task.load_model(), small(method, generator), 0)  # as a run that goes on after an interruption
    task.train("trained", again)
    assert torch.equal(logits(again), logits(restricted))
    assert (tmp_path / "trained" / "trained.safetensors").stat().st_size < 8 * restricted.counts.trainable + 10_000


@pytest.mark.parametrize(("method", "generator"), ALL)
def test_a_seed_decides_everything(method: str, generator: str, tiny_model: Folders) -> None:
    def trained(seed: int) -> Tensor:
        restricted = restrict(fresh(tiny_model("bert")), small(method, generator), seed)
        step(restricted)
        return logits(restricted)

    assert torch.equal(trained(3), trained(3))
    is_drawn = generator != "none" or method in ("lora", "adapter", "prefix", "vera", "tinylora")
    assert torch.equal(trained(3), trained(4)) != is_drawn


@pytest.mark.parametrize(
    ("method", "generator"),
    [pair for pair in ALL if pair[1] == "subspace" and pair[0] not in ("adapter", "prefix")]
    + [(method, "none") for method in ("full", "head", "bitfit", "lora", "vera", "tinylora", "ia3", "ln_tuning")],
)
def test_the_pretrained_function_is_where_it_starts(method: str, generator: str, tiny_model: Folders) -> None:
    expected = logits(fresh(tiny_model("bert")))
    started = logits(restrict(fresh(tiny_model("bert")), small(method, generator), 0))
    torch.testing.assert_close(started, expected, atol=1e-6, rtol=0)


def test_adapters_start_close_to_the_pretrained_function_and_prefixes_do_not(tiny_model: Folders) -> None:
    expected = logits(fresh(tiny_model("bert")))
    adapter, prefix = (logits(restrict(fresh(tiny_model("bert")), small(name), 0)) for name in ("adapter", "prefix"))
    assert 0 < (adapter - expected).abs().max() < 1e-2
    assert (prefix - expected).abs().max() > 1e-4  # near-zero keys take their share of every attention


def test_the_lora_network_starts_as_the_backbone_with_a_generated_head(tiny_model: Folders) -> None:
    model = fresh(tiny_model("roberta"))
    backbone = copy.deepcopy(model)
    restricted = restrict(model, Capacity("lora", generator="tanh_net"), 0)
    merged = restricted.merged()
    for name, value in backbone.named_parameters():
        if name not in head_names(backbone):
            assert torch.equal(merged.get_parameter(name), value), name
    first = next(iter(restricted.generators))
    theta = first.outer @ torch.tanh(first.inner @ first.code)
    head = torch.cat([merged.get_parameter(name).flatten() for name in head_names(backbone)])
    assert torch.equal(head, theta[: len(head)])  # the head comes first


def test_at_the_first_step_only_the_code_of_the_second_lora_network_moves(tiny_model: Folders) -> None:
    restricted = restrict(fresh(tiny_model("bert")), Capacity("lora", generator="tanh_net"), 0)
    restricted(**batch(), labels=torch.tensor([0, 1, 0])).loss.backward()
    first, second = restricted.generators
    assert second.code.grad.any()  # type: ignore[union-attr]
    assert not second.inner.grad.any()  # type: ignore[union-attr]
    assert not second.outer.grad.any()  # type: ignore[union-attr]
    assert all(parameter.grad.any() for parameter in first.parameters())  # type: ignore[union-attr]


def test_a_prefix_is_what_attention_over_longer_keys_gives(tiny_model: Folders) -> None:
    from cleanfit.capacity.prefixes import Prefix, attend_with_prefix

    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 2, 3, 4, generator=draw) for _ in range(3))
    module = torch.nn.Module()
    with torch.random.fork_rng():
        module.prefix = Prefix(5, 8)
    mask = torch.zeros(2, 1, 3, 3)
    mask[1, ..., 2] = torch.finfo(torch.float32).min
    got, _ = attend_with_prefix(module, query, key, value, mask, scaling=0.5)
    for text in range(2):
        for head in range(2):
            part = slice(4 * head, 4 * head + 4)
            keys = torch.cat((module.prefix.key[:, part], key[text, head]))
            values = torch.cat((module.prefix.value[:, part], value[text, head]))
            scores = 0.5 * query[text, head] @ keys.T
            if text == 1:
                scores[:, 7] = -math.inf
            torch.testing.assert_close(got[text, :, head], scores.softmax(dim=1) @ values)


def test_a_decoder_with_a_prefix_still_cannot_look_ahead(tiny_model: Folders) -> None:
    model = fresh(tiny_model("gpt2"))
    restrict(model, Capacity("prefix"), 0)
    inputs = batch()["input_ids"]
    other = inputs.clone()
    other[:, -1] += 1
    with torch.no_grad():
        states_of = [model.base_model(part).last_hidden_state for part in (inputs, other)]
    assert torch.equal(states_of[0][:, :-1], states_of[1][:, :-1])
    assert not torch.equal(states_of[0][:, -1], states_of[1][:, -1])


def test_padding_does_not_matter_with_a_prefix(tiny_model: Folders) -> None:
    restricted = restrict(fresh(tiny_model("bert")), Capacity("prefix"), 0)
    whole = logits(restricted)[1]
    with torch.no_grad():
        alone = restricted(batch()["input_ids"][1:2, :7]).logits[0]
    torch.testing.assert_close(alone, whole, atol=1e-6, rtol=0)


def test_adapters_stand_after_both_blocks_and_add_their_bottleneck(tiny_model: Folders) -> None:
    model = fresh(tiny_model("bert"))
    restrict(model, Capacity("adapter", 3), 0)
    sites = [name.removesuffix(".adapter") for name, _ in model.named_modules() if name.endswith(".adapter")]
    assert sites == [f"bert.encoder.layer.{i}.{part}" for i in (0, 1) for part in ("attention.output", "output")]
    adapter = model.get_submodule(f"{sites[0]}.adapter")
    assert adapter.down.weight.std().item() == pytest.approx(0.01, rel=0.3)
    hidden = torch.randn(2, 32, generator=torch.Generator().manual_seed(0))
    inner = hidden @ adapter.down.weight.T
    activated = 0.5 * inner * (1 + torch.tanh(math.sqrt(2 / math.pi) * (inner + 0.044715 * inner**3)))
    torch.testing.assert_close(adapter(hidden), hidden + activated @ adapter.up.weight.T)


@pytest.mark.parametrize(("method", "generator"), [("lora", "tanh_net"), ("bitfit", "subspace"), ("vera", "none")])
def test_a_checkpoint_holds_what_moves_and_lacks_nothing_when_it_is_loaded(
    method: str, generator: str, tiny_model: Folders
) -> None:
    moved, again = (restrict(fresh(tiny_model("bert")), small(method, generator), 0) for _ in range(2))
    step(moved)
    state = moved.state_dict()
    assert sum(value.numel() for value in state.values()) == moved.counts.trainable
    assert not torch.equal(logits(again), logits(moved))
    result = again.load_state_dict(state)
    assert not result.missing_keys
    assert not result.unexpected_keys
    assert torch.equal(logits(again), logits(moved))


# Generators.


def test_a_rescaled_network_starts_at_the_scale_of_no_network(tiny_model: Folders) -> None:
    def made(method: str) -> tuple[Tensor, Tensor]:
        capacity = Capacity(method, generator="tanh_net", rescale=True)  # type: ignore[arg-type]
        restricted = restrict(fresh(tiny_model("roberta")), capacity, 0)
        values = {name: value for generator in restricted.generators for name, value in generator().items()}
        head = [value.flatten() for name, value in values.items() if name.startswith("classifier")]
        inside = [v.flatten() for n, v in values.items() if not n.startswith("classifier") and "lora_B" not in n]
        assert len(head) == 4
        return torch.cat(head), torch.cat(inside)

    scales = {"lora": 1 / math.sqrt(3 * 32), "adapter": 0.01, "prefix": 0.02}
    for method, scale in scales.items():
        head, inside = made(method)
        assert head.std().item() == pytest.approx(0.02, rel=1e-3), method
        assert inside.std().item() == pytest.approx(scale, rel=2e-2), method


def test_the_published_networks_start_where_the_paper_s_do() -> None:
    shapes = {"weights": torch.Size((200_000,))}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tiny = VectorGenerator(shapes, 2, 2, "tiny")
        uniform = VectorGenerator(shapes, 2, 2, "uniform")
        zero = VectorGenerator(shapes, 2, 2, "zero")
    assert tiny.outer.std().item() == pytest.approx(0.01, rel=0.02)
    assert uniform.outer.abs().max().item() == pytest.approx(1 / math.sqrt(2), rel=1e-3)  # kaiming, fan in 2
    assert 0 < uniform.code.min() <= uniform.code.max() < 1
    assert not zero()["weights"].any()
    assert tiny()["weights"].std() < 1e-5 < 0.01 < uniform()["weights"].std()


def test_a_subspace_has_orthogonal_columns_of_one_length_and_depends_on_the_seed_alone() -> None:
    shapes = {"a": torch.Size((5, 4)), "b": torch.Size((12,))}
    space = Subspace(shapes, dim=8, seed=1)

    def added(z: Tensor) -> Tensor:
        with torch.no_grad():
            space.z.copy_(z)
            return torch.cat([part.flatten() for part in space().values()])

    projection = torch.stack([added(unit) for unit in torch.eye(8)], dim=1)  # (D, dim)
    assert torch.equal(projection.T @ projection, 4 * torch.eye(8))  # 32 weights: four for each number of z
    assert set(projection.unique().tolist()) == {-1.0, 0.0, 1.0}
    z = torch.arange(8.0)
    assert torch.equal(added(z), projection @ z)
    assert torch.equal(Subspace(shapes, 8, 1).place, space.place)
    assert not torch.equal(Subspace(shapes, 8, 2).place, space.place)
    assert "place" not in space.state_dict()


# Other users of the models.


def test_tokens_can_be_unlearned_in_a_merged_model(tiny_model: Folders) -> None:
    for method in ("lora", "adapter", "prefix"):
        merged = restrict(fresh(tiny_model("bert")), small(method), 0).merged()
        before = logits(merged)
        with torch.no_grad():
            trained_rows(merged)[batch()["input_ids"].unique()] = 0.0
        assert (logits(merged) - before).abs().max() > 1e-4


@pytest.mark.parametrize("method", ["full", "head", "bitfit", "lora", "adapter", "prefix"])
def test_images_are_restricted_like_texts(method: str, tmp_path: Path) -> None:
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=8, patch_size=4
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ViTForImageClassification(config)
        pixels = torch.randn(2, 3, 8, 8)
    restricted = restrict(model, small(method), 0)
    restricted(pixel_values=pixels, labels=torch.tensor([0, 1])).loss.backward()
    assert all(p.grad is not None for p in restricted.parameters() if p.requires_grad)
    restricted.train(False)
    merged = restricted.merged()
    with torch.no_grad():
        torch.testing.assert_close(merged(pixel_values=pixels).logits, restricted(pixel_values=pixels).logits)
    merged.save_pretrained(tmp_path)
    opened = type(merged).from_pretrained(tmp_path)
    with torch.no_grad():
        torch.testing.assert_close(opened(pixel_values=pixels).logits, restricted(pixel_values=pixels).logits)


# Settings.


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lorra"}, "method is 'lorra'; expected one of full, head"),
        ({"method": "lora", "size": 0}, "size is 0; expected at least 1"),
        ({"method": "full", "size": 8}, "size is 8; expected None: 'full' has no size"),
        (
            {"method": "vera", "generator": "subspace"},
            "method is 'vera'; expected one of full, .* generator 'subspace'",
        ),
        ({"method": "full", "generator": "tanh_net"}, "method is 'full'; expected one of lora, adapter, prefix"),
        ({"method": "lora", "rescale": True}, "rescale is True; expected false without generator"),
        (
            {"method": "lora", "train_head": "generated"},
            "train_head is 'generated'; expected another value without a gen",
        ),
        (
            {"method": "head", "train_head": "frozen"},
            "train_head is 'frozen'; expected another value for method 'head'",
        ),
        ({"method": "head", "train_head": "dense", "generator": "subspace"}, "train_head is 'dense'"),
        ({"mid_dim": 0}, "mid_dim is 0"),
        ({"in_dim": 0}, "in_dim is 0"),
        ({"subspace_dim": 0}, "subspace_dim is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Capacity(**options)  # type: ignore[arg-type]


def test_settings_come_from_text() -> None:
    got = configure(Capacity(), {"method": "lora", "size": "4", "generator": "tanh_net", "rescale": "true"})
    assert got == Capacity("lora", 4, "tanh_net", rescale=True)
    assert (got.head, Capacity("lora").head) == ("generated", "dense")
    assert configure(got, {"size": "none"}).units == 8


def test_a_subspace_longer_than_its_weights_is_refused(tiny_model: Folders) -> None:
    with pytest.raises(SettingsError, match="subspace_dim is 67, but only 66 weights move"):
        restrict(fresh(tiny_model("bert")), Capacity("head", generator="subspace", subspace_dim=67), 0)


def test_a_model_of_unknown_layout_is_refused_by_name_and_told_what_works() -> None:
    config = BertConfig(vocab_size=9, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8)
    with torch.random.fork_rng():
        model = BertForSequenceClassification(config)
    model.bert.encoder.layer[0].attention.self.key = None  # type: ignore[assignment]
    with pytest.raises(SettingsError, match=r"'lora' does not know .* 'bert' layer are. Choose full, head"):
        restrict(model, Capacity("lora"), 0)
