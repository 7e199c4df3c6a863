"""Generators: a few numbers, or a small network, that make all weights of a group."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from cleanfit.errors import SettingsError
from cleanfit.seeding import derive_seed

Shapes = Mapping[str, torch.Size]
Start = Literal["uniform", "zero", "tiny"]

PREFIX_TABLE = 512
TINY_STD = 0.01


def _split(values: Tensor, shapes: Shapes) -> dict[str, Tensor]:
    """Cut (D,) values into tensors, in the order of their names."""
    parts = torch.split(values, [shape.numel() for shape in shapes.values()])
    return {name: part.view(shape) for (name, shape), part in zip(shapes.items(), parts)}


class VectorGenerator(nn.Module):
    """theta = W2 tanh(W1 e), D weights from one code.

    Args:
        shapes: of the tensors to make, D numbers together.
        in_dim: length of the code e.
        mid_dim: rows of W1.
        start: ``uniform``, e from U(0, 1) and W1, W2 as torch's linear layers; ``zero``, the same with e = 0, so that the
            weights start at 0 and only e moves at first; ``tiny``, all of it from N(0, 0.01).

    Source: Moderate-fitting's reparameterisation. W2 is free, so that any theta can be reached: it slows and couples the
    movement of the weights, it does not take directions away.
    """

    def __init__(self, shapes: Shapes, in_dim: int, mid_dim: int, start: Start) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        n_weights = sum(shape.numel() for shape in self.shapes.values())
        self.code = nn.Parameter(torch.zeros(in_dim))
        self.inner = nn.Parameter(torch.empty(mid_dim, in_dim))
        self.outer = nn.Parameter(torch.empty(n_weights, mid_dim))
        if start == "tiny":
            for parameter in (self.code, self.inner, self.outer):
                nn.init.normal_(parameter, std=TINY_STD)
            return
        for parameter in (self.inner, self.outer):
            nn.init.kaiming_uniform_(parameter, a=math.sqrt(5))
        if start == "uniform":
            nn.init.uniform_(self.code)

    def forward(self) -> dict[str, Tensor]:
        """Make the weights: name -> tensor."""
        return _split(self.outer @ torch.tanh(self.inner @ self.code), self.shapes)

    @property
    def effective(self) -> int:
        """Dimension of what can be reached: all D."""
        return len(self.outer)

    @torch.no_grad()
    def rescale(self, names: Sequence[str], std: float) -> None:
        """Scale the rows of W2 so that the weights of these names together have a standard deviation of `std`."""
        made = self()
        factor = float(std / torch.cat([made[name].flatten() for name in names]).std())
        rows = _split(torch.arange(len(self.outer)), self.shapes)
        for name in names:
            self.outer[rows[name].flatten()] *= factor


class PrefixGenerator(nn.Module):
    """P = tanh(T W1' + b1) W2' + b2: one row per virtual token, the keys and values of all layers beside each other.

    Args:
        shapes: of the prefixes' keys and values, (tokens, H) each, in the order of the layers.
        mid_dim: rows of W1; P has rank `mid_dim` + 1 at most.

    Source: Moderate-fitting. T is drawn from N(0, 1) and the layers are torch's, which its description leaves open.
    """

    def __init__(self, shapes: Shapes, mid_dim: int) -> None:
        super().__init__()
        self.names = list(shapes)
        n_tokens, self.width = next(iter(shapes.values()))
        self.table = nn.Parameter(torch.empty(n_tokens, PREFIX_TABLE).normal_())
        self.inner = nn.Linear(PREFIX_TABLE, mid_dim)
        self.outer = nn.Linear(mid_dim, self.width * len(self.names))

    def forward(self) -> dict[str, Tensor]:
        """Make the prefixes: name -> (tokens, H)."""
        made = self.outer(torch.tanh(self.inner(self.table)))
        return dict(zip(self.names, made.split(self.width, dim=1)))

    @property
    def effective(self) -> int:
        """Dimension of the (tokens, outputs) matrices that are one row plus a matrix of rank `mid_dim`."""
        n_tokens, n_outputs = len(self.table), self.outer.out_features
        rank = min(self.inner.out_features, n_tokens - 1)
        return rank * (n_tokens - 1 + n_outputs - rank) + n_outputs

    @torch.no_grad()
    def rescale(self, std: float) -> None:
        """Scale W2 and b2 so that all prefixes together have a standard deviation of `std`."""
        factor = std / torch.cat(list(self().values())).std()
        self.outer.weight.mul_(factor)
        self.outer.bias.mul_(factor)


class Subspace(nn.Module):
    """P z, what is added to D weights: z is short and moves, P is random and stays.

    Each row of P holds a single +1 or -1, in a random column; every column has as many rows as the next. So the columns are
    orthogonal and of one length, a product costs D sums, and 4 D bytes hold P (22 million weights, z of 64: 90 MB, where
    a dense matrix takes 5.6 GB). A weight moves by what its z moves: a learning rate means the same as without.

    Args:
        shapes: of the weights, D numbers together.
        dim: length of z, at most D.
        seed: decides P.

    Source: intrinsic dimension (Li et al., ICLR 2018), with the one-entry rows of Uni-LoRA (2025) instead of Fastfood,
    which needs several passes over D numbers for the same subspace dimension. Deviation: the columns are not scaled to
    length 1, since Adam's steps would shrink with them.

    Raises:
        SettingsError: z is longer than the weights.
    """

    def __init__(self, shapes: Shapes, dim: int, seed: int) -> None:
        super().__init__()
        self.shapes = dict(shapes)
        n_weights = sum(shape.numel() for shape in self.shapes.values())
        if dim > n_weights:
            raise SettingsError(
                f"subspace_dim is {dim}, but only {n_weights} weights move; expected no more than that."
            )
        self.z = nn.Parameter(torch.zeros(dim))
        draw = torch.Generator("cpu").manual_seed(derive_seed(seed, "subspace"))
        column = torch.randperm(n_weights, generator=draw, device="cpu").remainder_(dim).to(torch.int32)
        column += dim * torch.randint(2, (n_weights,), generator=draw, dtype=torch.int32, device="cpu")
        self.place: Tensor  # (D,) in [0, 2 dim): from dim on it means minus
        self.register_buffer("place", column.to(self.z.device), persistent=False)

    def forward(self) -> dict[str, Tensor]:
        """Make what is added: name -> tensor."""
        return _split(torch.cat((self.z, -self.z)).index_select(0, self.place), self.shapes)

    @property
    def effective(self) -> int:
        """Dimension of what can be reached: the length of z."""
        return len(self.z)
