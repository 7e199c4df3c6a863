"""What a defense is, what it gives back, and the tuning on trusted rows that several of them end with."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar, Protocol

from transformers import PreTrainedModel

from cleanfit.results import Findings, Needs
from cleanfit.task import Task


@dataclass(frozen=True)
class Defended:
    """A trained model, what was found on the way, and what it needed."""

    model: PreTrainedModel
    findings: Findings
    needs: Needs


class Defense(Protocol):
    """A frozen dataclass whose fields are its hyperparameters."""

    name: ClassVar[str]

    def fit(self, task: Task) -> Defended:
        """Train a model on the untrusted rows of a task, telling `task.on_stage` of every finished stage."""
        ...


def tune(task: Task, model: PreTrainedModel) -> int:
    """Train all parameters for one epoch on the trusted rows, in place, with a fresh optimizer.

    Args:
        task: with or without trusted rows.
        model: a trained classifier.

    Returns:
        The number of trusted rows; 0 and an untouched model if the task has none.

    Source: BTU's last step. Its code goes on with the optimizer of the poisoned training, whose momentum pushes back
    towards the backdoor; here it is a fresh one, at a constant learning rate as there.
    """
    if task.trusted is None:
        return 0
    settings = dataclasses.replace(task.settings, num_train_epochs=1.0, max_steps=-1, lr_scheduler_type="constant")
    task.train("tuned", model, task.trusted, settings)
    task.on_stage("tuned", model)
    return len(task.trusted)
