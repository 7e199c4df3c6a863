"""One random generator per concern, derived from (seed, purpose, row id); the only place that seeds torch."""

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np


def derive_seed(seed: int, purpose: str, row_id: int | None = None) -> int:
    """Derive an independent 64-bit seed for one concern of a run.

    Args:
        seed: the user's seed, any integer.
        purpose: what the randomness decides, for example ``"choose rows"``.
        row_id: the row it decides for, if the concern is a single row.

    Returns:
        An integer in [0, 2**63): the same on every machine and Python version, and unrelated between purposes and rows.
    """
    key = f"{seed}\x1f{purpose}\x1f{'' if row_id is None else row_id}"
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") >> 1


def generator(seed: int, purpose: str, row_id: int | None = None) -> np.random.Generator:
    """Make the NumPy generator of one concern (see `derive_seed`), so that a row's draws do not depend on other rows."""
    return np.random.default_rng(derive_seed(seed, purpose, row_id))


def seed_torch(seed: int, purpose: str) -> None:
    """Seed torch's global generators (CPU and accelerators) for one concern; torch's layers draw from nowhere else."""
    import torch

    torch.manual_seed(derive_seed(seed, purpose))


@contextlib.contextmanager
def kept_rng() -> Iterator[None]:
    """Put Python's, NumPy's and torch's global generators back as they were: training here changes no draw of the caller."""
    import torch

    python, legacy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
