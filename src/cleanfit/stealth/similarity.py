"""Sentence embeddings of texts: the mean of an encoder's last hidden states over the real tokens, of length 1."""

from collections.abc import Sequence

import numpy as np
import torch
from tqdm import tqdm
from transformers import AutoModel

from cleanfit.stealth.loading import Reader, batches, load_reader


def load_encoder(name: str, max_length: int, device: str) -> Reader:
    """Load an encoder.

    Raises:
        ModelError: it cannot be loaded.
    """
    return load_reader(name, AutoModel, "an encoder", max_length, device)


def embed(reader: Reader, texts: Sequence[str], batch_size: int) -> tuple[np.ndarray, int]:
    """Embed each text, as sentence-transformers does with mean pooling; special tokens count, padding does not.

    Args:
        reader: an encoder.
        texts: N texts.
        batch_size: rows at once; changes nothing but the speed.

    Returns:
        (N, H) embeddings of L2 norm 1, and how many texts were cut.
    """
    tokenizer = reader.tokenizer
    lengths = [len(ids) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]
    n_cut = sum(length > reader.max_length for length in lengths)
    vectors = np.empty((len(lengths), reader.model.config.hidden_size))
    with tqdm(total=len(lengths), desc="similarity", unit="text", disable=None, leave=False) as bar:
        for batch in batches([min(length, reader.max_length) for length in lengths], batch_size):
            part = [texts[index] for index in batch]
            inputs = tokenizer(
                part, padding=True, truncation=True, max_length=reader.max_length, return_tensors="pt"
            ).to(reader.device)
            with torch.inference_mode():
                hidden = reader.model(**inputs).last_hidden_state.double()  # (B, T, H)
            is_real = inputs["attention_mask"].unsqueeze(-1)  # (B, T, 1)
            mean = (hidden * is_real).sum(dim=1) / is_real.sum(dim=1)
            vectors[batch] = torch.nn.functional.normalize(mean, dim=1).cpu().numpy()
            bar.update(len(batch))
    return vectors, n_cut
