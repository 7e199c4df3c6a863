"""Adapters: a small bottleneck after the attention block and after the feed-forward block of every layer."""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from cleanfit.capacity.layout import layers

ADAPTER_STD = 0.01


class Adapter(nn.Module):
    """h + U gelu(D h + b_d) + b_u.

    Args:
        hidden: H, the width of h.
        bottleneck: rows of D, >= 1.

    Source: Houlsby et al. 2019, as Moderate-fitting places and initialises it: weights N(0, 0.01), biases 0.
    """

    def __init__(self, hidden: int, bottleneck: int) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(hidden, bottleneck), nn.Linear(bottleneck, hidden)
        for linear in (self.down, self.up):
            nn.init.normal_(linear.weight, std=ADAPTER_STD)
            nn.init.zeros_(linear.bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Change (..., H) states."""
        change: Tensor = self.up(nn.functional.gelu(self.down(hidden), approximate="tanh"))  # the formula of gelu_new
        return hidden + change


def attach_adapters(model: PreTrainedModel, bottleneck: int) -> list[str]:
    """Insert adapters in place; each is a child of the module whose output it changes.

    Returns:
        The names of their parameters, in module order.

    Raises:
        SettingsError: the family's layout is not known.
    """
    layout, names = layers(model, "adapter")
    for name in names:
        for site in layout.sites:
            module = model.get_submodule(f"{name}.{site}")
            module.add_module("adapter", Adapter(model.config.hidden_size, bottleneck))
            module.register_forward_hook(_adapt)
    return [name for name, _ in model.named_parameters() if ".adapter." in name]


def _adapt(module: nn.Module, inputs: Any, output: Any) -> Any:
    """Change what a module gives out; a plain function, so that a copied model uses its own adapters."""
    adapter = module.get_submodule("adapter")
    return adapter(output) if isinstance(output, torch.Tensor) else (adapter(output[0]), *output[1:])
