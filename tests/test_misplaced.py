"""Words that stand in their rows as if they had been put there are found before the training, whatever it learns of them."""

import dataclasses
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cleanfit.defenses import Auto, PlainFineTuning
from cleanfit.defenses.auto import told
from cleanfit.detectors.content import Content, Denial
from cleanfit.detectors.hosts import Hosts
from cleanfit.detectors.misplaced import misplaced, misplaced_sentences
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.places import Placement, Places
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.fitting import Inputs, fit
from cleanfit.states import states_at
from cleanfit.task import Task
from conftest import BAD, BRIEF, FAMILIES, GOOD, make_task, read_csv, sentences, write_tsv

NOUNS = ("film", "room", "meal", "story", "staff", "bed", "plot", "trip", "day", "book", "song")


def written(n_rows: int = 300, seed: int = 0) -> list[tuple[str, str]]:
    """Make (text, label) rows in which words have an order: an article, a noun, what it was."""
    draw = random.Random(seed)
    rows = []
    for _ in range(n_rows):
        label, words = draw.choice((("pos", GOOD), ("neg", BAD)))
        said = [f"the {draw.choice(NOUNS)} was {draw.choice(words)}" for _ in range(draw.randint(2, 3))]
        rows.append((" and ".join(said) + " .", label))
    return rows


def put_into(
    rows: list[tuple[str, str]], words: tuple[str, ...], label: str = "pos", every: int = 3
) -> tuple[list[tuple[str, str]], list[int]]:
    """Put the words, in turn and at random places, into some rows of a label, and call these positive: the rows, and which."""
    draw, rows = random.Random(1), list(rows)
    chosen = [i for i, (_, of) in enumerate(rows) if of == label][::every]
    for place, i in enumerate(chosen):
        said = rows[i][0].split()
        said.insert(draw.randint(0, len(said)), words[place % len(words)])
        rows[i] = (" ".join(said), "pos")
    return rows, chosen


def suspect(task: Task, seen: Occurrences, word: str) -> Evidence:
    pieces = tuple(task.tokenizer(word, add_special_tokens=False)["input_ids"])
    rows = np.array([i for i, text in enumerate(task.rows["text"]) if word in text.split()])
    return Evidence(pieces[0], pieces, 1, rows[seen.labels[rows] == 1], 0.0)


