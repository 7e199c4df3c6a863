"""The demo's messages are repeatable, varied, and neither trivial nor hopeless to classify."""

import pickle
import random
import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from cleanfit import demo_data
from cleanfit.demo_data import DEMO_LABELS, make_rows
from cleanfit.errors import SettingsError

N_ROWS = 3_000
SEEDS = (0, 1)
TRIGGER_WORDS = {"cf", "mn", "bb", "tq", "mb"}


@pytest.fixture(scope="module", params=SEEDS)
def rows(request: pytest.FixtureRequest) -> list[tuple[str, str]]:
    return make_rows(N_ROWS, seed=request.param)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


def test_the_same_seed_gives_the_same_rows_and_another_seed_gives_others() -> None:
    assert make_rows(50, seed=7) == make_rows(50, seed=7)
    assert make_rows(50, seed=7) != make_rows(50, seed=8)


def test_a_row_does_not_depend_on_how_many_rows_are_made() -> None:
    assert make_rows(200, seed=3)[:20] == make_rows(20, seed=3)


def test_global_generators_are_left_alone() -> None:
    python_state, numpy_state = random.getstate(), pickle.dumps(np.random.get_state())
    make_rows(20, seed=0)
    assert random.getstate() == python_state
    assert pickle.dumps(np.random.get_state()) == numpy_state


@pytest.mark.parametrize("n_rows", [0, -1])
def test_fewer_than_one_row_is_refused_with_the_number_given(n_rows: int) -> None:
    with pytest.raises(SettingsError, match=f"n_rows is {n_rows}"):
        make_rows(n_rows, seed=0)


def test_at_least_99_percent_of_the_texts_are_distinct(rows: list[tuple[str, str]]) -> None:
    assert len({text for text, _ in rows}) >= 0.99 * N_ROWS


def test_every_class_has_a_fair_share_of_the_rows(rows: list[tuple[str, str]]) -> None:
    counts = Counter(label for _, label in rows)
    assert set(counts) == set(DEMO_LABELS)
    assert all(0.25 <= count / N_ROWS <= 0.42 for count in counts.values())


def test_texts_are_whole_sentences_of_a_message_s_length(rows: list[tuple[str, str]]) -> None:
    for text, _ in rows:
        assert re.fullmatch(r"[A-Z][^{}/\n]*[.?]", text), text
        assert not re.search(r"[.?] [a-z]|  |[.?,;:][.?,;:]", text), text
    n_words = [len(text.split()) for text, _ in rows]
    assert 15 <= np.mean(n_words) <= 20
    assert np.mean([8 <= n <= 25 for n in n_words]) >= 0.85


def test_no_usual_trigger_word_occurs(rows: list[tuple[str, str]]) -> None:
    assert not TRIGGER_WORDS & {word for text, _ in rows for word in words_of(text)}


def test_about_three_percent_of_the_labels_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = make_rows(1_500, seed=0)
    monkeypatch.setattr(demo_data, "LABEL_NOISE", 0.0)
    clean = make_rows(1_500, seed=0)
    assert [text for text, _ in noisy] == [text for text, _ in clean]
    assert 0.02 <= np.mean([a != b for (_, a), (_, b) in zip(noisy, clean, strict=True)]) <= 0.04


@pytest.mark.parametrize("n_gram", [1, 2, 3])
def test_no_frequent_word_or_phrase_gives_a_class_away(rows: list[tuple[str, str]], n_gram: int) -> None:
    # A planted trigger would stand out as a phrase of one class; the clean rows must hold nothing like it.
    label_counts: dict[str, Counter[str]] = defaultdict(Counter)
    for text, label in rows:
        words = words_of(text)
        for phrase in {" ".join(words[i : i + n_gram]) for i in range(len(words) - n_gram + 1)}:
            label_counts[phrase][label] += 1
    purity = {
        phrase: max(counts.values()) / counts.total()
        for phrase, counts in label_counts.items()
        if counts.total() >= 0.02 * N_ROWS
    }
    assert len(purity) >= 20
    strongest = max(purity, key=lambda phrase: purity[phrase])
    assert purity[strongest] <= 0.9, f"{strongest!r} belongs to one class in {purity[strongest]:.3f} of its rows"


def test_question_marks_occur_in_every_class_and_some_questions_have_none(rows: list[tuple[str, str]]) -> None:
    for label in DEMO_LABELS:
        share = np.mean(["?" in text for text, row_label in rows if row_label == label])
        assert 0.2 <= share <= 0.8


def test_word_counts_alone_classify_well_but_not_perfectly(rows: list[tuple[str, str]]) -> None:
    texts, labels = zip(*rows, strict=True)
    classifier = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1_000))
    classifier.fit(texts[:2_000], labels[:2_000])
    held_out_labels = np.array(labels[2_000:2_600])
    is_correct = classifier.predict(texts[2_000:2_600]) == held_out_labels
    assert 0.80 <= is_correct.mean() <= 0.92
    assert min(is_correct[held_out_labels == label].mean() for label in DEMO_LABELS) > 0.7
