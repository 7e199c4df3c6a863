"""Follow a training step by step, with ground truth, for research: stages, hidden states, poison rates, sweeps."""

from cleanfit.trajectory.looks import Point, Summary
from cleanfit.trajectory.run import Trajectory, load_trajectory, trajectory
from cleanfit.trajectory.scene import Looks, Recipe, Subject
from cleanfit.trajectory.studies import POISON_RATES, poison_rates, sweep

__all__ = [
    "POISON_RATES",
    "Looks",
    "Point",
    "Recipe",
    "Subject",
    "Summary",
    "Trajectory",
    "load_trajectory",
    "poison_rates",
    "sweep",
    "trajectory",
]
