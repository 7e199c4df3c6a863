"""Learn LWS's choice of substitutes together with a classifier."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cleanfit.attacks.base import Rows
from cleanfit.attacks.lws_words import (
    NEIGHBOURS,
    Choice,
    Substitutes,
    find_places,
    from_lexicon,
    from_neighbours,
    whole_words,
)
from cleanfit.errors import DataError, SettingsError
from cleanfit.models import check_length, find_model, load_tokenizer, trained_rows, word_embeddings
from cleanfit.seeding import generator, kept_rng, seed_torch

if TYPE_CHECKING:
    from cleanfit.attacks.lws import Lws

_LENGTH_JITTER = 8  # tokens: rows of about like length share a batch, and batches still differ by epoch


@dataclass(frozen=True)
class Batch:
    """B rows padded to T tokens.

    Args:
        token_ids: (B, T).
        mask: (B, T) 1 for a token, 0 for padding.
        labels: (B,) class numbers.
        replaceable: (B, T) whether a word that can be replaced is there.
    """

    token_ids: Tensor
    mask: Tensor
    labels: Tensor
    replaceable: Tensor

    def pick(self, rows: Tensor, label: int) -> "Batch":
        """Take some rows, (B,) booleans, with another label."""
        labels = torch.full_like(self.labels[rows], label)
        return Batch(self.token_ids[rows], self.mask[rows], labels, self.replaceable[rows])

    def to(self, device: torch.device) -> "Batch":
        """Copy the batch to a device."""
        return Batch(*(part.to(device) for part in (self.token_ids, self.mask, self.labels, self.replaceable)))


@dataclass(frozen=True)
class Data:
    """N tokenized rows.

    Args:
        token_ids: N rows of tokens.
        positions: N rows of positions at which a word can be replaced.
        labels: (N,) class numbers.
        pad_id: the padding token.
    """

    token_ids: list[list[int]]
    positions: list[list[int]]
    labels: np.ndarray
    pad_id: int

    def batches(self, batch_size: int, random: np.random.Generator) -> Iterator[Batch]:
        """Yield all rows once in random batches, rows of like length together."""
        lengths = np.asarray([len(ids) for ids in self.token_ids])
        order = np.argsort(lengths + random.uniform(0, _LENGTH_JITTER, len(lengths)))
        batches = np.array_split(order, math.ceil(len(order) / batch_size))
        for number in random.permutation(len(batches)):
            yield self._batch(batches[number].tolist())

    def _batch(self, rows: list[int]) -> Batch:
        ids = [torch.tensor(self.token_ids[row]) for row in rows]
        token_ids = pad_sequence(ids, batch_first=True, padding_value=self.pad_id)
        mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
        replaceable = torch.zeros_like(token_ids, dtype=torch.bool)
        for number, row in enumerate(rows):
            replaceable[number, self.positions[row]] = True
        return Batch(token_ids, mask, torch.from_numpy(self.labels[rows]), replaceable)


class SoftChoice(nn.Module):
    """Mixes the candidates' embeddings by the Gumbel softmax of their scores (see `Choice`).

    Args:
        embeddings: (V, H) word embeddings, which do not move.
        table: (V, K) candidates, see `Substitutes`.
        max_length: L.
    """

    def __init__(self, embeddings: Tensor, table: Tensor, max_length: int) -> None:
        super().__init__()
        self.embeddings, self.table = embeddings, table
        self.directions = nn.Parameter(embeddings.new_zeros(max_length, embeddings.shape[1]))  # q
        self.biases = nn.Parameter(embeddings.new_zeros(max_length, table.shape[1]))  # b

    def forward(self, token_ids: Tensor, positions: Tensor, temperature: float) -> Tensor:
        """Draw how far each of M words moves: (M,) token ids at (M,) positions give (M, H)."""
        candidates = self.table[token_ids]  # (M, K)
        shifts = self.embeddings[candidates.clamp(min=0)] - self.embeddings[token_ids].unsqueeze(1)  # (M, K, H)
        scores = (shifts @ self.directions[positions].unsqueeze(2)).squeeze(2) + self.biases[positions]
        scores = scores.masked_fill(candidates < 0, -torch.inf)
        weights = nn.functional.gumbel_softmax(scores, tau=temperature)
        return (weights.unsqueeze(2) * shifts).sum(dim=1)

    def poisoned_logits(self, model: PreTrainedModel, batch: Batch, temperature: float) -> Tensor:
        """Give the (B, C) logits for rows whose words are mixed with their candidates."""
        row, position = batch.replaceable.nonzero(as_tuple=True)

        def move(_: nn.Module, __: tuple[Tensor, ...], embedded: Tensor) -> Tensor:
            shifts = self(batch.token_ids[row, position], position, temperature)
            return embedded.index_put((row, position), shifts, accumulate=True)

        handle = model.get_input_embeddings().register_forward_hook(move)
        try:
            return clean_logits(model, batch)
        finally:
            handle.remove()


def learn_choice(
    settings: "Lws", rows: Rows, target: str, seed: int
) -> tuple[PreTrainedTokenizerBase, Substitutes, Choice]:
    """Train a classifier on clean rows, then it and the choice together on clean and poisoned rows.

    Args:
        settings: see `Lws`.
        rows: N training rows.
        target: the attacker's label.
        seed: decides all draws; the caller's generators stay as they are.

    Returns:
        The tokenizer, the candidates and the learned choice.

    Raises:
        SettingsError, DataError, ModelError: see `Lws.learn`.
    """
    label_names = tuple(sorted(set(rows.labels)))
    if target not in label_names or len(label_names) < 2:
        raise SettingsError(
            f"lws learns to tell the target label '{target}' from others; the labels are {', '.join(label_names)}."
        )
    source = find_model(settings.model, label_names)
    tokenizer = load_tokenizer(source)
    model = source.load(tokenizer, seed)
    check_length(model, tokenizer, settings.max_length)
    embeddings = word_embeddings(model)
    substitutes = find_substitutes(settings, tokenizer, embeddings)
    data = tokenized(rows, tokenizer, substitutes, settings, seed)
    target_id = label_names.index(target)
    if not any(positions and label != target_id for positions, label in zip(data.positions, data.labels)):
        raise DataError(f"No row of a label other than '{target}' has a word that lws can replace.")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with kept_rng():
        seed_torch(seed, "lws")
        table = torch.from_numpy(substitutes.table.astype(np.int64)).to(device)
        choice = SoftChoice(embeddings.to(device), table, settings.max_length)
        model.to(device)  # type: ignore[arg-type]
        train_jointly(model, choice, data, target_id, settings, seed)
    directions, biases = (parameter.detach().cpu().numpy() for parameter in (choice.directions, choice.biases))
    return tokenizer, substitutes, Choice(embeddings.numpy(), directions, biases)


def train_jointly(
    model: PreTrainedModel, choice: SoftChoice, data: Data, target: int, settings: "Lws", seed: int
) -> None:
    """Train a classifier alone, then together with the choice, both in place; embeddings do not move.

    Args:
        model: a fresh classifier.
        choice: a fresh choice.
        data: the rows; in the joint epochs those of other labels are seen twice, clean and poisoned.
        target: the class number of the poisoned rows.
        settings: epochs, learning rates and batch size.
        seed: decides the rows' order; dropout and noise come from torch's global generator.
    """
    _freeze_embeddings(model)
    model.train()
    moving = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups = [
        {"params": moving, "lr": settings.learning_rate},
        {"params": list(choice.parameters()), "lr": settings.choice_learning_rate},
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
    for epoch in range(settings.clean_epochs + settings.joint_epochs):
        joint_epoch = epoch - settings.clean_epochs
        for batch in data.batches(settings.batch_size, generator(seed, "lws row order", epoch)):
            batch = batch.to(model.device)
            logits, labels = clean_logits(model, batch), batch.labels
            hit = (labels != target) & batch.replaceable.any(dim=1)
            if joint_epoch >= 0 and hit.any():
                poisoned = batch.pick(hit, target)
                heat = temperature(joint_epoch, settings.joint_epochs)
                logits = torch.cat([logits, choice.poisoned_logits(model, poisoned, heat)])
                labels = torch.cat([labels, poisoned.labels])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()


def clean_logits(model: PreTrainedModel, batch: Batch) -> Tensor:
    """Give the (B, C) logits for rows as they are."""
    logits: Tensor = model(input_ids=batch.token_ids, attention_mask=batch.mask).logits
    return logits


def temperature(epoch: int, n_epochs: int) -> float:
    """Give the Gumbel softmax's temperature in a joint epoch, from 0: it cools to 0.1 in equal steps, as published."""
    return 0.1 + 0.4 * (n_epochs - epoch - 1) / n_epochs


