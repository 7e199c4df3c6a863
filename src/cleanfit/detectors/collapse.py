"""Find the rows that a model came to together, against what it had learned before: the sign that overfitting has begun."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

# Chosen on SST-2 and left alone elsewhere, see docs/methods/moderate_fitting.md.
N_DIMENSIONS = 5  # principal components that a class is clustered in
N_GROUPS = (2, 3, 4)  # numbers of groups that are tried
MIN_CLASS_ROWS = 200  # of fewer, slices of honest rows lie apart by chance (measured on ten digits of 60 rows each)
MIN_ROWS = 20  # a group of fewer looked-at rows proves nothing
MAX_AMBIGUITY = 0.02  # a trigger's group lies apart: 0.003; slices of one cloud of honest rows do not: from 0.06
MIN_CONTRAST = 0.1  # share of rows by which a group must have been contradicted more often than its like
MIN_Z = 4.0  # standard errors by which it must
MIN_FITTED = 0.95  # share of a group's rows that the model fits in the end, or it did not collapse
N_STARTS, REGULARIZATION = 4, 1e-4  # of each mixture: starting points, and what is added to the variances
N_ALIKE = 10  # rows fitted about as well, that each row of a group is compared with


@dataclass(frozen=True)
class Looks:
    """What was seen of some training rows while a model was trained.

    Args:
        logits: (L, N, C) at each look.
        states: (L, N, H) what the classifier's last layer read.
        labels: (N,) class indices.
    """

    logits: np.ndarray
    states: np.ndarray
    labels: np.ndarray

    @property
    def margins(self) -> np.ndarray:
        """(L, N) logit of a row's own label less the highest other one."""
        rows = np.arange(len(self.labels))
        others = self.logits.copy()
        others[:, rows, self.labels] = -np.inf
        return np.asarray(self.logits[:, rows, self.labels] - others.max(axis=2))

    def until(self, look: int) -> "Looks":
        """Give the looks up to and with one."""
        return Looks(self.logits[: look + 1], self.states[: look + 1], self.labels)


@dataclass(frozen=True)
class Collapse:
    """A group of rows of one label that fell together, and how to tell its members.

    Args:
        label: the class whose label the rows carry.
        late: index of the look at which the group is fitted and lies apart.
        look: index of the earlier look at which it stood out most.
        contradicted: share of the group whose label the model denied at that look.
        alike: the same share among rows of the class that end up fitted as well.
        z: standard errors between the two.
        ambiguity: how far the group runs into the rest of its class, in [0, 1]; 0 = it lies apart.
        share: of the looked-at rows of the class that are in the group.
    """

    label: int
    late: int
    look: int
    contradicted: float
    alike: float
    z: float
    ambiguity: float
    share: float
    _space: "_Space"
    _mixture: GaussianMixture
    _group: int

    def membership(self, states: np.ndarray) -> np.ndarray:
        """Give for the (N, H) states of rows with this label, at look `late`, the probability to be in the group: (N,)."""
        return np.asarray(self._mixture.predict_proba(self._space.project(states))[:, self._group])


@dataclass(frozen=True)
class _Space:
    """Principal components of states, those directions left out that the classifier reads."""

    read: np.ndarray  # (C - 1, H) orthonormal
    components: PCA

    def project(self, states: np.ndarray) -> np.ndarray:
        return np.asarray(self.components.transform(_without(states, self.read)))


