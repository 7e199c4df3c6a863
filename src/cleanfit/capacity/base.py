"""The settings of a capacity lever, and the counts that say how much it leaves free. No torch."""

from dataclasses import dataclass
from typing import Literal

from cleanfit.settings import check, check_choices

Method = Literal["full", "head", "bitfit", "lora", "adapter", "prefix", "vera", "tinylora", "ia3", "ln_tuning"]
Generator = Literal["none", "tanh_net", "subspace"]
TrainHead = Literal["auto", "dense", "generated", "frozen"]

# TinyLoRA's core is 2 x 2, so that four numbers per place are all it can use.
DEFAULT_SIZES = {"lora": 8, "adapter": 24, "prefix": 24, "vera": 256, "tinylora": 4}
GENERATED = {
    "none": ("full", "head", "bitfit", "lora", "adapter", "prefix", "vera", "tinylora", "ia3", "ln_tuning"),
    "tanh_net": ("lora", "adapter", "prefix"),
    "subspace": ("full", "head", "bitfit", "lora", "adapter", "prefix"),
}


@dataclass(frozen=True)
class Capacity:
    """Which parameters of a pretrained classifier move, and whether a small generator makes them.

    Args:
        method: ``full`` (all), ``head`` (only the classifier), ``bitfit`` (biases), ``lora``, ``adapter``, ``prefix``,
            ``vera``, ``tinylora``, ``ia3`` or ``ln_tuning`` (layer norms); the head moves too, see ``train_head``.
        size: rank (lora, vera), bottleneck width (adapter), virtual tokens (prefix), numbers per place (tinylora), >= 1;
            None = 8, 256, 24, 24, 4. The other methods have no size.
        generator: what makes the moving weights: ``none``, they move themselves; ``tanh_net``, the published network of
            two layers (lora, adapter, prefix); ``subspace``, start + P z with a frozen random P (also full, head, bitfit).
        mid_dim: width of the tanh network, >= 1.
        in_dim: length of its input code, >= 1; prefixes have a table of 512 numbers per virtual token instead.
        subspace_dim: length of z, >= 1 and no more than the weights that it makes.
        rescale: start what the tanh network makes at the scale it has without a network: standard deviation 0.02 of the
            head and of prefixes, 1/sqrt(3 H) of LoRA's A, 0.01 of adapters. Published: no.
        train_head: the head moves itself (``dense``), is made by the generator (``generated``) or stays as random as it
            was (``frozen``); ``auto`` = generated if there is a generator (published), else dense.

    Source: Moderate-fitting (Zhu et al., NeurIPS 2022), whose levers are lora, adapter and prefix with ``tanh_net``; the
    subspace is Li et al. (ICLR 2018), the other methods those of peft.
    """

    method: Method = "full"
    size: int | None = None
    generator: Generator = "none"
    mid_dim: int = 2
    in_dim: int = 2
    subspace_dim: int = 64
    rescale: bool = False
    train_head: TrainHead = "auto"

    def __post_init__(self) -> None:
        check_choices(self)
        check(self, "size", self.size is None or self.size >= 1, "at least 1")
        check(self, "size", self.size is None or self.method in DEFAULT_SIZES, f"None: '{self.method}' has no size")
        check(self, "mid_dim", self.mid_dim >= 1, "at least 1")
        check(self, "in_dim", self.in_dim >= 1, "at least 1")
        check(self, "subspace_dim", self.subspace_dim >= 1, "at least 1")
        able = GENERATED[self.generator]
        check(self, "method", self.method in able, f"one of {', '.join(able)} with generator '{self.generator}'")
        check(self, "rescale", not self.rescale or self.generator == "tanh_net", "false without generator 'tanh_net'")
        is_generated = self.train_head == "generated"
        check(self, "train_head", not is_generated or self.generator != "none", "another value without a generator")
        is_useless = self.method == "head" and self.head in (
            ("frozen",) if self.generator == "none" else ("frozen", "dense")
        )
        check(self, "train_head", not is_useless, "another value for method 'head', which has nothing else to move")

    @property
    def head(self) -> TrainHead:
        """How the head moves, ``auto`` resolved."""
        if self.train_head != "auto":
            return self.train_head
        return "dense" if self.generator == "none" else "generated"

    @property
    def units(self) -> int:
        """The size, the default resolved; 0 for a method without one."""
        return self.size or DEFAULT_SIZES.get(self.method, 0)


@dataclass(frozen=True)
class ParameterCounts:
    """How much a restricted model leaves free.

    Args:
        trainable: numbers that the optimizer moves, those of a generator and of a dense head included.
        head: weights of the classification head that move, themselves or through a generator; 0 if it is frozen.
        stored: weights that differ from the pretrained ones once a generator has made them, head included: what keeping
            the result beside the pretrained model takes.
        effective: dimension of the set that those weights can reach. Without a generator it is `stored`; so it is for the
            tanh network of LoRA and adapters, whose last layer is free; a prefix of that network has rank `mid_dim` + 1;
            a subspace has the length of z. Factors (A and B of LoRA) count as they are, not as their product.
    """

    trainable: int
    head: int
    stored: int
    effective: int
