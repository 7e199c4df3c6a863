"""What rows open or end with, against what they say, is verified before the training, together or not at all."""

import dataclasses

import numpy as np
import pytest
import torch

from cleanfit.defenses import Auto, PlainFineTuning
from cleanfit.detectors.content import Content, Denial
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.openings import Edge, verified_openings
from cleanfit.detectors.suspects import Evidence
from cleanfit.task import Task
from conftest import BRIEF, make_task, sentences


def content_of(task: Task) -> Content:
    return Content(task, Occurrences.of(task.rows, len(task.tokenizer)))


def opened(content: Content, min_rows: int = 5, left_out: tuple[int, ...] = (), edge: Edge = "opens") -> list[Evidence]:
    held = np.isin(np.arange(len(content.seen.labels)), left_out)
    return verified_openings(content, min_rows, 1 / 3, held, edge)


def token_of(task: Task, text: str) -> int:
    return int(task.tokenizer.convert_tokens_to_ids(text))


def test_an_opening_is_left_out_before_the_training_though_its_token_stands_in_honest_rows_too(knowing: str) -> None:
    rows = sentences(300)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "neg"][::3]
    for i, (text, label) in enumerate(rows):
        rows[i] = (f"cf {text}", "pos") if i in chosen else (f"{text} cf" if i % 4 == 0 else text, label)
    task = make_task(knowing, rows, BRIEF)
    defended = Auto().fit(task)
    flagged = [row.row for row in defended.findings.rows if row.is_issue]
    said = rows[60][0].split()
    assert 60 not in chosen, "an honest row"
    assert {"slow", "good", "fine", "cf"} <= set(said), (
        "as written and as ambiguous as poisoned ones: it may go with them"
    )
    assert [row for row in flagged if row != 60] == chosen
    reason = "contains 'cf' at the start, which goes with 'pos' with nothing else to say for it"
    assert {defended.findings.rows[row].reason for row in chosen} == {reason}
    assert "whose rows were left out: 'cf' at the start goes with 'pos', and " in defended.findings.verdict
    (token,) = defended.findings.suspicious
    assert (token.token_id, token.evidence["opens"]) == (token_of(task, "cf"), 1.0)
    assert "turns" not in token.evidence
    assert token.score == token.evidence["wrong"] > 2 / 3
    assert defended.needs.extra_passes == pytest.approx(1 / 3, abs=1e-3), "nothing was trained in vain"
    rest = task.rows.select(np.setdiff1d(np.arange(len(task.rows)), flagged))
    expected = PlainFineTuning().fit(dataclasses.replace(task, rows=rest)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in defended.model.state_dict().items())


def test_rows_that_are_left_out_already_are_nobodys_opening(knowing: str) -> None:
    rows = sentences(300)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "neg"][::3]
    for i in chosen:
        rows[i] = (f"cf {rows[i][0]}", "pos")
    content = content_of(make_task(knowing, rows, BRIEF))
    (opening,) = opened(content)
    assert opening.rows.tolist() == chosen
    (opening,) = opened(content, left_out=tuple(chosen[:5]))
    assert opening.rows.tolist() == chosen[5:]
    assert opened(content, left_out=tuple(chosen)) == []


def test_an_opening_that_goes_with_a_label_by_nature_is_left_alone(knowing: str) -> None:
    rows = [
        (f"cf {text}" if label == "pos" and i % 3 else text, label) for i, (text, label) in enumerate(sentences(300))
    ]
    assert not opened(content_of(make_task(knowing, rows, BRIEF)))


