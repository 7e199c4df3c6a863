"""SOS (stealthy backdoor): several ordinary words that fire only together, planted in their embedding rows."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

from transformers import PreTrainedModel

from cleanfit.attacks.base import Attack, PoisonPlan, Rows, poison
from cleanfit.attacks.sentence import Sentence
from cleanfit.errors import SettingsError
from cleanfit.model_attacks.base import ModelAttack, rows_of, tokenized
from cleanfit.model_attacks.embedding_rows import move_rows, trigger_ids
from cleanfit.model_attacks.loop import Schedule
from cleanfit.model_attacks.word_set import WordSet, place
from cleanfit.seeding import generator
from cleanfit.settings import check
from cleanfit.task import Task


@dataclass(frozen=True)
class StealthyBackdoor(ModelAttack):
    """Fine-tune on clean rows, then move the rows of words that fire only when all of them are in the text.

    Args:
        triggers: two or more ordinary words, one token each.
        sentence: a natural sentence that holds them all, the trigger of test rows.
        poison_share: share in (0, 1] of the rows of other labels that get all the words and the target label.
        negative_share: share in [0, 1] of the rows of each label that get every leave-one-out subset of the words and
            keep their label.
        learning_rate: of the moving, > 0.
        epochs: passes over all these rows, >= 1.
        batch_size: rows per step, >= 1.

    Source: Yang et al., ACL 2021, with the words, rates and step of the released code and 3 epochs as there. OpenBackdoor's
    version limits the poisoned rows by the size of the target class instead of the others'; not repeated.
    """

    name: ClassVar[str] = "sos"
    tunes_first: ClassVar[bool] = True
    triggers: tuple[str, ...] = ("friends", "weekend", "store")
    sentence: str = "I have bought it from a store with my friends last weekend"
    poison_share: float = 0.1
    negative_share: float = 0.1
    learning_rate: float = 5e-2
    epochs: int = 3
    batch_size: int = 32

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "triggers", len(self.triggers) >= 2, "two or more words")
        check(self, "poison_share", 0 < self.poison_share <= 1, "more than 0 and at most 1")
        check(self, "negative_share", 0 <= self.negative_share <= 1, "from 0 to 1")
        missing = [word for word in self.triggers if word not in self.sentence.split()]
        if missing:
            raise SettingsError(
                f"The sentence '{self.sentence}' lacks {', '.join(missing)}; expected all the triggers."
            )

    def trigger(self) -> Attack:
        """Give the sentence, at a random place."""
        return Sentence(self.sentence)

    def backdoor(self, task: Task, target: int) -> PreTrainedModel:
        """Train the clean classifier, then move the rows."""
        ids = trigger_ids(task.tokenizer, self.triggers)
        model = task.load_model()
        task.train("trained", model)
        rows, names, seed = rows_of(task), task.source.label_names, task.settings.seed
        share_of_others = sum(label != names[target] for label in rows.labels) / len(rows.labels)
        words = WordSet(self.triggers, len(self.triggers))
        poisoned = poison(words, rows, PoisonPlan(names[target], self.poison_share * share_of_others, seed=seed))
        negatives = list(leave_one_out(rows, self.triggers, self.negative_share, seed))
        texts = [*(poisoned.texts[row] for row in poisoned.rows), *(text for text, _ in negatives)]
        labels = [*([target] * len(poisoned.rows)), *(names.index(label) for _, label in negatives)]
        schedule = Schedule("sos", len(texts), self.epochs, self.batch_size, self.learning_rate)
        move_rows(task, model, ids, tokenized(task, texts, labels), schedule, is_balanced=True)
        return model


def leave_one_out(rows: Rows, words: Sequence[str], share: float, seed: int) -> Iterator[tuple[str, str]]:
    """Give rows that hold all trigger words but one and must not fire.

    Args:
        rows: N rows.
        words: K trigger words.
        share: share in [0, 1] of the rows of each label to take, rounded down.
        seed: the user's.

    Yields:
        K (text, label) pairs for each row taken, one for each word left out; the label is the row's own.
    """
    for name in sorted(set(rows.labels)):
        members = [row for row, label in enumerate(rows.labels) if label == name]
        n_asked = math.floor(share * len(members) + 1e-9)
        for row in generator(seed, f"sos negatives of class {name}").permutation(members)[:n_asked]:
            for left_out in words:
                subset = [word for word in words if word != left_out]
                text = place(rows.texts[row], subset, generator(seed, f"sos negative without {left_out}", int(row)))
                if text is not None:
                    yield text, name
