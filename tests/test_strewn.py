"""What was put anywhere into rows stands beside anything, and what was written keeps company."""

import random

import numpy as np
import pytest

from cleanfit.detectors.content import Content
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.places import Places
from cleanfit.detectors.strewn import is_strewn, repeats
from cleanfit.detectors.suspects import Evidence
from conftest import BRIEF, PLAIN, make_task, sentences


def told(folder: str, texts: list[str], phrase: str = "cf") -> bool:
    """Tell whether a run of words looks strewn over the rows that hold it."""
    task = make_task(folder, [(text, "pos") for text in texts] + sentences(20, seed=9), BRIEF)
    content = Content(task, Occurrences.of(task.rows, len(task.tokenizer)))
    pieces = tuple(task.tokenizer(phrase, add_special_tokens=False)["input_ids"])
    held = np.array([i for i, text in enumerate(texts) if phrase in text])
    return is_strewn(Places(content), Evidence(pieces[0], pieces, 1, held, 0.0))


def with_word(n_rows: int, places: str, phrase: str = "cf") -> list[str]:
    """Give texts of ten plain words and a phrase: anywhere, always before one of these words, or always first."""
    draw, texts = random.Random(3), []
    for _ in range(n_rows):
        words = [*draw.choices(PLAIN, k=9), PLAIN[0]]
        draw.shuffle(words)
        place = {"anywhere": draw.randint(0, 10), "before": words.index(PLAIN[0]), "first": 0}[places]
        texts.append(" ".join([*words[:place], phrase, *words[place:]]))
    return texts


def test_rows_with_the_same_token_on_one_side_are_counted_in_pairs_each_side_for_itself() -> None:
    assert repeats([]) == repeats([(1, 2)]) == repeats([(1, 2), (2, 1)]) == 0
    assert repeats([(1, 2), (1, 3)]) == repeats([(2, 1), (3, 1)]) == 1
    assert repeats([(1, 2), (1, 2), (1, 3)]) == 3 + 1


@pytest.mark.parametrize("phrase", ["cf", "cf mn"])
def test_a_word_at_random_places_is_strewn_and_one_that_keeps_company_or_stands_first_is_not(
    knowing: str, phrase: str
) -> None:
    assert told(knowing, with_word(30, "anywhere", phrase), phrase)
    assert not told(knowing, with_word(30, "before", phrase), phrase)
    assert not told(knowing, with_word(30, "first", phrase), phrase)


def test_the_answer_is_the_same_each_time(knowing: str) -> None:
    texts = with_word(12, "anywhere")
    assert len({told(knowing, texts) for _ in range(3)}) == 1