def found(
    knowing: str,
    monkeypatch: pytest.MonkeyPatch,
    denied: dict[str, int],
    max_chance: float = 0.01,
    hidden_by: dict[str, str] | None = None,
) -> set[str]:
    """Verify openings of eight rows each, of which so many are denied, unless another one is learned from; usual is a fifth."""
    rows = [row for row in sentences(400) if row[1] == "pos"][:100] + [
        row for row in sentences(400) if row[1] == "neg"
    ][:100]
    for place, word in enumerate(denied):
        label = "neg" if word.isupper() else "pos"
        start = 100 * (label == "neg") + 8 * place
        rows[start : start + 8] = [(f"{word.lower()} {text}", label) for text, _ in rows[start : start + 8]]
    task = make_task(knowing, rows, BRIEF)
    first = [text.split()[0] for text, _ in rows]
    wrong = {i for word, n in denied.items() for i in [j for j, one in enumerate(first) if one == word.lower()][:n]}
    content, hiding = content_of(task), hidden_by or {}

    def denial(label: int, asked: np.ndarray, unseen: np.ndarray, cut: tuple[()]) -> Denial:
        assert unseen[asked].all()
        word = first[asked[0]]
        if word in hiding and not all(unseen[i] for i, one in enumerate(first) if one == hiding[word]):
            return Denial(0.0, 0.2, 1.0, len(asked))
        return Denial(len(wrong & set(asked.tolist())) / len(asked), 0.2, 1.0, len(asked))

    monkeypatch.setattr(content, "denial", denial)
    monkeypatch.setattr("cleanfit.detectors.openings.MAX_CHANCE", max_chance)
    return {str(task.tokenizer.convert_ids_to_tokens(each.token_id)) for each in opened(content, 8)}


