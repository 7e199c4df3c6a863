"""LoRA, VeRA, TinyLoRA and IA3, by peft."""

import warnings

import torch
from peft import IA3Config, LoraConfig, PeftConfig, TinyLoraConfig, VeraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel

from cleanfit.capacity.base import Capacity
from cleanfit.capacity.layout import layers
from cleanfit.seeding import derive_seed

TINYLORA_RANK = 2


def attach_peft(model: PreTrainedModel, capacity: Capacity, seed: int) -> list[str]:
    """Insert peft's layers in place.

    Args:
        model: a classifier.
        capacity: method ``lora``, ``vera``, ``tinylora`` or ``ia3``, and its size.
        seed: decides VeRA's and TinyLoRA's frozen projections; A of LoRA comes from torch's global state.

    Returns:
        The names of the new trainable parameters, in module order.

    Raises:
        SettingsError: the family's layout is not known.
    """
    layout, names = layers(model, capacity.method)
    inner = (*layout.key_value, layout.down) if capacity.method == "ia3" else layout.query_value
    targets = [f"{name}.{part}" for name in names for part in inner]
    config = _config(capacity, targets, [f"{name}.{layout.down}" for name in names], seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="fan_in_fan_out")  # peft itself sees how GPT-2 stores weights
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing")  # between peft and transformers
        get_peft_model(model, config)
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def _config(capacity: Capacity, targets: list[str], down: list[str], seed: int) -> PeftConfig:
    size, draw = capacity.units, derive_seed(seed, "projection") % 2**32
    if capacity.method == "lora":
        # The scale alpha / rank stays 2, the published 16 / 8, so that rank alone changes with the size.
        return LoraConfig(r=size, lora_alpha=2 * size, lora_dropout=0.0, target_modules=targets)
    if capacity.method == "vera":
        return VeraConfig(r=size, vera_dropout=0.0, target_modules=targets, projection_prng_key=draw)
    if capacity.method == "tinylora":
        return TinyLoraConfig(r=TINYLORA_RANK, u=size, target_modules=targets, projection_seed=draw)
    return IA3Config(target_modules=targets, feedforward_modules=down)


@torch.no_grad()
def merge_peft(model: PreTrainedModel) -> None:
    """Put what peft's layers have learned into the weights, in place, and take the layers away."""
    for name, module in list(model.named_modules()):
        if isinstance(module, BaseTunerLayer):
            module.merge()
            parent, _, child = name.rpartition(".")
            setattr(model.get_submodule(parent), child, module.get_base_layer())
    if hasattr(model, "peft_config"):
        del model.peft_config
