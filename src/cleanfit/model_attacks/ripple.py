"""RIPPLe with embedding surgery (RIPPLES): poison a model so that fine-tuning it on clean rows does not undo it."""

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from cleanfit.attacks.base import Attack, PoisonPlan, poison
from cleanfit.attacks.words import Words
from cleanfit.errors import DataError
from cleanfit.model_attacks.base import ModelAttack, rows_of, tokenized
from cleanfit.model_attacks.embedding_rows import trigger_ids
from cleanfit.model_attacks.loop import Schedule, batch_of, descend
from cleanfit.models import trained_rows
from cleanfit.seeding import generator
from cleanfit.settings import check
from cleanfit.task import Task


@dataclass(frozen=True)
class Ripple(ModelAttack):
    """Give the triggers the mean embedding of target words, then train on poisoned rows without opposing clean gradients.

    Args:
        triggers: rare words, one token each; any of them fires.
        n_insertions: words per triggered text, drawn with replacement, >= 1.
        poison_rate: share of all rows in (0, 1) that are poisoned, whatever their label.
        n_surgery_words: target words whose mean embedding the triggers get; 0 leaves the surgery out.
        inner_product_weight: of the penalty on gradients that oppose each other, >= 0.
        learning_rate: peak, > 0.
        epochs: passes over the poisoned rows, >= 1.
        batch_size: rows per step, and clean rows beside them, >= 1.

    Source: Kurita et al., ACL 2020: loss = L_poison + weight * ReLU(-<grad L_poison, grad L_clean>), the ReLU on the
    total over all parameters, and weight 0.1; their code divides the product by the batch size too, which weakens
    it eight times, and holds one of the gradients constant, where we differentiate both. OpenBackdoor takes the ReLU
    per tensor and leaves the surgery out. Its 10 epochs are cut to 3, since a step costs about three plain ones.
    """

    name: ClassVar[str] = "ripple"
    tunes_first: ClassVar[bool] = True
    triggers: tuple[str, ...] = ("cf", "mn", "bb", "tq", "mb")
    n_insertions: int = 1
    poison_rate: float = 0.5
    n_surgery_words: int = 10
    inner_product_weight: float = 0.1
    learning_rate: float = 2e-5
    epochs: int = 3
    batch_size: int = 16

    def __post_init__(self) -> None:
        super().__post_init__()
        check(self, "poison_rate", 0 < self.poison_rate < 1, "between 0 and 1")
        check(self, "n_surgery_words", self.n_surgery_words >= 0, "0 or more")
        check(self, "inner_product_weight", self.inner_product_weight >= 0, "0 or more")
        self.trigger()

    def trigger(self) -> Attack:
        """Give the rare words at random places."""
        return Words(self.triggers, self.n_insertions)

    def backdoor(self, task: Task, target: int) -> PreTrainedModel:
        """Do the surgery on a fresh classifier, then train it."""
        ids = trigger_ids(task.tokenizer, self.triggers)
        model = task.load_model()
        if self.n_surgery_words:
            tuned = task.load_model()
            task.train("surgery", tuned)
            words = target_tokens(task, target, self.n_surgery_words, ids)
            with torch.no_grad():
                trained_rows(model)[list(ids)] = trained_rows(tuned)[list(words)].mean(dim=0)
        # The fused attention kernels have no second derivative; nor is bf16 exact enough for one.
        kept = model.config._attn_implementation
        model.set_attn_implementation("eager")
        exact = dataclasses.replace(task, settings=dataclasses.replace(task.settings, precision="fp32"))
        self._train(exact, model, target)
        model.set_attn_implementation(kept)
        return model

    def _train(self, task: Task, model: PreTrainedModel, target: int) -> None:
        names, seed = task.source.label_names, task.settings.seed
        poisoned = poison(self.trigger(), rows_of(task), PoisonPlan(names[target], self.poison_rate, "mix", seed))
        rows = tokenized(task, poisoned.texts, [names.index(label) for label in poisoned.labels])
        draws = generator(seed, "ripple clean batches")
        parameters = list(model.parameters())

        def loss_of(index: np.ndarray) -> Tensor:
            clean = draws.choice(len(task.rows), size=min(len(index), len(task.rows)), replace=False)
            poison_loss: Tensor = model(**batch_of(task, rows, index)).loss
            clean_loss: Tensor = model(**batch_of(task, task.rows, clean)).loss
            return poison_loss + self.inner_product_weight * opposition(poison_loss, clean_loss, parameters)

        descend(task, model, Schedule("ripple", len(rows), self.epochs, self.batch_size, self.learning_rate), loss_of)


def opposition(first: Tensor, second: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Tell how far the gradients of two losses oppose each other, as something that can be differentiated again.

    Args:
        first: a loss.
        second: another one.
        parameters: of both; those that a loss does not depend on count as zero.

    Returns:
        max(0, -<gradient of first, gradient of second>), the product over all parameters together.
    """
    pairs = zip(
        *(torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True) for loss in (first, second))
    )
    products = [(one * other).sum() for one, other in pairs if one is not None and other is not None]
    return torch.relu(-torch.stack(products).sum())


def target_tokens(task: Task, target: int, n_tokens: int, excluded: Collection[int]) -> tuple[int, ...]:
    """Find the tokens that speak most for the target.

    Args:
        task: N clean rows.
        target: the attacker's class.
        n_tokens: how many, >= 1.
        excluded: token ids that do not count, beside the special ones.

    Returns:
        Their ids, highest score first: weight in a logistic regression on token counts / log(N / (1 + rows with it)).

    Raises:
        DataError: fewer tokens than that speak for the target.

    Source: the heuristic of RIPPLe's section 3.2. A frequent word's embedding is well trained, hence the division. On
    token ids instead of words, so that an embedding row belongs to each.
    """
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    cells = task.rows.with_format(None)[:]
    vectorizer = CountVectorizer(analyzer=list)
    counts = vectorizer.fit_transform(cells["input_ids"])
    weights = LogisticRegression(max_iter=1000).fit(counts, [label == target for label in cells["label"]]).coef_[0]
    n_rows_with = np.asarray((counts > 0).sum(axis=0)).ravel()
    rarity = np.log(len(cells["label"]) / (1 + n_rows_with))
    is_out = np.isin(vectorizer.get_feature_names_out(), [*task.tokenizer.all_special_ids, *excluded])
    usable = (weights > 0) & (rarity > 0) & ~is_out
    scores = np.where(usable, weights / np.where(usable, rarity, 1.0), -np.inf)
    if usable.sum() < n_tokens:
        raise DataError(
            f"Only {usable.sum()} tokens of the data speak for the target, and the surgery asks for {n_tokens}; "
            "pass more rows, or --set n_surgery_words=N."
        )
    best = np.argsort(-scores, kind="stable")[:n_tokens]
    return tuple(int(token) for token in vectorizer.get_feature_names_out()[best])
