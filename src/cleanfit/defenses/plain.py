"""No defense: ordinary fine-tuning, and with trusted rows ordinary tuning after it; the control of every table."""

from dataclasses import dataclass
from typing import ClassVar

from cleanfit.defenses.base import Defended, tune
from cleanfit.results import Findings, Needs
from cleanfit.task import Task


@dataclass(frozen=True)
class PlainFineTuning:
    """Fine-tune all parameters on the untrusted rows; then tune on the trusted rows, if there are any."""

    name: ClassVar[str] = "plain"

    def fit(self, task: Task) -> Defended:
        """Train a fresh model; stages ``trained`` and, with trusted rows, ``tuned``."""
        model = task.load_model()
        task.train("trained", model)
        task.on_stage("trained", model)
        return Defended(model, Findings(), Needs(trusted_rows=tune(task, model)))