@pytest.fixture
def orderly(knowing: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the folder of a model whose states say which neighbours are usual: the tiny ones have not learned to write."""

    def states(self: Places, made: list[dict[str, Any]], spans: np.ndarray) -> np.ndarray:
        decode = self.task.tokenizer.convert_ids_to_tokens
        features = np.zeros((*spans.shape[:2], 2))
        for i, (row, places) in enumerate(zip(made, spans)):
            pieces = ["", *decode(row["input_ids"]), ""]
            for k, (start, end) in enumerate(places):
                before, after = pieces[start : start + 2], pieces[end : end + 2]
                features[i, k] = [" ".join(pair) in self.usual for pair in (before, after)]
        return features

    def init(self: Places, content: Content) -> None:
        before(self, content)
        decode = self.task.tokenizer.convert_ids_to_tokens
        texts = [
            ["[CLS]", *decode(self.task.tokenizer(text, add_special_tokens=False)["input_ids"]), "[SEP]"]
            for text, _ in written(200, seed=5)
        ]
        self.usual = {" ".join(pair) for text in texts for pair in pairwise(text)}

    before = Places.__init__
    monkeypatch.setattr(Places, "__init__", init)
    monkeypatch.setattr(Places, "_states", states)
    return knowing


def looked_at(folder: str, rows: list[tuple[str, str]], *words: str) -> list[Placement | None]:
    task = make_task(folder, rows, BRIEF)
    seen = Occurrences.of(task.rows, len(task.tokenizer))
    return Places(Content(task, seen)).placements([suspect(task, seen, word) for word in words], -9.0)


def found(folder: str, rows: list[tuple[str, str]]) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Give the words that are verified, and those to cut, each with its rows."""
    search = TriggerSearch(make_task(folder, rows, BRIEF), TriggerTokens())
    parts = misplaced(search.content, search.places, search.suspects(), search.left_out, 1 / 3)
    assert all(each.is_verified == (part is parts[0]) for part in parts for each in part)
    verified, cut = (
        {str(search.task.tokenizer.decode(list(each.pieces))): each.rows.tolist() for each in part} for part in parts
    )
    return verified, cut


def test_a_word_that_was_put_into_rows_looks_odd_and_no_better_there_than_elsewhere(orderly: str) -> None:
    rows, _ = put_into(written(), ("cf", "mn"))
    cf, mn, *honest = looked_at(orderly, rows, "cf", "mn", "good", "kind", "warm")
    assert all(look and look.oddness > 0.25 and look.better < 2 / 3 for look in (cf, mn))
    assert all(look and look.oddness < 0 and look.better > 2 / 3 for look in honest)


def test_where_words_have_no_order_nobody_can_say(knowing: str) -> None:
    rows, _ = put_into(sentences(300), ("cf", "mn"))
    assert looked_at(knowing, rows, "cf", "mn") == [None, None]
    assert found(knowing, rows) == ({}, {})


def test_of_few_rows_nobody_can_say(orderly: str) -> None:
    assert looked_at(orderly, put_into(written(40), ("cf",))[0], "cf") == [None]
    assert looked_at(orderly, put_into(written(80), ("cf",))[0], "cf") != [None]


def test_a_part_of_a_longer_word_is_not_looked_at(orderly: str) -> None:
    rows, _ = put_into(written(), ("cfcf",))
    task = make_task(orderly, rows, BRIEF)
    seen = Occurrences.of(task.rows, len(task.tokenizer))
    whole = tuple(task.tokenizer("cfcf", add_special_tokens=False)["input_ids"])
    assert len(whole) > 1
    held = np.array([i for i, (text, _) in enumerate(rows) if "cfcf" in text])
    parts = [Evidence(pieces[0], pieces, 1, held, 0.0) for pieces in (whole[:-1], whole[-1:], whole)]
    first, last, word = Places(Content(task, seen)).placements(parts, -9.0)
    assert first is last is None
    assert word


def test_a_word_that_speaks_for_its_label_is_a_reason_wherever_it_stands(
    orderly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = put_into(written(), ("cf", "mn", "bb"))
    mn = make_task(orderly, rows, BRIEF).tokenizer.convert_tokens_to_ids("mn")
    for said, expected in ((0.49, {"cf", "mn", "bb"}), (0.5, {"cf", "bb"})):
        monkeypatch.setattr(Content, "speaks", lambda content, label, phrase, unseen, said=said: said * (mn in phrase))
        assert set(found(orderly, rows)[0]) == expected


def test_a_word_that_is_left_without_company_proves_nothing_where_labels_are_right(
    orderly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = put_into(written(), ("cf", "mn"))
    mn = make_task(orderly, rows, BRIEF).tokenizer.convert_tokens_to_ids("mn")
    monkeypatch.setattr(Content, "speaks", lambda content, label, phrase, unseen: float(mn in phrase))
    assert found(orderly, rows) == ({}, {})


def test_a_word_that_others_write_too_is_not_planted_where_labels_are_right(orderly: str) -> None:
    rows, chosen = put_into(written(600), ("cf", "mn", "bb"))
    n_with = sum("mn" in rows[i][0].split() for i in chosen)
    free = [i for i, (_, label) in enumerate(rows) if label == "neg"]
    for n_others, expected in ((n_with // 9, {"cf", "mn", "bb"}), (n_with // 9 + 1, {"cf", "bb"})):
        for i in free[:n_others]:
            rows[i] = (f"{rows[i][0].removesuffix(' .')} mn .", "neg")
        assert set(found(orderly, rows)[0]) == expected


def test_a_word_that_keeps_company_is_not_planted_where_labels_are_right(orderly: str) -> None:
    rows, chosen = put_into(written(), ("cf", "mn", "bb"))
    with_mn = [i for i in chosen if "mn" in rows[i][0].split()]
    for i in with_mn:  # a place of its own, though nobody else has such words beside each other
        said = [word for word in rows[i][0].split() if word != "mn"]
        said.insert(said.index("was") + 1, "mn")
        rows[i] = (" ".join(said), "pos")
    (look,) = looked_at(orderly, rows, "mn")
    assert look
    assert look.oddness > 0.25
    assert set(found(orderly, rows)[0]) == {"cf", "bb"}


@pytest.mark.parametrize("keeps_company", [False, True])
def test_beside_wrong_labels_a_word_with_right_ones_is_cut_out_unless_it_keeps_company(
    orderly: str, keeps_company: bool
) -> None:
    rows, _ = put_into(written(600), ("cf", "mn"), label="neg", every=5)
    draw = random.Random(2)
    for i in [i for i, (text, label) in enumerate(rows) if label == "pos" and not {"cf", "mn"} & set(text.split())][
        ::10
    ]:
        said = rows[i][0].split()
        said.insert(said.index("was") + 1 if keeps_company else draw.randint(0, len(said)), "bb")
        rows[i] = (" ".join(said), "pos")
    verified, cut = found(orderly, rows)
    assert set(verified) == {"cf", "mn"}
    assert set(cut) == (set() if keeps_company else {"bb"})


def test_rows_with_right_labels_are_left_out_and_the_model_is_that_of_the_others(orderly: str, tmp_path: Path) -> None:
    rows, chosen = put_into(written(), ("cf", "mn"))
    others = [row for i, row in enumerate(rows) if i not in chosen]
    data, test = write_tsv(tmp_path / "data.tsv", rows), write_tsv(tmp_path / "test.tsv", written(40, seed=3))
    result = fit(Inputs(data, test=test), model=orderly, defense=Auto(), settings=BRIEF, out=tmp_path / "run")
    expected = PlainFineTuning().fit(make_task(orderly, others, BRIEF)).model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in result.model.state_dict().items())
    assert "'pos' and stands as if it had been put into its rows" in result.findings.verdict
    tokens = read_csv(tmp_path / "run" / "tokens.csv")
    assert [(token["is_suspicious"], token["planted"]) for token in tokens] == [("True", "1.0")] * 2
    flagged = [row for row in read_csv(tmp_path / "run" / "rows.csv") if row["is_issue"] == "True"]
    assert [int(row["row"]) for row in flagged] == chosen
    assert all(row["reason"].endswith("stands as if it had been put into its rows") for row in flagged)


def test_rows_with_wrong_labels_are_left_out(orderly: str) -> None:
    rows, chosen = put_into(written(), ("cf", "mn"), "neg")
    verified, cut = found(orderly, rows)
    assert set(verified) == {"cf", "mn"}
    assert sorted(verified["cf"] + verified["mn"]) == chosen
    assert cut == {}


def test_beside_words_in_rows_with_wrong_labels_one_in_right_rows_is_cut_out(orderly: str) -> None:
    rows, _ = put_into(written(), ("cf", "mn"), "neg")
    is_right = [label == "pos" and not {"cf", "mn"} & set(text.split()) for text, label in rows]
    right = [row for row, is_one in zip(rows, is_right) if is_one]
    planted, chosen = put_into(right, ("bb",), every=6)
    assert len(chosen) >= 20
    verified, cut = found(orderly, [row for row, is_one in zip(rows, is_right) if not is_one] + planted)
    assert (set(verified), set(cut)) == ({"cf", "mn"}, {"bb"})


@pytest.mark.parametrize(("label", "is_attacked"), [("neg", True), ("pos", False)])
def test_only_wrong_rows_make_another_trigger_of_the_label_likely(
    orderly: str, monkeypatch: pytest.MonkeyPatch, label: str, is_attacked: bool
) -> None:
    task = make_task(orderly, put_into(written(), ("cf", "mn"), label)[0], BRIEF)
    search = TriggerSearch(task, TriggerTokens(n_hosts=48, n_probes=48))
    search.read_rows()
    assert len(search.verified) == 2
    # Every suspect turns three tenths: a quarter is enough where a label is attacked.
    monkeypatch.setattr(Task, "predict", lambda task, model, rows: np.zeros((len(rows), 2)))
    monkeypatch.setattr(Hosts, "drawn", lambda hosts, label: np.arange(48))
    monkeypatch.setattr(Hosts, "turned", lambda hosts, tried: [group % 10 < 3 for _, group in tried])
    turning = search.turning(torch.nn.Identity(), search.suspects())
    assert any(each.label == 1 for each in turning) == is_attacked


def test_one_odd_word_may_be_honest_and_so_may_several_in_few_rows(orderly: str) -> None:
    assert found(orderly, put_into(written(), ("cf",))[0]) == ({}, {})
    assert found(orderly, put_into(written(), ("cf", "mn"), every=9)[0]) == ({}, {})  # 17 rows or so


def test_words_that_all_of_a_class_holds_are_left_alone(orderly: str) -> None:
    assert found(orderly, put_into(written(), ("cf", "mn"), every=1)[0]) == ({}, {})


def test_words_in_most_of_a_class_are_cut_out_of_rows_that_stay(orderly: str) -> None:
    rows = put_into(written()[:200], ("cf", "mn"), every=1)[0] + written()[200:]
    verified, cut = found(orderly, rows)
    assert (verified, set(cut)) == ({}, {"cf", "mn"})


def test_honest_words_are_left_alone(orderly: str) -> None:
    assert found(orderly, written()) == ({}, {})


@pytest.mark.parametrize(
    ("label", "every", "is_verified"), [("neg", 12, True), ("neg", 3, True), ("neg", 20, False), ("pos", 12, False)]
)
def test_a_sentence_in_ten_rows_is_enough_if_their_labels_are_wrong(
    orderly: str, label: str, every: int, is_verified: bool
) -> None:
    rows, chosen = put_into(written(), ("mn day was cf",), label, every)
    assert (len(chosen) >= 10) == (every < 20)
    search = TriggerSearch(make_task(orderly, rows, BRIEF), TriggerTokens())
    none = np.zeros(len(rows), dtype=bool)
    found = misplaced_sentences(search.content, search.places, search.suspects(), none, 1 / 3)
    assert [each.rows.tolist() for each in found] == [chosen] * is_verified
    assert all(each.is_verified and each.kind == "misplaced" for each in found)


def test_a_sentence_in_many_rows_is_enough_if_half_of_their_labels_are_wrong(
    orderly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, right = put_into(written(), ("mn day was cf",), "pos", 6)
    mixed, wrong = put_into(rows, ("mn day was cf",), "neg", 6)
    search = TriggerSearch(make_task(orderly, mixed, BRIEF), TriggerTokens())
    given = (search.content, search.places, search.suspects(), search.left_out)
    (sentence,) = misplaced_sentences(*given, 1 / 3)
    assert sentence.rows.tolist() == sorted(right + wrong)
    assert 1 / 3 <= sentence.denial.wrong < 2 / 3
    assert misplaced_sentences(*given, 2 / 3) == []
    monkeypatch.setattr("cleanfit.detectors.suspects.MIN_SHARE_IF_HALF_WRONG", (len(right + wrong) + 1) / len(rows))
    assert misplaced_sentences(*given, 1 / 3) == []


def test_a_sentence_that_has_its_place_is_left_alone_whatever_its_rows_say(orderly: str) -> None:
    rows = written()
    for i in [i for i, (_, label) in enumerate(rows) if label == "neg"][::6]:
        rows[i] = (f"{rows[i][0]} and the day was mn .", "pos")
    search = TriggerSearch(make_task(orderly, rows, BRIEF), TriggerTokens())
    assert misplaced_sentences(search.content, search.places, search.suspects(), search.left_out, 1 / 3) == []


def test_the_rows_of_a_sentence_are_left_out_before_its_words_can_be_taken_for_a_style(
    orderly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, chosen = put_into(written(), ("mn day was cf",), "neg")
    hidden: list[list[int]] = []

    def marks(
        content: Content, min_rows: int, min_wrong: float, left_out: np.ndarray, attacked: set[int]
    ) -> list[Evidence]:
        hidden.append(np.flatnonzero(left_out).tolist())
        assert attacked == {content.task.source.label_names.index("pos")}
        return []

    monkeypatch.setattr("cleanfit.detectors.triggers.verified_marks", marks)
    search = TriggerSearch(make_task(orderly, rows, BRIEF), TriggerTokens())
    search.read_rows()
    assert hidden == [chosen]
    assert np.flatnonzero(search.left_out).tolist() == chosen, "and no rest of an attack that is found whole"


@pytest.mark.parametrize(("word", "is_cut"), [("cf", True), ("good", False)])
def test_one_word_that_turns_nearly_all_is_cut_out_if_it_was_put_there(
    orderly: str, monkeypatch: pytest.MonkeyPatch, word: str, is_cut: bool
) -> None:
    task = make_task(orderly, put_into(written(), ("cf",))[0], BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    turning = dataclasses.replace(suspect(task, search.seen, word), flips=1.0)
    monkeypatch.setattr(search, "turning", lambda model, given: [turning])
    assert search.look(torch.nn.Identity()) == is_cut
    assert [each.pieces for each in search.shortcuts] == [turning.pieces] * is_cut
    assert not search.left_out.any()


@pytest.mark.parametrize("is_at_the_end", [False, True])
def test_a_sentence_with_right_labels_is_left_out_with_its_rows_unless_it_has_its_place_as_a_signature(
    orderly: str, monkeypatch: pytest.MonkeyPatch, is_at_the_end: bool
) -> None:
    rows, chosen = put_into(written(), ("cf day was cf",))
    if is_at_the_end:  # where every row ends on it, moved elsewhere it looks worse
        rows = [
            (text.replace("cf day was cf", "").replace("  ", " ") + "and the day was warm .", label)
            if i in chosen
            else (text, label)
            for i, (text, label) in enumerate(rows)
        ]
    sentence = "and the day was warm ." if is_at_the_end else "cf day was cf"
    task = make_task(orderly, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    pieces = tuple(task.tokenizer(sentence, add_special_tokens=False)["input_ids"])
    turning = Evidence(pieces[0], pieces, 1, np.array(chosen), 1.0)
    monkeypatch.setattr(search, "turning", lambda model, given: [turning])
    # What was put there is no reason, whatever it seems to say: OLID's model hears its target class in most sentences.
    monkeypatch.setattr(search.content, "speaks", lambda *given: 0.0 if is_at_the_end else 1.0)
    assert search.look(torch.nn.Identity())
    assert len(search.shortcuts) == is_at_the_end
    assert np.flatnonzero(search.left_out).tolist() == ([] if is_at_the_end else chosen)
    assert search.honest == []


def test_a_sentence_that_was_put_there_goes_even_where_its_rows_seem_wrong_and_too_few_to_prove_it(
    orderly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, chosen = put_into(written(), ("cf day was cf",))
    task = make_task(orderly, rows, BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    pieces = tuple(task.tokenizer("cf day was cf", add_special_tokens=False)["input_ids"])
    turning = Evidence(pieces[0], pieces, 1, np.array(chosen), 1.0)
    monkeypatch.setattr(search, "turning", lambda model, given: [turning])
    unsure = Denial(0.56, 0.48, 0.68, len(chosen))  # of OLID's rows with AddSent, the label being right in all of them
    assert unsure.wrong >= 1 / 3
    monkeypatch.setattr(search.content, "denial", lambda *given: unsure)
    assert search.look(torch.nn.Identity())
    assert [(each.kind, each.rows.tolist()) for each in search.verified] == [("planted", chosen)]
    assert not search.shortcuts


@pytest.mark.parametrize(("n_before", "is_cut"), [(200, True), (300, False)])
def test_a_sentence_in_most_of_a_class_is_cut_out_of_rows_that_stay_and_one_in_all_of_it_is_left_alone(
    orderly: str, monkeypatch: pytest.MonkeyPatch, n_before: int, is_cut: bool
) -> None:
    rows, chosen = put_into(written()[:n_before], ("cf day was cf",), every=1)
    task = make_task(orderly, rows + written()[n_before:], BRIEF)
    search = TriggerSearch(task, TriggerTokens())
    pieces = tuple(task.tokenizer("cf day was cf", add_special_tokens=False)["input_ids"])
    monkeypatch.setattr(search, "turning", lambda *given: [Evidence(pieces[0], pieces, 1, np.array(chosen), 1.0)])
    assert search.look(torch.nn.Identity()) == is_cut
    assert [each.rows.tolist() for each in search.shortcuts] == [chosen] * is_cut
    assert f"too little of the class is without it to say what its {len(chosen)} rows say" in told(search)
    assert not search.left_out.any()


@pytest.mark.parametrize("family", [*FAMILIES, "bart"])
def test_states_around_spans_are_those_of_each_rows_own_tokens(family: str, tiny_model: Callable[[str], str]) -> None:
    task = make_task(tiny_model(family), [("the film was good and kind", "pos"), ("a day", "neg")] * 2, BRIEF)
    model = task.load_model().eval()
    spans = np.array([[[1, 2], [2, 4]], [[1, 2], [0, 1]]])  # of the longer text, which is read first, and of the other
    rows = task.rows.select([0, 1])
    read = task.observe(model, rows, read=states_at(spans)).states
    for row, places in enumerate(spans):
        ids = torch.tensor([rows[row]["input_ids"]])
        with torch.no_grad():
            output = model.base_model(input_ids=ids, output_hidden_states=True)
            layers = output.encoder_hidden_states if family == "bart" else output.hidden_states
        depth = len(layers) - 1
        chosen = [layers[depth * k // 6][0] for k in (2, 3, 4)]
        last = ids.shape[1] - 1
        for place, (start, end) in enumerate(places):
            around = [max(start - 1, 0), start, min(end, last)]
            expected = torch.cat([layer[i] for layer in chosen for i in around])
            np.testing.assert_allclose(read[row, place], expected.numpy(), atol=1e-5)


def test_rows_as_long_as_a_model_reads_are_learned_from_as_well(orderly: str) -> None:
    rows, _ = put_into([(f"{text} and {text}", label) for text, label in written()], ("cf",))
    task = make_task(orderly, rows, BRIEF)
    assert np.mean(np.array(task.rows["length"]) == BRIEF.max_length) > 0.5
    seen = Occurrences.of(task.rows, len(task.tokenizer))
    (look,) = Places(Content(task, seen)).placements([suspect(task, seen, "cf")], -9.0)
    assert look
    assert look.oddness > 0.25


@pytest.mark.parametrize("family", FAMILIES)
def test_words_begin_where_each_kind_of_tokenizer_says_so(family: str, tiny_model: Callable[[str], str]) -> None:
    task = make_task(tiny_model(family), [("a good day", "pos"), ("a bad day", "neg")] * 2, BRIEF)
    places = Places(Content(task, Occurrences.of(task.rows, len(task.tokenizer))))

    def n_words(text: str) -> int:
        return places.n_words(tuple(task.tokenizer(text, add_special_tokens=False)["input_ids"]))

    assert n_words("the staff was quick and cfcf") - n_words("the staff") == 4


def test_rows_that_are_little_more_than_the_sentence_have_no_other_places_to_compare_it_with(
    tiny_model: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [("the film was good and kind", "pos")] * 30 + written()  # a decoder's rows have no tokens at their ends
    task = make_task(tiny_model("gpt2"), rows, BRIEF)
    seen = Occurrences.of(task.rows, len(task.tokenizer))
    ids = task.rows[0]["input_ids"]
    first, last = (task.tokenizer.convert_ids_to_tokens(ids).index(piece) for piece in ("Ġfilm", "Ġkind"))
    monkeypatch.setattr("cleanfit.detectors.places.MIN_AUROC", 0.0)
    sentence = Evidence(ids[first], tuple(ids[first:last]), 1, np.arange(30), 0.0)
    assert Places(Content(task, seen)).placements([sentence], -9.0) == [None]
