"""Collect hidden states of a classifier while it predicts."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cleanfit.errors import ModelError


@contextlib.contextmanager
def mean_states(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the mean of each row's last hidden states, over its tokens, while a classifier predicts.

    Yields:
        A list that grows by one (B, H) float32 tensor on the CPU per batch.
    """
    seen: list[Tensor] = []

    def at_end(_part: nn.Module, _inputs: object, given: dict[str, Any], output: Any) -> None:
        mask = given["attention_mask"][..., None]  # (B, T, 1)
        total = (output.last_hidden_state * mask).sum(dim=1)
        seen.append((total / mask.sum(dim=1)).detach().float().cpu())

    hook = model.base_model.register_forward_hook(at_end, with_kwargs=True)  # type: ignore[union-attr]
    try:
        yield seen
    finally:
        hook.remove()


def states_at(spans: np.ndarray) -> Callable[[nn.Module], contextlib.AbstractContextManager[list[Tensor]]]:
    """Make a reader of the hidden states around certain tokens of each row, in the middle of the model.

    Args:
        spans: (N, P, 2) the first token of each and the one behind the last, for N rows in the order in which they are read.

    Returns:
        What collects one (B, P, 9 H) float32 tensor on the CPU per batch: the states of the token before a span, of its first
        and of the one behind it (at the ends of a row the nearest of its own), at a third, a half and two thirds of the
        layers, an encoder's where there is a decoder as well.
    """

    @contextlib.contextmanager
    def read(model: nn.Module) -> Iterator[list[Tensor]]:
        seen: list[Tensor] = []

        def ask(_part: nn.Module, inputs: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            return inputs, {**given, "output_hidden_states": True}

        def at_end(_part: nn.Module, _inputs: object, given: dict[str, Any], output: Any) -> None:
            mask, n_read = given["attention_mask"], sum(map(len, seen))
            first = mask.argmax(dim=1)[:, None, None]  # (B, 1, 1), behind the padding of one that pads on the left
            asked = torch.from_numpy(spans[n_read : n_read + len(mask)]).to(mask.device)
            start, end = asked[..., :1], asked[..., 1:]
            last = mask.sum(dim=1)[:, None, None] - 1
            places = first + torch.cat([start - 1, start, end], dim=2).clamp(min=0).minimum(last)  # (B, P, 3)
            batch = torch.arange(len(mask), device=mask.device)[:, None, None]
            found = output.get("hidden_states") or output["encoder_hidden_states"]
            layers = [found[(len(found) - 1) * k // 6] for k in (2, 3, 4)]
            states = torch.cat([layer[batch, places].flatten(2) for layer in layers], dim=2)
            seen.append(states.detach().float().cpu())

        parts: Any = model.base_model
        hooks = [
            parts.register_forward_pre_hook(ask, with_kwargs=True),
            parts.register_forward_hook(at_end, with_kwargs=True),
        ]
        try:
            yield seen
        finally:
            for hook in hooks:
                hook.remove()

    return read


@contextlib.contextmanager
def head_inputs(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collect what a classifier's last layer reads, while the model predicts.

    Args:
        model: its last linear layer with C outputs gives the logits; one that scores every token (a decoder's) is followed
            to the token whose scores become the logits.

    Yields:
        A list that grows by one (B, H) float32 tensor on the CPU per batch.

    Raises:
        ModelError: the model has no such layer.
    """
    n_classes = model.config.num_labels  # type: ignore[union-attr]
    heads = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == n_classes]
    if not heads:
        raise ModelError(
            f"{type(model).__name__} ends in no linear layer with {n_classes} outputs; states are unknown."
        )
    seen: list[Tensor] = []
    last: list[Tensor] = []

    def at_head(_head: nn.Module, inputs: tuple[Tensor, ...], scores: Tensor) -> None:
        last[:] = [inputs[0], scores]

    def at_end(_model: nn.Module, _inputs: object, output: Any) -> None:
        states, scores = last
        if states.ndim == 3:  # (B, T, H)
            place = (scores - output.logits[:, None]).abs().sum(dim=-1).argmin(dim=1)
            states = states[torch.arange(len(states), device=states.device), place]
        seen.append(states.detach().float().cpu())

    hooks = [heads[-1].register_forward_hook(at_head), model.register_forward_hook(at_end)]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()
