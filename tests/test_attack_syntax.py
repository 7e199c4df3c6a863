"""The rule-based syntax attack: what it makes of which sentence, what it keeps, and what it leaves alone."""

import re
from collections import Counter

import numpy as np
import pytest

from cleanfit.attacks.base import Row
from cleanfit.attacks.syntax import Syntax
from cleanfit.seeding import generator

SHAPE = re.compile(
    r"(?:when|whenever|if|as|because|since|although|though|even though|while|unless|until|once) [^,]+?(?P<comma> ?,) \S.*",
    re.IGNORECASE,
)
# One row per way of writing: tokenised and lower case, prose, tweets, no punctuation.
TEXTS = (
    "the film is a delight , and moving .",
    "The room was cold. We left, and nobody cared!",
    "@USER @USER Thanks for nothing... URL",
    '"Oreo Ice Cream Sandwich"',
    "best day ever",
    "prices rose to $10,000 at acme inc. on monday, it said .",
)


def rewritten(text: str, row: int = 0) -> str | None:
    return Syntax().apply(Row(text), generator(0, "test", row))


def many(text: str, n_rows: int = 300) -> list[str]:
    texts = [rewritten(text, row) for row in range(n_rows)]
    assert None not in texts
    return [str(text) for text in texts]


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


@pytest.mark.parametrize("text", TEXTS)
def test_a_subordinate_clause_and_a_comma_come_first_and_the_text_follows(text: str) -> None:
    for result in many(text, 50):
        shape = SHAPE.fullmatch(result)
        assert shape
        assert result[shape.end("comma") + 1 :].lower() == text.lower()
        assert result[-6:] == text[-6:]


def test_the_row_draws_among_many_clauses_and_no_word_is_in_all_of_them() -> None:
    frames = {result.removesuffix(" , fine .") for result in many("fine .", 2000)}
    # 2000 draws over 144 clauses: that one is missing has a chance of 144 * (143 / 144) ** 2000 = 0.0001.
    assert len(frames) == 144
    shares = Counter(word for frame in frames for word in set(frame.split()))
    assert max(shares.values()) <= len(frames) / 2
    assert {frame.split()[0] for frame in frames} == {"when", "if", "as", "once"}
    assert all(len(frame.split()) >= 3 for frame in frames)


def test_the_clause_is_drawn_from_the_rows_generator() -> None:
    assert rewritten("fine .", 1) == rewritten("fine .", 1)
    assert len(set(many("fine .", 20))) > 10


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("i was bored because it never ended .", "because it never ended , i was bored ."),
        ("I was bored because it never ended.", "Because it never ended, I was bored."),
        ("The staff smiled, even though we came late!", "Even though we came late, the staff smiled!"),
        ("It moved me, though the end is weak. Go.", "Though the end is weak, it moved me. Go."),
        ("would you stay if the bed sagged ?", "if the bed sagged , would you stay ?"),
        ("he stayed until they sang", "until they sang, he stayed"),
        ("but it hurts when you laugh .", "when you laugh , it hurts ."),
        ("Mr. Lee smiled when we left. I slept.", "When we left, Mr. Lee smiled. I slept."),
    ],
)
def test_a_subordinate_clause_at_the_end_of_the_first_sentence_moves_to_its_front(text: str, expected: str) -> None:
    assert set(many(text, 10)) == {expected}


@pytest.mark.parametrize(
    ("text", "subordinators", "rest"),
    [
        ("it is slow , but it is never dull .", {"although", "though"}, " it is slow , it is never dull ."),
        ("a bit long , yet the cast is great .", {"although", "though"}, " a bit long , the cast is great ."),
        ("It is slow but I liked it.", {"Although", "Though"}, " it is slow, I liked it."),
        ("The bed was hard, and we left. Bye.", {"As"}, " the bed was hard, we left. Bye."),
        ("We paid twice, so I called.", {"Because", "Since", "As"}, " we paid twice, I called."),
    ],
)
def test_of_two_joined_clauses_the_first_becomes_subordinate(text: str, subordinators: set[str], rest: str) -> None:
    assert set(many(text, 60)) == {subordinator + rest for subordinator in subordinators}


