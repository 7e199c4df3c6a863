"""What a linear model would predict for a group of rows had it never seen them, for one group after the other."""

import numpy as np

RIDGE = 0.1  # on features of length 1; the intercept is not held back
INTERCEPT_RIDGE = 1e-6


class LeaveOut:
    """A ridge regression on labels, made once, that predicts any group of its rows as if made without the group.

    Not an approximation: with H the matrix that takes targets to fitted values, what a model made without the rows g predicts
    for them is (I - H_gg)^-1 (fitted_g - H_gg targets_g). Hundreds of groups cost what one logistic regression does.

    Args:
        features: (n, H).
        labels: (n,) classes in [0, C).
        n_classes: C. Each class weighs the same.
    """

    def __init__(self, features: np.ndarray, labels: np.ndarray, n_classes: int) -> None:
        counts = np.bincount(labels, minlength=n_classes)
        weights = np.sqrt(len(labels) / (n_classes * np.maximum(counts, 1)))[labels, None]
        self._rows = weights * np.hstack([features, np.ones((len(features), 1))]).astype(np.float64)
        self._targets = weights * (2.0 * np.eye(n_classes)[labels] - 1)
        ridge = np.diag([*np.full(features.shape[1], RIDGE), INTERCEPT_RIDGE])
        self._hat = np.linalg.solve(self._rows.T @ self._rows + ridge, self._rows.T).T  # (n, H + 1)
        self._fitted = self._rows @ (self._hat.T @ self._targets)

    def predicted(self, group: np.ndarray) -> np.ndarray:
        """Predict the classes of the rows of a group, indices in [0, n), by a model made without them."""
        within = self._hat[group] @ self._rows[group].T
        unfitted = self._fitted[group] - within @ self._targets[group]
        return np.asarray(np.linalg.solve(np.eye(len(group)) - within, unfitted).argmax(axis=1))

    def predicted_alone(self) -> np.ndarray:
        """Predict each of the n rows by a model made without it alone."""
        own = (self._hat * self._rows).sum(axis=1, keepdims=True)
        return np.asarray(((self._fitted - own * self._targets) / (1 - own)).argmax(axis=1))
