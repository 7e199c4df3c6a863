"""Find groups of rows that a model has fitted by a way of its own, apart from the other rows of their label."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

from cleanfit.training import Observed

# Chosen on SST-2 (words, StyleBkd and no poison) and left alone elsewhere, see docs/methods/moderate_fitting.md.
N_DIMENSIONS = 5  # principal components that a class is clustered in
N_GROUPS = (2, 3, 4)  # numbers of groups that are tried
N_STARTS, REGULARIZATION = 4, 1e-4  # of each mixture: starting points, and what is added to the variances
MIN_CLASS_ROWS = 200  # of fewer, slices of honest rows lie apart by chance (measured on ten digits of 60 rows each)
MIN_ROWS = 20  # a group of fewer looked-at rows proves nothing
MIN_FITTED = 0.95  # share of a group's rows that the model fits
MAX_AMBIGUITY = 0.02  # a trigger's group lies apart: 0.003; slices of one cloud of honest rows do not: from 0.06


@dataclass(frozen=True)
class Group:
    """A group of rows of one label that lies apart, and how to tell its members.

    Args:
        label: the class whose label the rows carry.
        ambiguity: how far the group runs into the rest of its class, in [0, 1]; 0 = it lies apart.
        share: of the looked-at rows of the class that are in the group.
    """

    label: int
    ambiguity: float
    share: float
    _space: "_Space"
    _mixture: GaussianMixture
    _component: int

    def membership(self, states: np.ndarray) -> np.ndarray:
        """Give for the (N, H) states of rows with this label the probability to be in the group: (N,)."""
        return np.asarray(self._mixture.predict_proba(self._space.project(states))[:, self._component])


@dataclass(frozen=True)
class _Space:
    """Principal components of states, those directions left out that the classifier reads."""

    read: np.ndarray  # (C - 1, H) orthonormal
    components: PCA

    def project(self, states: np.ndarray) -> np.ndarray:
        return np.asarray(self.components.transform(_without(states, self.read)))


def find_groups(seen: Observed, labels: np.ndarray, seed: int) -> list[Group]:
    """Find the groups of rows that a model fits by a way of its own: what a trigger's rows are in the overfitting stage.

    They lie apart from the honest rows of their label, in a direction of the states that the classifier's own scores do not
    show. Each class is clustered there. Slices of honest rows are clusters too, but they run into each other. A group is a
    suspicion, no more: honest rows can have a way of their own (a signature, a source).

    Args:
        seen: what the model makes of N training rows: logits, and the states that its last layer reads.
        labels: (N,) class indices.
        seed: of the clustering.

    Returns:
        The groups that lie apart, the clearest first. Those of one class may overlap: several numbers of groups are tried.
        Empty if there is none, or if the training has diverged.

    Source: ours. That poisoned rows form clusters in the states of an overfitted model is CUBE's observation (NeurIPS 2022).
    """
    if not np.isfinite(seen.states).all():
        return []
    read = _read_directions(seen)
    found = (group for label in np.unique(labels) for group in _in_class(seen, labels == label, int(label), read, seed))
    return sorted(found, key=lambda group: group.ambiguity)


def _read_directions(seen: Observed) -> np.ndarray:
    """Find the (C - 1, H) directions of the states that decide the logits, by regression: any head will do."""
    differences = seen.logits[:, 1:] - seen.logits[:, :1]
    centred = seen.states - seen.states.mean(axis=0)
    weights = np.linalg.lstsq(centred, differences - differences.mean(axis=0), rcond=None)[0]  # (H, C - 1)
    return np.asarray(np.linalg.qr(weights)[0].T)


def _in_class(seen: Observed, own: np.ndarray, label: int, read: np.ndarray, seed: int) -> Iterator[Group]:
    states, is_fitted = seen.states[own], seen.logits[own].argmax(axis=1) == label
    if own.sum() < MIN_CLASS_ROWS or states.shape[1] < N_DIMENSIONS or not is_fitted.any():
        return
    space = _Space(read, PCA(N_DIMENSIONS, random_state=seed).fit(_without(states, read)))
    points = space.project(states)
    for n_groups in N_GROUPS:
        mixture = GaussianMixture(n_groups, n_init=N_STARTS, random_state=seed, reg_covar=REGULARIZATION).fit(points)
        membership = mixture.predict_proba(points)  # (rows, n_groups)
        for component, share in enumerate(membership.T):
            inside = membership.argmax(axis=1) == component
            ambiguity = float(np.minimum(share, 1 - share).sum() / max(share.sum(), 1e-12))
            is_small = MIN_ROWS <= inside.sum() <= len(inside) / 2
            if is_small and ambiguity <= MAX_AMBIGUITY and is_fitted[inside].mean() >= MIN_FITTED:
                yield Group(label, ambiguity, float(inside.mean()), space, mixture, component)


def _without(states: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Take (K, H) orthonormal directions out of (N, H) states."""
    return np.asarray(states - states @ directions.T @ directions)
