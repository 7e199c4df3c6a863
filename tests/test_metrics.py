"""The scores against values counted by hand."""

import math

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from cleanfit.errors import DataError
from cleanfit.metrics import (
    clean_accuracy,
    label_flip_rate,
    macro_f1,
    mean_interval,
    net_attack_success_rate,
    per_class,
    row_detection,
    target_rate,
    token_detection,
)
from cleanfit.scores import ClassScore, PieceRanks, RowDetection, SeedMean

# Predictions: 0, 1, 1, 2, 0.
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3], [0.0, 0.1, 0.9], [0.4, 0.3, 0.3]])


@pytest.mark.parametrize(
    ("labels", "expected"), [([0, 1, 1, 2, 0], 1.0), ([1, 0, 0, 0, 1], 0.0), ([0, 1, 2, 2, 1], 0.6)]
)
def test_clean_accuracy_is_the_share_predicted_as_labelled(labels: list[int], expected: float) -> None:
    assert clean_accuracy(PROBABILITIES, np.array(labels)) == pytest.approx(expected)


def test_rows_of_the_target_class_do_not_count_towards_attack_success() -> None:
    # Rows 0, 3 and 4 are of other classes and none is predicted 1; rows 1 and 2 are, but have the target label.
    assert target_rate(PROBABILITIES, np.array([0, 1, 1, 2, 0]), target=1) == 0.0


def test_attack_success_is_the_share_of_other_rows_predicted_as_the_target() -> None:
    # Rows 0, 1, 2, 3 are of other classes; rows 1 and 2 are predicted 1.
    assert target_rate(PROBABILITIES, np.array([0, 0, 2, 2, 1]), target=1) == 0.5


def test_a_wrong_prediction_that_is_not_the_target_is_no_success() -> None:
    assert target_rate(PROBABILITIES, np.array([1, 2, 0, 0, 1]), target=0) == pytest.approx(2 / 3)


def test_attack_success_without_rows_of_other_labels_is_refused() -> None:
    with pytest.raises(DataError, match="All 5 rows have the target label"):
        target_rate(PROBABILITIES, np.ones(5, dtype=int), target=1)


def test_label_flips_count_wrong_predictions_of_every_kind_in_rows_of_other_labels() -> None:
    # Rows 0, 2, 3, 4 are not of class 1: row 0 stays 0, row 2 becomes 1, row 3 stays 2, row 4 becomes 0.
    labels = np.array([0, 1, 2, 2, 2])
    assert label_flip_rate(PROBABILITIES, labels, target=1) == 0.5
    assert target_rate(PROBABILITIES, labels, target=1) == 0.25
    with pytest.raises(DataError, match="All 5 rows have the target label"):
        label_flip_rate(PROBABILITIES, np.ones(5, dtype=int), target=1)


def test_net_attack_success_is_what_is_left_after_the_baseline() -> None:
    assert net_attack_success_rate(0.75, 0.25) == 0.5


def test_each_class_has_its_own_scores_under_its_name() -> None:
    labels = np.array([0, 1, 2, 2, 1])
    scores = per_class(PROBABILITIES, labels, ("calm", "glad", "sad"))
    assert list(scores) == ["calm", "glad", "sad"]
    assert scores["calm"] == ClassScore(0.5, 1.0, pytest.approx(2 / 3), 1)
    assert scores["glad"] == ClassScore(0.5, 0.5, 0.5, 2)
    assert scores["sad"] == ClassScore(1.0, 0.5, pytest.approx(2 / 3), 2)
    assert macro_f1(PROBABILITIES, labels) == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)


def test_a_class_that_is_never_predicted_has_no_precision_and_one_that_never_occurs_no_recall() -> None:
    scores = per_class(PROBABILITIES[[0, 1]], np.array([0, 2]), ("calm", "glad", "sad"))
    assert scores["sad"] == ClassScore(None, 0.0, 0.0, 1)
    assert scores["glad"] == ClassScore(0.0, None, 0.0, 0)


