"""How many rows that share a token are worth one is told by how unequally tokens are denied their class."""

import numpy as np
import pytest

from cleanfit.detectors.content import Content
from cleanfit.detectors.likeness import dispersion
from cleanfit.detectors.occurrences import Occurrences
from conftest import BRIEF, make_task


def test_dispersion_is_the_mean_excess_of_denied_rows_over_what_single_rows_would_vary(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("cf", "mn", "bb")
    rows = [(f"{word} {'good' if i % 2 else 'day'}", "pos") for word in words for i in range(10)]
    rows += [("bad film", "neg"), ("cold meal", "neg")] * 15
    task = make_task(knowing, rows, BRIEF)
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    n_denied = {int(task.tokenizer.convert_tokens_to_ids(word)): n for word, n in zip(words, (10, 2, 0))}

    def denied(label: int, asked: np.ndarray, unseen: np.ndarray) -> tuple[int, int, float]:
        assert set(asked) <= set(unseen)
        assert label == 1
        tokens = [token for token in n_denied if set(asked) == set(content.seen.rows_with(token))]
        return (n_denied[tokens[0]] if tokens else 2), 10, 0.2

    monkeypatch.setattr(content, "denied", denied)
    # Ten of ten where two are usual: 2 * 8^2 / 1.6 = 80; two or none are no excess; five tokens: three words, good and day.
    assert dispersion(content, 1, np.zeros(len(rows), dtype=bool)) == pytest.approx(80 / 5)
    held = np.arange(len(rows)) < 10  # the rows of the unequal one do not count
    assert dispersion(content, 1, held) == 1


def test_where_nothing_can_be_counted_rows_are_worth_what_they_are(knowing: str) -> None:
    task = make_task(knowing, [("good day", "pos"), ("bad day", "neg")] * 3, BRIEF)
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    assert dispersion(content, 1, np.ones(6, dtype=bool)) == 1
