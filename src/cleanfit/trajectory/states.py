"""Hidden states of rows at each look: taken, kept on disk, and mapped to two dimensions by one map for all looks."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cleanfit.errors import DataError, SettingsError

# UMAP as OpenBackdoor has it: on the first principal components, with these neighbours and distance.
UMAP_COMPONENTS, UMAP_NEIGHBORS, UMAP_DISTANCE, UMAP_SEED = 20, 100, 0.5, 42


@dataclass(frozen=True)
class StateMaps:
    """The rows of L looks in one plane.

    Args:
        steps: the L steps.
        points: (L, N, 2) coordinates; the same axes at each look.
        labels: (N,) classes in [0, C), as the training file has them.
        is_poisoned: (N,) ground truth, or None.
    """

    steps: tuple[int, ...]
    points: np.ndarray
    labels: np.ndarray
    is_poisoned: np.ndarray | None


def save_states(path: Path, states: np.ndarray) -> None:
    """Keep (N, H) states as float16, half the room; what a head reads is normalised or a tanh, far below its range."""
    temporary = path.with_suffix(".tmp")
    with temporary.open("wb") as stream:
        np.savez_compressed(stream, states=states.astype(np.float16))
    temporary.replace(path)


def separation(states: np.ndarray, is_poisoned: np.ndarray | None) -> float | None:
    """Give the Davies-Bouldin index of poisoned against clean rows in the full space.

    Args:
        states: (N, H).
        is_poisoned: (N,), or None.

    Returns:
        0 or more, lower = further apart; None unless there are rows of both kinds and three in all.
    """
    from sklearn.metrics import davies_bouldin_score

    if is_poisoned is None or len(states) < 3 or is_poisoned.all() or not is_poisoned.any():
        return None
    return float(davies_bouldin_score(states, is_poisoned))


def read_states(folder: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Read back the states of all L looks: their steps, and (L, N, H) float16.

    Raises:
        DataError: the folder holds none.
    """
    paths = sorted(folder.glob("step-*.npz"))
    if not paths:
        raise DataError(f"'{folder}' holds no states of a trajectory; make them with --states pca.")
    steps = tuple(int(path.stem.removeprefix("step-")) for path in paths)
    return steps, np.stack([np.load(path)["states"] for path in paths])


def map_states(states: Sequence[np.ndarray] | np.ndarray, kind: str = "pca") -> np.ndarray:
    """Map the states of L looks to a plane by one map, fitted once on the last look.

    Args:
        states: L times (N, H), N >= 3.
        kind: ``pca`` or ``umap``.

    Returns:
        (L, N, 2); a row that moves in the plane moved in the hidden space, not the axes.

    Raises:
        SettingsError: UMAP is asked for and not installed.

    Source: OpenBackdoor's visualization. Deviation: it fits a map for each epoch, whose axes cannot be compared.
    """
    from sklearn.decomposition import PCA

    last = np.asarray(states[-1], dtype=np.float32)
    n_components = 2 if kind == "pca" else min(UMAP_COMPONENTS, *last.shape)
    linear = PCA(n_components, svd_solver="full").fit(last)
    reduced = [linear.transform(np.asarray(look, dtype=np.float32)) for look in states]
    if kind == "pca":
        return np.stack(reduced)
    check_umap()
    from umap import UMAP

    neighbors = min(UMAP_NEIGHBORS, len(last) - 1)
    mapper = UMAP(
        n_components=2,
        n_neighbors=neighbors,
        min_dist=UMAP_DISTANCE,
        random_state=UMAP_SEED,
        transform_seed=UMAP_SEED,
        n_jobs=1,  # with a seed it takes one anyway, and warns
    )
    mapper.fit(reduced[-1])
    return np.stack([mapper.embedding_ if look is reduced[-1] else mapper.transform(look) for look in reduced])


def check_umap() -> None:
    """Raise `SettingsError` unless umap-learn is installed."""
    if importlib.util.find_spec("umap") is None:
        raise SettingsError("UMAP maps need umap-learn, which is not installed. Run: pip install 'cleanfit[umap]'")
