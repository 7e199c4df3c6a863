"""The model of detection rounds 1 and 2: word embeddings, their mean over the text, a linear head, nothing else."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from cleanfit.models import word_embeddings
from cleanfit.seeding import kept_rng, seed_torch

HEAD_STD = 0.02  # the spread of a fresh classification head in BERT, and in BTU's code


class EmbeddingBag(nn.Module):
    """Classify a text by the mean of its embeddings.

    Args:
        model: a classifier, used for its embeddings only.
        whole_module: embed with the model's whole embedding module (positions, types, norm, dropout) as BTU's code does,
            where the model has one; else with the word rows alone.
        n_classes: C.
        seed: decides the head.

    Source: BTU (AAAI 2025), rounds 1 and 2. Deviation: the mean leaves padding out; the code divides by a fixed 128.
    """

    def __init__(self, model: PreTrainedModel, whole_module: bool, n_classes: int, seed: int) -> None:
        super().__init__()
        words = model.get_input_embeddings()
        self.embed = getattr(model.base_model, "embeddings", words) if whole_module else words
        with kept_rng():
            seed_torch(seed, "bag head")
            self.head = nn.Linear(word_embeddings(model).shape[1], n_classes)
            nn.init.normal_(self.head.weight, std=HEAD_STD)
        nn.init.zeros_(self.head.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Give loss and (B, C) logits for (B, T) token ids."""
        embedded = self.embed(input_ids)  # (B, T, H)
        mask = attention_mask.unsqueeze(-1).to(embedded.dtype)
        mean = (embedded * mask).sum(dim=1) / mask.sum(dim=1)  # (B, H); every row holds a token
        logits = self.head(mean)
        return {"loss": nn.functional.cross_entropy(logits.float(), labels), "logits": logits}


def drift(trained: Tensor, pretrained: Tensor, seen: Tensor) -> Tensor:
    """Give the (V,) L2 distance that each word embedding moved; rows that do not occur moved by 0.

    Args:
        trained: (S, H) rows of the S tokens that occur.
        pretrained: (V, H) rows before.
        seen: (S,) their ids.
    """
    moved = torch.zeros(pretrained.shape[0])
    moved[seen] = (trained - pretrained[seen]).norm(dim=1)
    return moved
