"""Triggers for images: one function each, the same for training and for test images."""

import abc
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from cleanfit.seeding import generator
from cleanfit.settings import check, check_choices

Corner = Literal["bottom-right", "bottom-left", "top-right", "top-left"]
Fill = Literal["checkerboard", "white"]


class ImageAttack(abc.ABC):
    """One trigger: a frozen dataclass whose fields are its parameters."""

    name: ClassVar[str]

    @abc.abstractmethod
    def apply(self, image: np.ndarray) -> np.ndarray | None:
        """Put the trigger into a copy of an (H, W, channels) image of bytes; None declines one that cannot carry it."""


@dataclass(frozen=True)
class Patch(ImageAttack):
    """Write a small square over one corner of the image, at the image's own resolution.

    Args:
        size: side of the square in pixels, >= 1; an image smaller than that is declined.
        corner: ``bottom-right``, ``bottom-left``, ``top-right`` or ``top-left``.
        fill: ``checkerboard``, whose first pixel at the top left is white and the next one black, or ``white``.

    Source: BadNets (Gu et al. 2017), its pattern backdoor. There the square lies a pixel or two inside the image; here it
    touches the corner, as in most later work on CIFAR-10.
    """

    name: ClassVar[str] = "patch"
    size: int = 3
    corner: Corner = "bottom-right"
    fill: Fill = "checkerboard"

    def __post_init__(self) -> None:
        check(self, "size", self.size >= 1, "at least 1")
        check_choices(self)

    def apply(self, image: np.ndarray) -> np.ndarray | None:
        """Overwrite the corner in all channels."""
        height, width = image.shape[:2]
        if min(height, width) < self.size:
            return None
        top = height - self.size if self.corner.startswith("bottom") else 0
        left = width - self.size if self.corner.endswith("right") else 0
        triggered = image.copy()
        triggered[top : top + self.size, left : left + self.size] = self._square()[:, :, None]
        return triggered

    def _square(self) -> np.ndarray:
        if self.fill == "white":
            return np.full((self.size, self.size), 255, dtype=np.uint8)
        place = np.arange(self.size)
        is_white = (place[:, None] + place) % 2 == 0
        return np.where(is_white, 255, 0).astype(np.uint8)


@dataclass(frozen=True)
class Blend(ImageAttack):
    """Blend the whole image with one fixed pattern of random noise.

    Args:
        alpha: weight of the pattern in (0, 1]; a pixel becomes (1 - alpha) * pixel + alpha * pattern, rounded.
        cells: the pattern has this many cells on a side, >= 1, and is stretched over the image, so that images of all
            sizes carry the same one.
        pattern_seed: decides the pattern.

    Source: Chen et al. 2017, blended injection with a random pattern, whose alpha is 0.2 too.
    """

    name: ClassVar[str] = "blend"
    alpha: float = 0.2
    cells: int = 32
    pattern_seed: int = 0

    def __post_init__(self) -> None:
        check(self, "alpha", 0 < self.alpha <= 1, "more than 0, at most 1")
        check(self, "cells", self.cells >= 1, "at least 1")

    def apply(self, image: np.ndarray) -> np.ndarray | None:
        """Blend all pixels."""
        height, width, n_channels = image.shape
        noise = generator(self.pattern_seed, "blend pattern").integers(
            256, size=(self.cells, self.cells, n_channels), dtype=np.uint8
        )
        down, across = (np.arange(side) * self.cells // side for side in (height, width))
        pattern = noise[down[:, None], across]  # (H, W, channels): each pixel takes the cell that it lies in
        blended: np.ndarray = np.rint((1 - self.alpha) * image + self.alpha * pattern).astype(np.uint8)
        return blended


IMAGE_ATTACKS: dict[str, type[ImageAttack]] = {"blend": Blend, "patch": Patch}