def test_a_class_without_rows_and_predictions_is_left_out_of_the_mean_f1() -> None:
    probabilities, labels = PROBABILITIES[[0, 1, 4]], np.array([0, 1, 1])
    assert per_class(probabilities, labels, ("calm", "glad", "sad"))["sad"] == ClassScore(None, None, None, 0)
    assert macro_f1(probabilities, labels) == pytest.approx(2 / 3)  # 2/3 and 2/3, and not a third 0


def test_the_interval_over_seeds_is_students() -> None:
    found = mean_interval([0.8, 0.9, 1.0])
    assert (found.mean, found.n) == (pytest.approx(0.9), 3)
    assert found.interval is not None
    half = 4.302653 * 0.1 / math.sqrt(3)  # t(0.975, 2) from a printed table
    assert found.interval == pytest.approx((0.9 - half, 0.9 + half), abs=1e-6)


def test_one_seed_has_no_interval_and_none_has_no_mean() -> None:
    assert mean_interval([0.25]) == SeedMean(0.25, None, 1)
    with pytest.raises(DataError, match="no value"):
        mean_interval([])


def detect(is_poisoned: list[int], is_flagged: list[int], scores: list[float]) -> RowDetection:
    return row_detection(np.array(is_poisoned, dtype=bool), np.array(is_flagged, dtype=bool), np.array(scores))


def test_row_detection_is_as_counted_by_hand() -> None:
    # Poisoned rows first: flagged, flagged, missed; of the five clean ones one is flagged.
    found = detect([1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0], [0.9, 0.8, 0.2, 0.85, 0.1, 0.1, 0.3, 0.0])
    assert (found.n_rows, found.n_poisoned, found.n_flagged, found.prevalence) == (8, 3, 3, 3 / 8)
    assert (found.precision, found.recall, found.f1) == (2 / 3, 2 / 3, 2 / 3)
    assert (found.false_acceptance_rate, found.false_rejection_rate) == (1 / 3, 1 / 5)
    # Of the 15 pairs the poisoned row is ahead in 5 + 4 + 3.
    assert found.auroc == pytest.approx(12 / 15)
    # Ranks of the poisoned rows are 1, 3 and 5: precision there is 1, 2/3 and 3/5.
    assert found.auprc == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    # Only the row ahead of every clean one can be found without flagging any.
    assert found.tpr_at_1_percent_fpr == found.tpr_at_5_percent_fpr == 1 / 3


def test_ranking_scores_agree_with_going_through_all_pairs_and_thresholds() -> None:
    random = np.random.default_rng(0)
    for _ in range(10):
        truth = random.random(400) < 0.2
        scores = np.round(random.random(400) + 0.4 * truth, 2)  # rounded, so that there are ties
        flagged = scores > 0.9
        found = row_detection(truth, flagged, scores)
        ahead = scores[truth][:, None] - scores[~truth][None, :]
        assert found.auroc == pytest.approx(((ahead > 0) + 0.5 * (ahead == 0)).mean())
        above = [scores >= threshold for threshold in [9.0, *np.unique(scores)[::-1]]]
        recalls, precisions = ([taken[truth].mean() for taken in above], [truth[taken].mean() for taken in above[1:]])
        assert found.auprc == pytest.approx(np.diff(recalls) @ precisions)
        for limit, value in ((0.01, found.tpr_at_1_percent_fpr), (0.05, found.tpr_at_5_percent_fpr)):
            assert value == pytest.approx(max(taken[truth].mean() for taken in above if taken[~truth].mean() <= limit))
        precision, recall, f1, _ = precision_recall_fscore_support(truth, flagged, average="binary")
        assert (found.precision, found.recall, found.f1) == pytest.approx((precision, recall, f1))


