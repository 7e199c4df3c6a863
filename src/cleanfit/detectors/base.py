"""What a detector is: it scores tokens and rows, higher = more suspicious; the decision stands beside the score."""

from typing import ClassVar, Protocol

from cleanfit.results import Findings
from cleanfit.task import Task


class Detector(Protocol):
    """A frozen dataclass whose fields are its hyperparameters."""

    name: ClassVar[str]

    def score(self, task: Task) -> Findings:
        """Score the rows of a task and the tokens in them, from the untrusted data alone."""
        ...