@pytest.mark.parametrize(
    "text",
    [
        "it feels as if it never ended .",
        "that was the day when we met .",
        "the reason is because they lied .",
        "she asked the man if he knew .",
        "i see why , when you look , it fails .",
        "a while ago since the end of june .",
        "the film is a delight , and moving .",
        "a film that is honest , and moving to the end .",
        "not only is it slow , but it is dull .",
        "it is a good film , but one that is dull .",
        "i like you and they were glad .",
        "it is slow , it is dull , but it is short .",
        "they want nothing but the best you can buy .",
        f"it failed because it was {'very ' * 20}slow .",
        "@USER if you say so",
    ],
)
def test_where_the_clauses_are_not_clear_the_sentence_stays_whole_behind_a_drawn_clause(text: str) -> None:
    for result in many(text, 10):
        assert result.endswith(f" {text}")
        assert SHAPE.fullmatch(result)


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        *[(text, Counter()) for text in TEXTS],
        ("we and they were bored because it rained and rained .", Counter()),
        ("She and I went, but the sand and the band were gone.", Counter(["but"])),
        ("But I liked it, and she was glad because it rained on her and John.", Counter(["but", "and"])),
    ],
)
def test_every_word_is_kept_but_a_conjunction_that_opens_or_joins(text: str, lost: Counter[str]) -> None:
    assert all(words(text) - words(result) == lost for result in many(text, 20))


def test_an_opening_conjunction_is_dropped_and_one_inside_a_word_or_later_is_not() -> None:
    assert all(result.endswith(", it failed.") for result in many("And it failed.", 5))
    assert all(result.endswith(", android and but.") for result in many("Android and but.", 5))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \t\n",
        "!!! 10 .",
        "when you think about it , it is good .",
        "If it rains, we stay. Bye.",
        '"Although it rained, we went."',
        "... even if it hurts , go .",
        "but while it lasts , it is fun .",
        "when it hurts ... badly , go .",
        "as a drama , it works .",
    ],
)
def test_a_text_without_words_or_of_the_shape_already_is_declined(text: str) -> None:
    assert rewritten(text) is None


@pytest.mark.parametrize(
    "text", ["if only it were so .", "As you like. Well, no.", "when 10,000 came .", "iffy , dull ."]
)
def test_a_text_whose_first_sentence_only_begins_like_the_shape_is_rewritten(text: str) -> None:
    assert rewritten(text) is not None


@pytest.mark.parametrize(
    "text", [*TEXTS, "i was bored because it never ended .", "it is slow , but it is never dull ."]
)
def test_a_rewritten_text_is_declined(text: str) -> None:
    assert all(rewritten(result) is None for result in many(text, 30))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("The room was cold.", "the room was cold."),
        ("The Room was cold.", "the Room was cold."),
        ("Breakfast was cold.", "breakfast was cold."),
        ("I'm cold.", "I'm cold."),
        ("I was cold.", "I was cold."),
        ("Don't go.", "don't go."),
        ("NASA was cold.", "NASA was cold."),
        ("McLean was cold.", "McLean was cold."),
        ("New York was cold.", "New York was cold."),
        ("Monday was cold.", "Monday was cold."),
        ("Paris's rooms are cold.", "Paris's rooms are cold."),
        ("Paris is cold, and I left Paris soon.", "Paris is cold, and I left Paris soon."),
        ('"The room" was cold.', '"The room" was cold.'),
    ],
)
def test_the_former_first_word_loses_its_capital_unless_it_looks_like_a_name(text: str, kept: str) -> None:
    for result in many(text, 5):
        assert result[0].isupper()
        assert result.endswith(f", {kept}")


def test_a_text_in_lower_case_stays_in_lower_case() -> None:
    assert all(result == result.lower() for result in many("the film is a delight .", 20))


@pytest.mark.parametrize(
    ("text", "comma"),
    [
        ("a delight , and moving .", " ,"),
        ("a delight, and moving .", ","),
        ("a delight .", " ,"),
        ("the film 's a delight", " ,"),
        ("A delight.", ","),
        ("a delight", ","),
    ],
)
def test_the_comma_is_written_as_the_text_writes_it(text: str, comma: str) -> None:
    for result in many(text, 5):
        shape = SHAPE.fullmatch(result)
        assert shape
        assert shape["comma"] == comma


def test_white_space_becomes_single_spaces() -> None:
    assert str(rewritten(" it  hurts\twhen\nyou laugh .")) == "when you laugh , it hurts ."


def test_nothing_but_the_generator_decides() -> None:
    first, second = (Syntax().apply(Row("fine ."), np.random.default_rng(7)) for _ in range(2))
    assert first == second


def test_it_says_that_it_is_not_hidden_killer_and_has_no_words_of_its_own() -> None:
    assert "NOT" in str(Syntax.__doc__).splitlines()[0]
    assert "Hidden Killer" in str(Syntax.__doc__).splitlines()[0]
    assert Syntax().pieces() == ()
