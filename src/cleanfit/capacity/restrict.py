"""Restrict a classifier to what a capacity lets move, train it like any other, and merge it back."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from transformers import PreTrainedConfig, PreTrainedModel

from cleanfit.capacity.adapted import AdaptedClassifier, Inputs
from cleanfit.capacity.adapters import ADAPTER_STD, attach_adapters
from cleanfit.capacity.base import Capacity, ParameterCounts
from cleanfit.capacity.generators import PREFIX_TABLE, PrefixGenerator, Shapes, Subspace, VectorGenerator
from cleanfit.capacity.layout import head_names, norm_names
from cleanfit.capacity.peft_methods import TINYLORA_RANK, attach_peft, merge_peft
from cleanfit.capacity.prefixes import PREFIX_STD, attach_prefixes
from cleanfit.seeding import kept_rng, seed_torch

HEAD_STD = 0.02


class Restricted(nn.Module):
    """A classifier of which only the intended parameters require gradients; made by `restrict`.

    Its state dict holds these parameters only: everything else comes from the pretrained model and the seed, so a
    checkpoint is as small as what moves; loading one leaves everything else as it is.

    Args:
        model: the classifier with everything inserted, frozen but for what moves by itself.
        generators: make the rest; what they make is added to the parameters of the same names.
        capacity: what was asked for.
        counts: how much is free.
    """

    def __init__(
        self, model: PreTrainedModel, generators: nn.ModuleList, capacity: Capacity, counts: ParameterCounts
    ) -> None:
        super().__init__()
        self.model, self.generators = model, generators
        self.capacity, self.counts = capacity, counts
        self.all_names = frozenset(self.state_dict())
        self.register_load_state_dict_pre_hook(_add_what_stays)  # type: ignore[no-untyped-call]
        self.register_state_dict_post_hook(_keep_what_moves)  # type: ignore[no-untyped-call]

    @property
    def config(self) -> PreTrainedConfig:
        """The classifier's config, which `Trainer` looks into."""
        config: PreTrainedConfig = self.model.config
        return config

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
    ) -> Any:
        """Classify B texts or images as the classifier itself does: (B, C) logits and, with labels, a loss."""
        inputs = Inputs(input_ids, attention_mask, token_type_ids, pixel_values, labels).accepted_by(self.model)
        return functional_call(self.model, self._generated(), (), inputs) if self.generators else self.model(**inputs)

    def _generated(self) -> dict[str, Tensor]:
        """Make the generated parameters of the classifier: name -> tensor."""
        start = dict(self.model.named_parameters())
        with torch.autocast(
            self.model.device.type, enabled=False
        ):  # weights are made in full precision, as in `merged`
            made = [pair for generator in self.generators for pair in generator().items()]
        return {name: start[name] + value for name, value in made}

    @torch.no_grad()
    def merged(self) -> PreTrainedModel:
        """Give an ordinary transformers model with the same logits; this one stays as it is.

        Returns:
            A new model in evaluation mode, all its parameters free to move. Adapters and prefixes are no ordinary
            weights: for them it is an `AdaptedClassifier`, which `cleanfit.capacity.load_finished` opens again.
        """
        model = copy.deepcopy(self.model)
        for name, value in self._generated().items():
            model.get_parameter(name).copy_(value)
        merge_peft(model)
        if self.capacity.method in ("adapter", "prefix"):
            model = AdaptedClassifier.of(model, self.capacity)
        model.requires_grad_(True)
        model.train(False)
        return model


def restrict(model: PreTrainedModel, capacity: Capacity, seed: int) -> Restricted:
    """Let only a part of a classifier's parameters move.

    Args:
        model: a fresh pretrained classifier of texts or images; it is used up.
        capacity: the lever.
        seed: decides all that is drawn; global random states stay as they are.

    Returns:
        A module to be trained and merged. The head is what the pretrained model did not bring along: for BERT the
        classifier alone, since its pooler is pretrained; for RoBERTa dense and output layer.

    Raises:
        SettingsError: the method cannot be used with the model's family, or z is longer than what it shall make.

    Source: Moderate-fitting, NeurIPS 2022: lora, adapter and prefix, each with ``tanh_net``. Its parameter lists are
    replaced at every step; here the model is called with other parameters, which gives the same values.
    """
    head = head_names(model)
    with kept_rng(), model.device:
        seed_torch(seed, "capacity")
        lever = _attach(model, capacity, seed)
        model.requires_grad_(False)
        is_generated = capacity.generator != "none"
        direct = ([] if is_generated else lever) + (head if capacity.head == "dense" else [])
        for name in direct:
            model.get_parameter(name).requires_grad_(True)
        shapes = {name: model.get_parameter(name).shape for name in (*head, *lever)}
        made_head = {name: shapes[name] for name in head if capacity.head == "generated"}
        made_lever = {name: shapes[name] for name in lever}
        generators = nn.ModuleList()
        if capacity.generator == "tanh_net":
            generators = _tanh_nets(made_head, made_lever, capacity)
            for name in (*made_head, *made_lever):
                nn.init.zeros_(model.get_parameter(name))  # what is made is added, so it starts from nothing
        elif is_generated:
            generators.append(Subspace({**made_head, **made_lever}, capacity.subspace_dim, seed))
    counts = _count(model, generators, capacity, shapes, head)
    return Restricted(model, generators, capacity, counts)


