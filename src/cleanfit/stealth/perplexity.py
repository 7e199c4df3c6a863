"""Perplexity of texts under a causal language model, over their own tokens only."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm
from transformers import AutoModelForCausalLM

from cleanfit.errors import ModelError
from cleanfit.stealth.loading import Reader, batches, load_reader

# How far a later token may move a logit, as a share of the largest one: rounding moves it by a hundredth of this.
MAX_LEAK = 1e-4


def load_language_model(name: str, max_length: int, device: str) -> Reader:
    """Load a causal language model.

    Raises:
        ModelError: it cannot be loaded, its tokens see the tokens behind them, or no token can start a text.
    """
    reader = load_reader(name, AutoModelForCausalLM, "a causal language model", max_length, device)
    if start_token(reader) is None:
        raise ModelError(
            f"The tokenizer of '{name}' has neither a start-of-text nor an end-of-text token; pass another."
        )
    # transformers also gives BERT a language model's head; its tokens see the ones they would have to predict.
    with torch.inference_mode():
        logits = reader.model(input_ids=torch.tensor([[0, 0], [0, 1]], device=reader.device)).logits
    if (logits[0, 0] - logits[1, 0]).abs().max() > MAX_LEAK * logits.abs().max():
        raise ModelError(
            f"'{name}' is no causal language model: its tokens see those behind them. Pass one, like 'gpt2'."
        )
    return reader


def start_token(reader: Reader) -> int | None:
    """Give the id of the token before the text: start of text, or end of text where there is none, as in GPT-2."""
    first: int | None = reader.tokenizer.bos_token_id
    return reader.tokenizer.eos_token_id if first is None else first


def perplexities(reader: Reader, texts: Sequence[str], batch_size: int) -> tuple[np.ndarray, int]:
    """Measure the perplexity of each text: exp of the mean negative log likelihood of its tokens.

    Args:
        reader: a causal language model.
        texts: N texts.
        batch_size: rows at once; changes nothing but the speed.

    Returns:
        (N,) perplexities >= 1, NaN for a text without any token, and how many texts were cut.

    A start token stands before each text, so that the first token is predicted too and a text of one token is defined;
    padding is neither read nor counted. OpenBackdoor appends an end token to such texts and predicts no first token.
    """
    encoded = reader.tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
    n_cut = sum(len(ids) > reader.max_length - 1 for ids in encoded)
    rows = [torch.tensor([start_token(reader), *ids][: reader.max_length]) for ids in encoded]
    values = np.empty(len(rows))
    lengths = [len(row) for row in rows]
    with tqdm(total=len(rows), desc="perplexity", unit="text", disable=None, leave=False) as bar:
        for batch in batches(lengths, batch_size):
            values[batch] = _batch_perplexities(reader, [rows[index] for index in batch])
            bar.update(len(batch))
    return values, n_cut


def _batch_perplexities(reader: Reader, rows: Sequence[torch.Tensor]) -> np.ndarray:
    ids = pad_sequence(list(rows), batch_first=True).to(reader.device)  # (B, T), padded behind with any id
    is_real = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True).to(reader.device)
    with torch.inference_mode():
        logits = reader.model(input_ids=ids, attention_mask=is_real).logits  # (B, T, V)
        losses = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:], reduction="none")
    real = is_real[:, 1:].cpu().numpy()
    n_tokens = real.sum(axis=1)
    total = (losses.cpu().numpy().astype(np.float64) * real).sum(axis=1)
    mean = np.divide(total, n_tokens, out=np.full(len(rows), np.nan), where=n_tokens > 0)
    return np.asarray(np.exp(mean))