def test_macro_f1_agrees_with_the_scores_of_the_classes() -> None:
    random = np.random.default_rng(1)
    probabilities, labels = random.random((200, 4)), random.integers(0, 4, 200)
    scores = per_class(probabilities, labels, "abcd")
    assert macro_f1(probabilities, labels) == pytest.approx(np.mean([score.f1 for score in scores.values()]))
    predicted = probabilities.argmax(axis=1)
    for index, name in enumerate("abcd"):
        hits = ((predicted == index) & (labels == index)).sum()
        assert scores[name].f1 == pytest.approx(2 * hits / ((predicted == index).sum() + (labels == index).sum()))


def test_a_limit_on_false_positives_includes_the_limit_itself() -> None:
    # 100 clean rows, one of them ahead of the single poisoned row: flagging it costs exactly 1 %.
    found = detect([1] + [0] * 100, [0] * 101, [0.5, 0.9] + [0.1] * 99)
    assert found.tpr_at_1_percent_fpr == 1.0
    found = detect([1] + [0] * 99, [0] * 100, [0.5, 0.9] + [0.1] * 98)  # 1 of 99 is more than 1 %
    assert (found.tpr_at_1_percent_fpr, found.tpr_at_5_percent_fpr) == (0.0, 1.0)


def test_without_flagged_rows_precision_is_unknown_and_recall_is_zero() -> None:
    found = detect([1, 0, 0, 0], [0, 0, 0, 0], [0.9, 0.1, 0.1, 0.1])
    assert (found.precision, found.recall, found.f1, found.auroc) == (None, 0.0, 0.0, 1.0)
    assert (found.false_acceptance_rate, found.false_rejection_rate) == (1.0, 0.0)


def test_without_poisoned_rows_only_the_clean_ones_can_be_scored() -> None:
    found = detect([0, 0, 0, 0], [1, 0, 0, 0], [0.9, 0.1, 0.1, 0.1])
    assert (found.precision, found.recall, found.f1) == (0.0, None, 0.0)
    assert (found.false_acceptance_rate, found.false_rejection_rate) == (None, 0.25)
    assert (found.auroc, found.auprc, found.tpr_at_1_percent_fpr, found.tpr_at_5_percent_fpr) == (None,) * 4
    assert detect([0, 0], [0, 0], [0.9, 0.1]).f1 is None


def test_without_clean_rows_no_ranking_can_be_scored() -> None:
    found = detect([1, 1], [1, 0], [0.9, 0.1])
    assert (found.precision, found.recall, found.false_rejection_rate) == (1.0, 0.5, None)
    assert (found.auroc, found.auprc, found.tpr_at_1_percent_fpr, found.tpr_at_5_percent_fpr) == (None,) * 4


def test_scores_that_are_all_equal_rank_as_well_as_chance() -> None:
    found = detect([1, 0, 0, 0], [0, 0, 0, 0], [0.5] * 4)
    assert (found.auroc, found.auprc) == (0.5, 0.25)
    assert (found.tpr_at_1_percent_fpr, found.tpr_at_5_percent_fpr) == (0.0, 0.0)


def test_token_detection_is_as_counted_by_hand() -> None:
    ranks = {"round1": {7: 4, 8: 1, 9: 2, 30: 3}, "round3": {7: 1, 30: 2}, "round2": {30: 1}}
    found = token_detection({7, 8, 30, 31}, {7, 8, 9}, ranks)
    assert (found.n_trigger_tokens, found.n_suspicious, found.n_found) == (3, 4, 2)
    assert (found.precision, found.recall) == (0.5, 2 / 3)
    assert found.ranks["round1"] == PieceRanks(1, 4)
    assert found.ranks["round3"] == PieceRanks(1, None)  # 8 and 9 are behind all that is listed
    assert found.ranks["round2"] == PieceRanks(None, None)


def test_token_detection_of_nothing_is_unknown_and_not_zero() -> None:
    assert token_detection(set(), {7}, {}).precision is None
    assert token_detection(set(), {7}, {}).recall == 0.0
    found = token_detection({7}, set(), {"round1": {7: 1}})
    assert (found.precision, found.recall, found.ranks["round1"]) == (0.0, None, PieceRanks(None, None))
