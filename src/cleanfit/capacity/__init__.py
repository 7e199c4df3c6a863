"""Capacity: how many parameters of a pretrained classifier may move, and by what."""

from cleanfit.capacity.adapted import AdaptedClassifier, load_finished
from cleanfit.capacity.base import Capacity, ParameterCounts
from cleanfit.capacity.restrict import Restricted, restrict

__all__ = ["AdaptedClassifier", "Capacity", "ParameterCounts", "Restricted", "load_finished", "restrict"]