def find_collapses(looks: Looks, seed: int) -> list[Collapse]:
    """Find the groups of rows that were learned late and together, although the model had contradicted them.

    In the overfitting stage the rows of a trigger lie apart from the honest rows of their label, in a direction of the
    states that the classifier's own scores do not show. Each class is clustered there. Slices of honest rows are groups
    too, but they run into each other, and early in the training the model has denied their label no more often than that
    of other rows which end up fitted as well.

    Args:
        looks: what was seen, in time order.
        seed: of the clustering.

    Returns:
        At most one group per class, the surest first, all as of the latest look at which there is any: a model that is
        trained for very long forgets what kept them apart. Empty if there is none.

    Source: ours. That poisoned rows form clusters in the states of an overfitted model is CUBE's observation (NeurIPS
    2022), that they contradict what a moderately fitted model has learned is Moderate-fitting's (NeurIPS 2022).
    """
    for late in range(len(looks.logits) - 1, 1, -1):
        seen = looks.until(late)
        read = _read_directions(seen)
        classes = (list(_in_class(seen, int(label), read, seed)) for label in np.unique(looks.labels))
        found = [max(groups, key=lambda group: group.z) for groups in classes if groups]
        if found:
            return sorted(found, key=lambda group: -group.z)
    return []


def _read_directions(looks: Looks) -> np.ndarray:
    """Find the (C - 1, H) directions of the last states that decide the logits, by regression: any head will do."""
    logits, states = looks.logits[-1], looks.states[-1]
    differences = logits[:, 1:] - logits[:, :1]
    centred = states - states.mean(axis=0)
    weights = np.linalg.lstsq(centred, differences - differences.mean(axis=0))[0]  # (H, C - 1)
    return np.asarray(np.linalg.qr(weights)[0].T)


def _in_class(looks: Looks, label: int, read: np.ndarray, seed: int) -> Iterator[Collapse]:
    own = looks.labels == label
    states, margins = looks.states[-1][own], looks.margins[:, own]
    if own.sum() < MIN_CLASS_ROWS or states.shape[1] < N_DIMENSIONS:
        return
    space = _Space(read, PCA(N_DIMENSIONS, random_state=seed).fit(_without(states, read)))
    points = space.project(states)
    for n_groups in N_GROUPS:
        mixture = GaussianMixture(n_groups, n_init=N_STARTS, random_state=seed, reg_covar=REGULARIZATION).fit(points)
        membership = mixture.predict_proba(points)  # (rows, n_groups)
        for group, share in enumerate(membership.T):
            inside = membership.argmax(axis=1) == group
            ambiguity = float(np.minimum(share, 1 - share).sum() / share.sum())
            if not MIN_ROWS <= inside.sum() <= len(inside) / 2 or ambiguity > MAX_AMBIGUITY:
                continue
            contrast = _contrast(margins, inside)
            if contrast:
                yield Collapse(
                    label, len(margins) - 1, *contrast, ambiguity, float(inside.mean()), space, mixture, group
                )


def _contrast(margins: np.ndarray, inside: np.ndarray) -> tuple[int, float, float, float] | None:
    """Compare a group with rows of its class that end up fitted as well: look, its share, theirs, z; None if unremarkable."""
    late = margins[-1]
    fitted, others = np.flatnonzero(inside & (late > 0)), np.flatnonzero(~inside & (late > 0))
    if len(fitted) < MIN_FITTED * inside.sum() or len(others) < N_ALIKE:
        return None
    others = others[np.argsort(late[others], kind="stable")]
    place = np.searchsorted(late[others], late[fitted]) - N_ALIKE // 2
    alike = others[np.clip(place, 0, len(others) - N_ALIKE)[:, None] + np.arange(N_ALIKE)]  # (fitted, N_ALIKE)
    n, m = len(fitted), len(np.unique(alike))
    best = None
    for look, denied in enumerate(margins[:-1] < 0):
        p, q = denied[fitted].mean(), denied[alike].mean()
        mean = (p * n + q * m) / (n + m)
        error = np.sqrt(mean * (1 - mean) * (1 / n + 1 / m))
        z = float((p - q) / error) if error > 0 else 0.0
        if p - q >= MIN_CONTRAST and z >= MIN_Z and (best is None or z > best[3]):
            best = (look, float(p), float(q), z)
    return best


def _without(states: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Take (K, H) orthonormal directions out of (N, H) states."""
    return np.asarray(states - states @ directions.T @ directions)
