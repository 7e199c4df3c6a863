"""Where things are in a classifier: its head, its layers, their attention and feed-forward parts, by module names."""

import re
from dataclasses import dataclass

from torch import nn
from transformers import PreTrainedModel

from cleanfit.errors import SettingsError


@dataclass(frozen=True)
class Layout:
    """Names of modules within one layer.

    Args:
        attention: computes attention from queries, keys and values.
        query_value: projections that LoRA changes; a fused projection stands for all three.
        key_value: projections that IA3 scales.
        down: last linear map of the feed-forward part.
        sites: whose outputs an adapter changes: after the attention block and after the feed-forward block.
    """

    attention: str
    query_value: tuple[str, ...]
    key_value: tuple[str, ...]
    down: str
    sites: tuple[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return (self.attention, *self.query_value, *self.key_value, self.down, *self.sites)


def _layout(attention: str, projections: str, down: str, sites: str) -> Layout:
    query, key, value = (f"{attention}.{name}" for name in projections.split())
    first, second = sites.split()
    return Layout(attention, (query, value), (key, value), down, (first, second))


# Matched by their names, not by the family's, so that relatives (ELECTRA, XLM-R, CamemBERT) need no line of their own.
# Where the layer norm comes first there is no "output after the layer norm": there an adapter follows the block itself,
# before the sum with the residual.
LAYOUTS = (
    _layout("attention.self", "query key value", "output.dense", "attention.output output"),  # BERT, RoBERTa
    _layout("attention.self", "query_proj key_proj value_proj", "output.dense", "attention.output output"),  # DeBERTa
    _layout("attention", "q_lin k_lin v_lin", "ffn.lin2", "sa_layer_norm output_layer_norm"),  # DistilBERT
    _layout("attention", "q_proj k_proj v_proj", "mlp.fc2", "attention mlp"),  # ViT
    Layout("attn", ("attn.c_attn",), ("attn.c_attn",), "mlp.c_proj", ("attn", "mlp")),  # GPT-2: q, k and v are one map
)


def head_names(model: PreTrainedModel) -> list[str]:
    """Name the parameters of the head: those outside of the pretrained part, in module order.

    BERT's pooler is pretrained and so no part of it; DeBERTa's is new and is.
    """
    inside = f"{model.base_model_prefix}."
    return [name for name, _ in model.named_parameters() if not name.startswith(inside)]


def norm_names(model: PreTrainedModel) -> list[str]:
    """Name the parameters of the layer norms."""
    norms = [name for name, module in model.named_modules() if re.search("norm", type(module).__name__, re.IGNORECASE)]
    return [f"{norm}.{name}" for norm in norms for name, _ in model.get_submodule(norm).named_parameters()]


def layers(model: PreTrainedModel, method: str) -> tuple[Layout, list[str]]:
    """Find the layers.

    Args:
        model: a classifier, nothing inserted yet.
        method: that needs them, for the message.

    Returns:
        The layout within a layer, and the names of the layers, first to last.

    Raises:
        SettingsError: the model has none, or none of a known layout.
    """
    lists = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    name, stack = max(lists, key=lambda pair: len(pair[1]), default=("", nn.ModuleList()))
    inside = {inner for inner, _ in stack[0].named_modules()} if len(stack) else set()
    for layout in LAYOUTS:
        if inside.issuperset(layout.names):
            return layout, [f"{name}.{i}" for i in range(len(stack))]
    raise SettingsError(
        f"Method '{method}' does not know where the parts of a '{model.config.model_type}' layer are. "
        "Choose full, head, bitfit or ln_tuning, which work for every family."
    )