def _attach(model: PreTrainedModel, capacity: Capacity, seed: int) -> list[str]:
    """Insert what the method needs, and name what shall move beside the head, in module order."""
    head = set(head_names(model))
    inside = [name for name, _ in model.named_parameters() if name not in head]
    if capacity.method == "full":
        return inside
    if capacity.method == "head":
        return []
    if capacity.method == "bitfit":
        return [name for name in inside if name.endswith("bias")]
    if capacity.method == "ln_tuning":
        return [name for name in norm_names(model) if name not in head]
    if capacity.method == "adapter":
        return attach_adapters(model, capacity.units)
    if capacity.method == "prefix":
        return attach_prefixes(model, capacity.units)
    return attach_peft(model, capacity, seed)


def _tanh_nets(head: Shapes, lever: Shapes, capacity: Capacity) -> nn.ModuleList:
    """Build the published networks: the head is made first, together with the lever except for prefixes.

    LoRA's matrices A and B have a network each, so that B starts at zero while A does not.
    """
    mid, nets = capacity.mid_dim, nn.ModuleList()
    if capacity.method == "prefix":
        nets.append(PrefixGenerator(lever, mid))
        if head:
            nets.append(VectorGenerator(head, PREFIX_TABLE, mid, "uniform"))
    elif capacity.method == "adapter":
        nets.append(VectorGenerator({**head, **lever}, capacity.in_dim, mid, "tiny"))
    else:
        first = {name: shape for name, shape in lever.items() if "lora_A" in name}
        second = {name: shape for name, shape in lever.items() if name not in first}
        nets.append(VectorGenerator({**head, **first}, capacity.in_dim, mid, "uniform"))
        nets.append(VectorGenerator(second, capacity.in_dim, mid, "zero"))
    if capacity.rescale:
        _rescale(nets, head, lever, capacity)
    return nets


def _rescale(nets: nn.ModuleList, head: Shapes, lever: Shapes, capacity: Capacity) -> None:
    """Start everything that the networks make at the scale it has without them."""
    if head:
        maker: Any = nets[-1] if capacity.method == "prefix" else nets[0]
        maker.rescale(list(head), HEAD_STD)
    first: Any = nets[0]
    if capacity.method == "prefix":
        first.rescale(PREFIX_STD)
    elif capacity.method == "adapter":
        first.rescale(list(lever), ADAPTER_STD)
    else:
        for name, shape in lever.items():
            if "lora_A" in name:
                first.rescale([name], 1 / math.sqrt(3 * shape[1]))


def _count(
    model: PreTrainedModel, generators: nn.ModuleList, capacity: Capacity, shapes: Shapes, head: list[str]
) -> ParameterCounts:
    n_head = 0 if capacity.head == "frozen" else sum(shapes[name].numel() for name in head)
    stored = sum(shape.numel() for name, shape in shapes.items() if name not in head) + n_head
    direct = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    trainable = direct + sum(parameter.numel() for parameter in generators.parameters())
    made: Any = generators
    effective = direct + sum(generator.effective for generator in made)
    if capacity.method == "tinylora":  # v is spread over a core of rank x rank
        n_places = (stored - n_head) // capacity.units
        effective -= n_places * max(0, capacity.units - TINYLORA_RANK**2)
    return ParameterCounts(trainable, n_head, stored, effective)


def _keep_what_moves(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    moving = {prefix + name for name, parameter in module.named_parameters() if parameter.requires_grad}
    for name in state.keys() - moving:
        del state[name]


def _add_what_stays(module: Any, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Complete what `_keep_what_moves` left over, so that a checkpoint lacks nothing when `Trainer` loads it."""
    own = {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }
    for name in module.all_names - {name.removeprefix(prefix) for name in state}:
        state[prefix + name] = own[name]
