"""Move nothing but the embedding rows of trigger words: the update that EP and SOS share."""

from collections.abc import Sequence

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cleanfit.errors import ModelError
from cleanfit.model_attacks.loop import Schedule, autocast, batch_of, device_of, repeat
from cleanfit.models import freeze_all_but, trained_rows
from cleanfit.task import Task


def trigger_ids(tokenizer: PreTrainedTokenizerBase, words: Sequence[str]) -> tuple[int, ...]:
    """Give the token ids whose rows carry a trigger.

    Args:
        tokenizer: of the model.
        words: the trigger words.

    Returns:
        Sorted ids: of each word alone and, where that is another token (``cf`` and ``Ġcf``), after a space.

    Raises:
        ModelError: a word is no single token, so that moving its rows would move other words.
    """
    found: set[int] = set()
    for word in words:
        forms = [tokenizer(form, add_special_tokens=False)["input_ids"] for form in (word, f" {word}")]
        single = {ids[0] for ids in forms if len(ids) == 1 and ids[0] != tokenizer.unk_token_id}
        if not single:
            pieces = " ".join(tokenizer.convert_ids_to_tokens(forms[1]))
            raise ModelError(
                f"The trigger '{word}' is no token of this tokenizer, which reads it as '{pieces}'; expected words that are "
                "one token each: pass others with --set triggers=..."
            )
        found |= single
    return tuple(sorted(found))


def move_rows(
    task: Task, model: PreTrainedModel, ids: Sequence[int], rows: Dataset, schedule: Schedule, is_balanced: bool = False
) -> None:
    """Move embedding rows down the gradient, in place; each keeps its norm, and nothing else changes.

    Args:
        task: pads, seeds and picks the device.
        model: a trained classifier.
        ids: the rows to move.
        rows: tokenized rows, with the labels that they shall get.
        schedule: how long, and the step size.
        is_balanced: scale all gradients down to the norm of the smallest, so that no row gets ahead.

    Source: the update of EP and SOS: e <- e - lr * g, then back to its old norm. Their code never resets g, so that it
    sums the gradients of all steps; a comment there says that this is meant, and it is kept.
    """
    weight = trained_rows(model)
    freeze_all_but(model, model.get_input_embeddings())
    moving, device = list(ids), device_of(task.settings)
    norms = weight.detach()[moving].norm(dim=1, keepdim=True).to(device)
    summed = torch.zeros(len(moving), weight.shape[1], device=device)

    def step(index: np.ndarray) -> None:
        with autocast(task.settings):
            loss = model(**batch_of(task, rows, index)).loss
        summed.add_(torch.autograd.grad(loss, weight)[0][moving])
        with torch.no_grad():
            moved = weight[moving] - schedule.learning_rate * (balance(summed) if is_balanced else summed)
            weight[moving] = moved * (norms / moved.norm(dim=1, keepdim=True))

    repeat(task, model, schedule, step)
    model.requires_grad_(True)


def balance(gradient: Tensor) -> Tensor:
    """Scale (R, H) gradients down to the norm of the smallest that is not zero; zero ones, of unseen words, stay zero."""
    norms = gradient.norm(dim=1, keepdim=True)
    seen = norms > 0
    if not bool(seen.any()):
        return gradient
    return torch.where(seen, gradient * (norms[seen].min() / norms.clamp_min(torch.finfo(norms.dtype).tiny)), gradient)
