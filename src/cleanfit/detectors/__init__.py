"""The detectors by their names on the command line; a new one is a file here and a line below."""

from cleanfit.detectors.base import Detector
from cleanfit.detectors.drift import EmbeddingDrift
from cleanfit.detectors.reading import Reading

__all__ = ["DETECTORS", "EmbeddingDrift", "Reading"]

DETECTORS: dict[str, type[Detector]] = {"reading": Reading, "drift": EmbeddingDrift}
