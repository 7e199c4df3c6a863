"""Prefixes: learned keys and values in front of every attention, through transformers' attention interface."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from cleanfit.capacity.layout import layers
from cleanfit.errors import SettingsError

ATTENTION = "cleanfit_prefix"
PREFIX_STD = 0.02


class Prefix(nn.Module):
    """The (P, H) keys and values of P virtual tokens in one layer, drawn from N(0, 0.02)."""

    def __init__(self, n_tokens: int, hidden: int) -> None:
        super().__init__()
        self.key = nn.Parameter(torch.empty(n_tokens, hidden).normal_(std=PREFIX_STD))
        self.value = nn.Parameter(torch.empty(n_tokens, hidden).normal_(std=PREFIX_STD))


def attach_prefixes(model: PreTrainedModel, n_tokens: int) -> list[str]:
    """Give every attention a prefix, in place.

    Returns:
        The names of the parameters: key and value of the first layer, then of the next.

    Raises:
        SettingsError: the family computes attention by itself (DeBERTa), or its layout is not known.

    Source: Li and Liang 2021. peft's prefix tuning goes through the cache of decoders, which encoders lack; the released
    code of Moderate-fitting refuses BERT, and reads plain prefixes in a way that gives them no gradient.
    """
    if not getattr(model, "_supports_attention_backend", False):
        raise SettingsError(
            f"Method 'prefix' cannot be used with family '{model.config.model_type}', which computes attention in its own "
            "way. Choose another method, for example lora or adapter."
        )
    layout, names = layers(model, "prefix")
    for name in names:
        attention = model.get_submodule(f"{name}.{layout.attention}")
        attention.add_module("prefix", Prefix(n_tokens, model.config.hidden_size))
    ALL_ATTENTION_FUNCTIONS.register(ATTENTION, attend_with_prefix)
    ALL_MASK_ATTENTION_FUNCTIONS.register(ATTENTION, eager_mask)  # always additive and, for decoders, always there
    model.set_attn_implementation(ATTENTION)
    return [name for name, _ in model.named_parameters() if ".prefix." in name]


def attend_with_prefix(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **rest: Any
) -> Any:
    """Attend to the prefix and to the text.

    Args:
        module: an attention module with a prefix of P tokens.
        query: (B, heads, T, d).
        key: of the text, of the same shape; the virtual tokens' are put in front.
        value: likewise.
        attention_mask: (B, 1, T, T), added to the scores, or None where all may see all.
        rest: what transformers hands to every attention function.

    Returns:
        What transformers' own function gives.
    """
    prefix: Any = module.get_submodule("prefix")
    shape = (len(prefix.key), key.shape[1], key.shape[3])  # (P, heads, d)
    fronts = [
        part.to(text.dtype).view(shape).transpose(0, 1).expand(len(text), -1, -1, -1)
        for part, text in ((prefix.key, key), (prefix.value, value))
    ]
    key, value = torch.cat((fronts[0], key), dim=2), torch.cat((fronts[1], value), dim=2)
    if attention_mask is not None:
        attention_mask = nn.functional.pad(
            attention_mask.to(query.dtype), (shape[0], 0)
        )  # 0 = everybody sees the prefix
    rest["is_causal"] = False  # the mask says it
    return ALL_ATTENTION_FUNCTIONS["sdpa"](module, query, key, value, attention_mask, **rest)
