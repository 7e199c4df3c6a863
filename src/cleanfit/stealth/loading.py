"""Load a language model or an encoder for measuring texts, under the same rules as classifiers, and make its batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cleanfit.errors import ModelError
from cleanfit.models import ModelSource, find_model, load_tokenizer, quiet_loading
from cleanfit.seeding import kept_rng

# A language model gives V logits a token: 4,096 tokens of a vocabulary of 50,000 are 0.8 GB.
MAX_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Reader:
    """A model that reads texts.

    Args:
        source: where it comes from.
        model: in evaluation mode, fp32, on `device`.
        tokenizer: its own.
        max_length: tokens that it reads of a text, special ones included.
        device: where it computes.
    """

    source: ModelSource
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    device: torch.device

    def describe(self, n_cut: int, n_texts: int) -> str:
        """Say which model measured how much of the texts, of which `n_cut` were longer than that."""
        return (
            f"{self.source.name} (sha256 {self.source.sha256[:12]}), at most {self.max_length} tokens a text, special "
            f"ones included; {n_cut} of {n_texts} different texts were cut"
        )


def load_reader(name: str, auto: Any, kind: str, max_length: int, device: str) -> Reader:
    """Load a model by folder or hub name.

    Args:
        name: as in `find_model`.
        auto: the transformers class to load it with, such as ``AutoModel``.
        kind: what that gives, in words.
        max_length: tokens per text; fewer where the model reads fewer.
        device: ``auto`` (an accelerator if there is one) or ``cpu``.

    Returns:
        The model, ready to read.

    Raises:
        ModelError: it cannot be loaded, is of another kind, lacks weights or needs code from its repository.
    """
    source = find_model(name, ())
    tokenizer = load_tokenizer(source)
    try:
        with kept_rng(), quiet_loading():
            model, report = auto.from_pretrained(
                source.folder,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                dtype=torch.float32,
            )
    except Exception as error:  # transformers raises many kinds, with messages over several lines
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"Cannot load {kind} from '{name}': {told}") from error
    # The pooler, which only classifiers use, is often left out of a checkpoint.
    missing = sorted(key for key in report["missing_keys"] if not key.startswith("pooler."))
    if missing:
        raise ModelError(f"'{name}' is not {kind}: it lacks {', '.join(missing[:3])}. Pass one.")
    if model.config.is_encoder_decoder:
        raise ModelError(f"'{name}' reads with an encoder and writes with a decoder; expected {kind}. Pass one.")
    n_rows = model.get_input_embeddings().weight.shape[0]
    if n_rows < len(tokenizer):
        raise ModelError(
            f"'{name}' has {n_rows} embedding rows for {len(tokenizer)} tokens; pass it with its tokenizer."
        )
    limit = min(max_length, tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", max_length))
    chosen = torch.accelerator.current_accelerator() if device != "cpu" and torch.accelerator.is_available() else None
    place = chosen or torch.device("cpu")
    return Reader(source, model.to(place).eval(), tokenizer, int(limit), place)


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[np.ndarray]:
    """Yield the N rows as batches of at most `batch_size` rows and `MAX_BATCH_TOKENS` tokens, the longest rows first."""
    order = np.argsort(-np.asarray(lengths), kind="stable")
    start = 0
    while start < len(order):
        n_rows = max(1, min(batch_size, MAX_BATCH_TOKENS // max(lengths[order[start]], 1)))
        yield order[start : start + n_rows]
        start += n_rows