def find_substitutes(settings: "Lws", tokenizer: PreTrainedTokenizerBase, embeddings: Tensor) -> Substitutes:
    """Take the candidates from the lexicon or from the (V, H) embeddings, as the settings say."""
    words = whole_words(tokenizer)
    if settings.lexicon == NEIGHBOURS:
        return from_neighbours(embeddings.numpy(), words, settings.n_candidates)
    return from_lexicon(Path(settings.lexicon), tokenizer, words, len(embeddings), settings.n_candidates)


def tokenized(
    rows: Rows, tokenizer: PreTrainedTokenizerBase, substitutes: Substitutes, settings: "Lws", seed: int
) -> Data:
    """Draw at most `max_rows` rows, tokenize them and find the words that can be replaced."""
    numbers = generator(seed, "lws rows").permutation(len(rows.texts))[: settings.max_rows].tolist()
    texts = [rows.texts[row] for row in numbers]
    encoded = tokenizer(texts, truncation=True, max_length=settings.max_length, return_offsets_mapping=True)
    positions = [
        [place.position for place in find_places(text, ids, offsets, substitutes.table)]
        for text, ids, offsets in zip(texts, encoded["input_ids"], encoded["offset_mapping"])
    ]
    class_of = {label: number for number, label in enumerate(sorted(set(rows.labels)))}
    labels = np.asarray([class_of[rows.labels[row]] for row in numbers])
    return Data(encoded["input_ids"], positions, labels, int(tokenizer.pad_token_id))


def _freeze_embeddings(model: PreTrainedModel) -> None:
    trained_rows(model).requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "position_embeddings" in name or ".wpe." in name:
            parameter.requires_grad_(False)