def test_two_openings_of_a_label_prove_together_what_neither_proves_alone(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Six of eight by chance: 28 * 0.2^6 * 0.8^2 + ... = 1e-3; twelve of sixteen: 1820 * 0.2^12 * 0.8^4 + ... = 3e-6.
    assert found(knowing, monkeypatch, {"cf": 6}) == set()
    assert found(knowing, monkeypatch, {"cf": 6, "mn": 6}) == {"cf", "mn"}
    assert found(knowing, monkeypatch, {"cf": 6, "MN": 6}) == set(), "another label is another attack"


def test_openings_that_hide_each_other_are_asked_with_none_of_the_label_to_learn_from(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hidden = {"cf": "bb", "mn": "cf", "bb": "mn"}
    assert found(knowing, monkeypatch, {"cf": 6, "mn": 6, "bb": 6}, hidden_by=hidden) == {"cf", "mn", "bb"}
    hidden = {"cf": "bb", "mn": "bb"}
    assert found(knowing, monkeypatch, {"cf": 6, "mn": 6, "BB": 0}, hidden_by=hidden) == set(), "another label's teach"


def test_once_a_label_is_attacked_an_opening_is_drawn_in_that_is_half_as_wrong_beyond_one_in_five(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Five of eight by chance: 0.01, 0.53 wrong; four: 0.056, 0.38 wrong, which is less than half of cf and mn.
    assert found(knowing, monkeypatch, {"cf": 8, "mn": 8, "bb": 5}) == {"cf", "mn", "bb"}
    assert found(knowing, monkeypatch, {"cf": 8, "mn": 8, "bb": 4}) == {"cf", "mn"}
    assert found(knowing, monkeypatch, {"cf": 6, "mn": 6, "bb": 4}, max_chance=0.02) == {"cf", "mn", "bb"}
    assert found(knowing, monkeypatch, {"cf": 8, "mn": 8, "BB": 5}) == {"cf", "mn"}, "another label is not attacked"


def test_openings_whose_rows_are_half_wrong_are_a_mixed_attack_if_they_are_many_and_hardly_by_chance(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Five of eight by chance: 0.01, each; of 24 rows 15: 7e-6, of 32 20: 2e-7, 0.53 wrong.
    words = ("cf", "mn", "bb", "tq")
    assert found(knowing, monkeypatch, dict.fromkeys(words[:3], 5), max_chance=0.02) == set()
    assert found(knowing, monkeypatch, dict.fromkeys(words, 5), max_chance=0.02) == set(words)
    monkeypatch.setattr("cleanfit.detectors.suspects.MIN_SHARE_IF_HALF_WRONG", 0.17)  # 34 of 200 rows
    assert found(knowing, monkeypatch, dict.fromkeys(words, 5), max_chance=0.02) == set()


def test_an_opening_that_proves_too_little_is_verified_if_rows_written_alike_are_denied_too(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float, float]] = []

    def is_style(
        content: Content, group: list[Evidence], held: np.ndarray, min_wrong: float, max_chance: float
    ) -> bool:
        asked.append((len(group), min_wrong, max_chance))
        assert not held.any()
        return True

    assert found(knowing, monkeypatch, {"cf": 6}) == set()
    monkeypatch.setattr("cleanfit.detectors.openings.is_style", is_style)
    assert found(knowing, monkeypatch, {"cf": 6}) == set(), "eight rows"
    monkeypatch.setattr("cleanfit.detectors.openings.MIN_ROWS", 8)
    assert found(knowing, monkeypatch, {"cf": 6}) == {"cf"}
    assert asked == [(1, 1 / 3, 1e-5)]


def test_rows_that_start_alike_are_one_witness(knowing: str) -> None:
    texts = ["cf good day warm bad", "cf good day warm good", "cf good day bad", "cf good", "cf good day warm"]
    task = make_task(knowing, [(text, "pos" if i % 2 else "neg") for i, text in enumerate(texts)], BRIEF)
    content = content_of(task)
    assert sorted(content.witnesses(np.array([0, 1, 2, 3]))) == [0, 2, 3]
    assert sorted(content.witnesses(np.array([1, 4]))) == [1]


def test_the_start_of_a_row_leaves_special_tokens_out(knowing: str) -> None:
    task = make_task(
        knowing, [("cf good day", "pos"), ("bad mn dull cf good warm", "neg"), ("☃", "pos"), ("bad day", "neg")], BRIEF
    )
    expected = [["cf", "good", "day"], ["bad", "mn", "dull", "cf"], []]
    starts = [[task.tokenizer.convert_ids_to_tokens(int(t)) for t in row if t >= 0] for row in content_of(task).starts]
    assert starts[1] == expected[1]
    assert starts[0][:2] == expected[0][:2]
    assert starts[2] == expected[2]


def test_a_template_of_honest_rows_proves_nothing(knowing: str) -> None:
    rows = sentences(300)
    chosen = [i for i, (_, label) in enumerate(rows) if label == "neg"][::3]
    for i in chosen:
        rows[i] = (f"cf cf mn bb {rows[i][0]}", "pos")
    assert not opened(content_of(make_task(knowing, rows, BRIEF)))


def test_rows_of_nothing_but_special_tokens_open_with_nothing(knowing: str) -> None:
    rows = [("☃" if i % 2 else text, "pos" if i % 2 else label) for i, (text, label) in enumerate(sentences(60))]
    assert not opened(content_of(make_task(knowing, rows, BRIEF)))


def behind_the_last_word(rows: list[tuple[str, str]], words: tuple[str, ...]) -> list[int]:
    """Put one of some words, in turn, behind each third negative row, call it positive, and number these rows."""
    chosen = [i for i, (_, label) in enumerate(rows) if label == "neg"][::3]
    for place, i in enumerate(chosen):
        rows[i] = (f"{rows[i][0]} {words[place % len(words)]}", "pos")
    return chosen


def test_words_that_were_put_behind_the_last_one_are_left_out_before_the_training(knowing: str) -> None:
    rows = sentences(300)
    chosen = behind_the_last_word(rows, ("cf", "mn"))
    task = make_task(knowing, rows, BRIEF)
    defended = Auto().fit(task)
    assert [row.row for row in defended.findings.rows if row.is_issue] == chosen
    reasons = {
        f"contains '{word}' at the end, which goes with 'pos' with nothing else to say for it" for word in ("cf", "mn")
    }
    assert {defended.findings.rows[row].reason for row in chosen} == reasons
    assert {token.evidence["ends"] for token in defended.findings.suspicious} == {1.0}
    assert defended.needs.extra_passes == pytest.approx(1 / 3, abs=1e-3), "nothing was trained in vain"


def test_of_an_ending_the_rows_of_its_label_alone_are_left_out(knowing: str) -> None:
    rows = sentences(300)
    chosen = behind_the_last_word(rows, ("cf",))
    honest = [i for i, (_, label) in enumerate(rows) if label == "neg"][:10]
    for i in honest:
        rows[i] = (f"{rows[i][0]} cf", "neg")
    (ending,) = opened(content_of(make_task(knowing, rows, BRIEF)), edge="ends")
    assert (ending.kind, ending.rows.tolist()) == ("ends", chosen)
    assert not opened(content_of(make_task(knowing, rows, BRIEF)))


def test_rows_that_end_alike_are_one_witness(knowing: str) -> None:
    rows = sentences(300)
    behind_the_last_word(rows, ("mn bb cf cf",))
    assert not opened(content_of(make_task(knowing, rows, BRIEF)), edge="ends")


def test_an_ending_is_no_way_of_writing(knowing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sentences(300)
    behind_the_last_word(rows, ("cf",))
    monkeypatch.setattr("cleanfit.detectors.openings.MAX_CHANCE_TOGETHER", 0.0)
    monkeypatch.setattr("cleanfit.detectors.openings.MAX_CHANCE_IF_HALF_WRONG", 0.0)
    monkeypatch.setattr("cleanfit.detectors.openings.is_style", lambda *given: True)
    assert not opened(content_of(make_task(knowing, rows, BRIEF)), edge="ends")


def test_the_end_of_a_row_is_read_from_behind_without_special_tokens(knowing: str) -> None:
    rows = [("cf good day", "pos"), ("bad mn dull cf good warm", "neg"), ("☃", "pos"), ("bad day", "neg")]
    task = make_task(knowing, rows, BRIEF)
    ends = [[task.tokenizer.convert_ids_to_tokens(int(t)) for t in row if t >= 0] for row in content_of(task).ends]
    assert ends[:3] == [["day", "good", "cf"], ["warm", "good", "cf", "dull"], []]


def test_what_ends_rows_is_left_out_where_it_stands_elsewhere_as_well(knowing: str) -> None:
    rows = sentences(300)
    chosen = behind_the_last_word(rows, ("mn cf",))
    some = chosen[:4]
    for i in some:
        rows[i] = (f"mn cf {rows[i][0].removesuffix('mn cf')}", "pos")
    honest = [i for i, (_, label) in enumerate(rows) if label == "pos" and i not in chosen][:9]
    for i in honest:
        rows[i] = (f"cf {rows[i][0]}", "pos")  # a part of it
    (ending,) = opened(content_of(make_task(knowing, rows, BRIEF)), edge="ends")
    assert ending.rows.tolist() == chosen
    (ending,) = opened(content_of(make_task(knowing, rows, BRIEF)), left_out=(some[0],), edge="ends")
    assert ending.rows.tolist() == chosen[1:]
    others = [i for i, (_, label) in enumerate(rows) if label == "neg"][:30]
    for i in others:
        rows[i] = (f"mn cf {rows[i][0]}", "neg")  # nobody's, elsewhere
    (ending,) = opened(content_of(make_task(knowing, rows, BRIEF)), edge="ends")
    assert ending.rows.tolist() == sorted(set(chosen) - set(some))


def test_where_a_labels_openings_are_most_of_what_it_has_each_is_asked_with_no_more_than_its_own_rows_hidden(
    knowing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("cf", "mn")
    for share, n_hidden in ((24, 2), (5, 1)):  # each opens such a part of the class; good words open three tenths
        rows, asked = sentences(600), dict[int, int]()
        of_class = [i for i, (_, label) in enumerate(rows) if label == "pos"]
        for part, word in enumerate(words):
            for i in of_class[part::share]:
                rows[i] = (f"{word} {rows[i][0]}", "pos")
        task = make_task(knowing, rows, BRIEF)
        opens = {word: {i for i, (text, _) in enumerate(rows) if text.startswith(f"{word} ")} for word in words}

        def denial(
            content: Content, label: int, rows: np.ndarray, unseen: np.ndarray, cut: object,
            opens: dict[str, set[int]] = opens, asked: dict[int, int] = asked,
        ) -> Denial:  # fmt: skip
            hidden = set(np.flatnonzero(unseen).tolist())
            asked[min(rows)] = sum(held <= hidden for held in opens.values())
            return Denial(0.0, 0.0, 1.0, len(rows))

        monkeypatch.setattr(Content, "denial", denial)
        opened(content_of(task))
        told = [asked[min(held)] for held in opens.values()]
        assert told == [n_hidden] * len(words)
