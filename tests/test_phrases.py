"""A phrase is cut out of tokenized rows, and as much out of other rows at like places."""

import numpy as np
import pytest

from cleanfit.detectors.phrases import alike, gaps, moved, without


def test_every_place_of_a_phrase_is_a_gap() -> None:
    row = [1, 7, 8, 5, 7, 8, 2]
    assert gaps(row, (7, 8)) == ((1, 3), (4, 6))
    assert gaps(row, (8, 7)) == ()
    assert gaps(row, (8, 2)) == ((5, 7),)


def test_a_row_loses_what_is_in_its_gaps_and_keeps_its_label() -> None:
    row = {"input_ids": [1, 7, 8, 5, 2], "attention_mask": [1] * 5, "length": 5, "label": 3, "text": "a b c"}
    assert without(row, ((1, 3),)) == {"input_ids": [1, 5, 2], "attention_mask": [1] * 3, "length": 3, "label": 3}


@pytest.mark.parametrize(
    ("place", "n_to", "expected"),
    [
        ((1, 4), 20, (1, 4)),  # right behind the first token
        ((6, 9), 20, (16, 19)),  # right before the last one
        ((3, 6), 12, (4, 7)),  # 2 of 5 tokens stand before it; of 7 that is 2.8
        ((6, 9), 4, (1, 3)),  # a row of two words loses both
    ],
)
def test_a_gap_in_another_row_is_as_long_and_as_far_along(
    place: tuple[int, int], n_to: int, expected: tuple[int, int]
) -> None:
    assert moved((place,), 10, n_to) == (expected,)


def test_rows_are_compared_with_others_as_long_and_with_none_twice() -> None:
    assert alike(np.array([5, 5, 9]), np.array([9, 4, 30, 5])) == [3, 1, 0]
