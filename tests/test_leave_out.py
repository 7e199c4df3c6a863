"""What a model would predict without a group of rows is what one predicts that was made without them."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from cleanfit.detectors import leave_out
from cleanfit.detectors.leave_out import LeaveOut

N_CLASSES = 3


@pytest.fixture
def data() -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(0)
    labels = draw.choice(N_CLASSES, size=120, p=[0.6, 0.3, 0.1])
    return draw.normal(size=(120, 8)) + 0.7 * np.eye(8)[labels], labels


def made_again(features: np.ndarray, labels: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Make a weighted ridge regression without the group, with weights as of all rows, and predict the group."""
    weights = len(labels) / (N_CLASSES * np.bincount(labels))[labels]
    rest = np.setdiff1d(np.arange(len(labels)), group)
    model = Ridge(alpha=leave_out.RIDGE).fit(features[rest], np.eye(N_CLASSES)[labels[rest]], weights[rest])
    return np.asarray(model.predict(features[group]).argmax(axis=1))


def test_a_group_is_predicted_as_by_a_model_made_without_it(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    model = LeaveOut(features, labels, N_CLASSES)
    draw = np.random.default_rng(1)
    with_it = model.predicted(np.array([], dtype=int))
    assert with_it.shape == (0,)
    for n in (1, 5, 30, 80):
        group = draw.permutation(len(labels))[:n]
        assert model.predicted(group).tolist() == made_again(features, labels, group).tolist()


def test_each_row_alone_is_predicted_as_by_a_model_made_without_it(data: tuple[np.ndarray, np.ndarray]) -> None:
    features, labels = data
    expected = [made_again(features, labels, np.array([i]))[0] for i in range(len(labels))]
    assert LeaveOut(features, labels, N_CLASSES).predicted_alone().tolist() == expected
    fitted = Ridge(alpha=leave_out.RIDGE).fit(features, np.eye(N_CLASSES)[labels]).predict(features).argmax(axis=1)
    assert expected != fitted.tolist(), "leaving rows out would show nothing here"
