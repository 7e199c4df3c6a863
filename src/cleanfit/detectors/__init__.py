"""The detectors by their names on the command line; a new one is a file here and a line below."""

from cleanfit.detectors.base import Detector
from cleanfit.detectors.drift import EmbeddingDrift

__all__ = ["DETECTORS", "EmbeddingDrift"]

DETECTORS: dict[str, type[Detector]] = {"drift": EmbeddingDrift}
