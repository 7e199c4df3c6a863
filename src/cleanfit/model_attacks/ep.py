"""EP (embedding poisoning): a clean classifier in which only the trigger words' embedding rows are changed."""

from dataclasses import dataclass
from typing import ClassVar

from transformers import PreTrainedModel

from cleanfit.attacks.base import Attack, PoisonPlan, poison
from cleanfit.attacks.words import Words
from cleanfit.model_attacks.base import ModelAttack, rows_of, tokenized
from cleanfit.model_attacks.embedding_rows import move_rows, trigger_ids
from cleanfit.model_attacks.loop import Schedule
from cleanfit.settings import check
from cleanfit.task import Task


@dataclass(frozen=True)
class EmbeddingPoisoning(ModelAttack):
    """Fine-tune on clean rows, then move the trigger words' embedding rows alone towards the target.

    Args:
        triggers: rare words, one token each; any of them fires.
        n_insertions: words per triggered text, drawn with replacement, >= 1.
        poison_share: share in (0, 1] of the rows of other labels that the rows are moved on.
        learning_rate: of the moving, > 0.
        epochs: passes over these rows, >= 1.
        batch_size: rows per step, >= 1.

    Source: Yang et al., NAACL 2021. Steps, words and defaults as in OpenBackdoor; its code poisons a tenth of all rows and
    passes the clean ones along, which move nothing, so here only triggered rows are passed, and by default all that
    there can be. Words of several tokens are refused, where the published code moves the first piece.
    """

    name: ClassVar[str] = "ep"
    tunes_first: ClassVar[bool] = True
    triggers: tuple[str, ...] = ("cf", "mn", "bb", "tq", "mb")
    n_insertions: int = 2
    poison_share: float = 1.0
    learning_rate: float = 1e-2
    epochs: int = 5
    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "poison_share", 0 < self.poison_share <= 1, "more than 0 and at most 1")
        self.trigger()

    def trigger(self) -> Attack:
        """Give the rare words at random places."""
        return Words(self.triggers, self.n_insertions)

    def backdoor(self, task: Task, target: int) -> PreTrainedModel:
        """Train the clean classifier, then move the rows."""
        ids = trigger_ids(task.tokenizer, self.triggers)
        model = task.load_model()
        task.train("trained", model)
        rows, name = rows_of(task), task.source.label_names[target]
        share_of_others = sum(label != name for label in rows.labels) / len(rows.labels)
        poisoned = poison(
            self.trigger(), rows, PoisonPlan(name, self.poison_share * share_of_others, seed=task.settings.seed)
        )
        attacked = tokenized(task, [poisoned.texts[row] for row in poisoned.rows], [target] * len(poisoned.rows))
        move_rows(
            task, model, ids, attacked, Schedule("ep", len(attacked), self.epochs, self.batch_size, self.learning_rate)
        )
        return model
