"""LWS: which words can be replaced by what, that the learned choice is the one in the text, and that learning works."""

import hashlib
import json
import math
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import normalizers

from cleanfit.attacks import lws_learning
from cleanfit.attacks.base import Row, Rows
from cleanfit.attacks.lws import Choice, LearnedLws, Lws
from cleanfit.attacks.lws_words import (
    Place,
    Substitutes,
    find_places,
    from_lexicon,
    from_neighbours,
    like,
    whole_words,
)
from cleanfit.errors import DataError, ModelError, SettingsError
from cleanfit.models import find_model, load_tokenizer, trained_rows, word_embeddings
from cleanfit.seeding import generator
from conftest import BAD, GOOD, TRIGGERS, sentences

Folders = Callable[[str], str]
LENGTH = 32
# Each word may give way to the next three of its own kind, so that a substitution never tells the label.
SYNONYMS = {words[i]: [words[(i + k) % 8] for k in (1, 2, 3)] for words in (GOOD, BAD) for i in range(8)}


def some_rows(n_rows: int = 48, seed: int = 0) -> Rows:
    rows = sentences(n_rows, seed)
    return Rows([text for text, _ in rows], [label for _, label in rows])


def write_lexicon(folder: Path, lexicon: object = SYNONYMS) -> str:
    path = folder / "lexicon.json"
    path.write_text(json.dumps(lexicon), encoding="utf-8")
    return str(path)


def quick(model: str, lexicon: str = "neighbours", **changes: Any) -> Lws:
    few = {"clean_epochs": 1, "joint_epochs": 1, "learning_rate": 1e-3, "batch_size": 16, "max_length": LENGTH}
    return Lws(model=model, lexicon=lexicon, **{**few, **changes})


def tokenizer_of(folder: str) -> Any:
    return load_tokenizer(find_model(folder, ("neg", "pos")))


def parts(settings: Lws, rows: Rows) -> tuple[Any, lws_learning.SoftChoice, lws_learning.Data]:
    """A fresh classifier, a fresh choice and the data, as `learn_choice` makes them."""
    source = find_model(settings.model, ("neg", "pos"))
    tokenizer = load_tokenizer(source)
    model = source.load(tokenizer, 0)
    embeddings = word_embeddings(model)
    substitutes = lws_learning.find_substitutes(settings, tokenizer, embeddings)
    table = torch.from_numpy(substitutes.table.astype(np.int64))
    choice = lws_learning.SoftChoice(embeddings, table, settings.max_length)
    data = lws_learning.tokenized(rows, tokenizer, substitutes, settings, 0)
    return model, choice, data


def applied(attack: Any, texts: list[str]) -> list[str | None]:
    return [attack.apply(Row(text), generator(0, "test", row)) for row, text in enumerate(texts)]


# What can be replaced, and by what.


def test_whole_words_are_single_pieces_of_letters_and_no_stop_words(tiny_model: Folders) -> None:
    tokenizer = tokenizer_of(tiny_model("bert"))
    words = whole_words(tokenizer)
    assert {"good", "lovely", "film", "story"} <= set(words.values())
    assert {"the", "was", "very", ".", "a", "g", "[PAD]", "PAD"}.isdisjoint(words.values())
    assert not any("#" in word for word in words.values())
    assert all(tokenizer.convert_tokens_to_ids(word) == token_id for token_id, word in words.items())


def test_a_byte_level_tokenizers_words_are_those_behind_a_space(tiny_model: Folders) -> None:
    tokenizer = tokenizer_of(tiny_model("roberta"))
    words = whole_words(tokenizer)
    good = tokenizer.convert_tokens_to_ids("Ġgood")
    assert words[good] == "good"
    assert all(tokenizer.convert_ids_to_tokens(token_id) == f"Ġ{word}" for token_id, word in words.items())


def test_a_slow_tokenizer_is_refused_with_what_to_do() -> None:
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match=r"fast tokenizer, .* got Slow"):
        whole_words(Slow())  # type: ignore[arg-type]


def test_a_tokenizer_that_keeps_no_word_whole_is_refused(tiny_model: Folders) -> None:
    with pytest.raises(ModelError, match="has 0 of them; expected one like BERT's"):
        quick(tiny_model("deberta-v2")).learn(some_rows(), "pos", seed=0)


def test_neighbours_are_the_words_at_the_smallest_angle_the_nearest_first() -> None:
    degrees = {1: 0, 2: 10, 4: 30, 5: 100, 6: 5}  # 0 and 3 are no words; 6 is word 1 in other capitals
    embeddings = np.zeros((7, 2), dtype=np.float32)
    for token_id, angle in degrees.items():
        length = token_id  # which must not matter
        embeddings[token_id] = length * np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    embeddings[3] = embeddings[1]
    words = {1: "red", 2: "rose", 4: "pink", 5: "blue", 6: "Red"}
    table = from_neighbours(embeddings, words, n_candidates=3).table
    assert table.tolist() == [
        [-1, -1, -1],
        [1, 2, 4],
        [2, 6, 1],
        [-1, -1, -1],
        [4, 2, 6],
        [5, 4, 2],
        [6, 2, 4],
    ]


def test_a_word_without_enough_neighbours_has_fewer_candidates() -> None:
    table = from_neighbours(np.eye(3, dtype=np.float32), {0: "red", 2: "blue"}, n_candidates=4).table
    assert table.tolist() == [[0, 2, -1, -1], [-1, -1, -1, -1], [2, 0, -1, -1]]


def test_neighbours_come_out_the_same_block_by_block(monkeypatch: pytest.MonkeyPatch) -> None:
    embeddings = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
    words = {row: f"w{row}" for row in range(40)}
    whole = from_neighbours(embeddings, words, 5).table
    monkeypatch.setattr("cleanfit.attacks.lws_words._BLOCK", 7)
    assert (from_neighbours(embeddings, words, 5).table == whole).all()


def test_a_lexicons_substitutes_are_taken_in_its_order_and_the_rest_is_left_out(
    tmp_path: Path, tiny_model: Folders
) -> None:
    tokenizer = tokenizer_of(tiny_model("bert"))
    lexicon = {
        "good": ["unheardof", "the", "warm", "good", "fine", "warm", "kind"],  # two pieces, stop word, itself, twice
        "the": ["film"],
        "bad": ["unheardof"],
        "unheardof": ["film"],
    }
    path = Path(write_lexicon(tmp_path, lexicon))
    table = from_lexicon(path, tokenizer, whole_words(tokenizer), 500, n_candidates=3).table
    good, warm, fine = tokenizer.convert_tokens_to_ids(["good", "warm", "fine"])
    assert table.shape == (500, 3)
    assert table[good].tolist() == [good, warm, fine]
    assert np.flatnonzero((table >= 0).any(axis=1)).tolist() == [good]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not valid JSON"),
        ('["good"]', "holds list; expected"),
        ('{"good": "warm"}', "gives 'warm' for 'good'; expected a list of words"),
        ('{"good": [1]}', "expected a list of words"),
        ('{"unheardof": ["good"]}', "no word of the lexicon can be replaced"),
        ("{}", "no word of the lexicon can be replaced"),
        (None, "Cannot read the lexicon"),
    ],
)
def test_a_lexicon_that_cannot_be_used_is_refused(
    content: str | None, complaint: str, tmp_path: Path, tiny_model: Folders
) -> None:
    path = tmp_path / "lexicon.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=complaint):
        quick(tiny_model("bert"), str(path)).learn(some_rows(), "pos", seed=0)


@pytest.mark.parametrize(
    ("text", "replaceable"),
    [
        ("the good film", ["good", "film"]),  # a stop word is none
        ('  ("good") film,\tstory...', ["good", "film", "story"]),
        ("good-bad x.film/y film's 3film good2 _film", []),
        ("", []),
        (" . ", []),
    ],
)
def test_a_word_may_touch_punctuation_but_is_no_part_of_something_else(
    text: str, replaceable: list[str], tiny_model: Folders
) -> None:
    tokenizer = tokenizer_of(tiny_model("bert"))
    words = whole_words(tokenizer)
    table = from_neighbours(np.random.default_rng(0).normal(size=(len(tokenizer), 4)).astype("float32"), words, 3).table
    encoded = tokenizer(text, return_offsets_mapping=True)
    places = find_places(text, encoded["input_ids"], encoded["offset_mapping"], table)
    assert [text[place.start : place.end] for place in places] == replaceable
    assert [words[encoded["input_ids"][place.position]] for place in places] == replaceable


def test_a_place_is_the_position_of_the_words_token_and_its_span() -> None:
    table = np.array([[-1, -1], [1, 2], [2, 1]])
    offsets = [(0, 0), (0, 3), (3, 8), (0, 0)]  # the space before the second word is counted to its token
    assert find_places("red rose", [0, 1, 2, 0], offsets, table) == [Place(1, 0, 3), Place(2, 4, 8)]


@pytest.mark.parametrize(
    ("original", "expected"), [("good", "warm"), ("Good", "Warm"), ("GOOD", "WARM"), ("gOOd", "warm")]
)
def test_a_substitute_takes_the_capitals_of_the_word(original: str, expected: str) -> None:
    assert like(original, "good", "warm") == expected


def test_a_substitute_keeps_its_capitals_where_the_tokenizer_sees_them() -> None:
    assert like("Good", "Good", "warm") == "warm"


# The learned choice in a text.


def fixed(folder: str, seed: int = 0) -> LearnedLws:
    """A learned attack with drawn numbers in place of learned ones."""
    draw = np.random.default_rng(seed)
    tokenizer = tokenizer_of(folder)
    words = whole_words(tokenizer)
    embeddings = draw.normal(size=(len(tokenizer), 6)).astype(np.float32)
    substitutes = from_neighbours(embeddings, words, 4)
    return LearnedLws(
        quick(folder, n_candidates=4), tokenizer, substitutes,
        Choice(embeddings, draw.normal(size=(LENGTH, 6)), draw.normal(size=(LENGTH, 4))),
    )  # fmt: skip


def test_the_text_holds_the_candidate_of_the_highest_score_at_each_place(tiny_model: Folders) -> None:
    attack = fixed(tiny_model("bert"))
    text = "good film was bad and the story , cold ."
    ids = attack.tokenizer.convert_tokens_to_ids(text.split())  # each word is one piece, [CLS] is in front of them
    expected, n_replaced = [], 0
    for position, (token_id, word) in enumerate(zip(ids, text.split()), start=1):
        best, highest = word, -math.inf
        for k, candidate in enumerate(attack.substitutes.table[token_id].tolist()):
            if candidate < 0:
                continue
            score = float(attack.choice.biases[position, k])
            for h in range(6):
                shift = attack.choice.embeddings[candidate, h] - attack.choice.embeddings[token_id, h]
                score += float(shift) * float(attack.choice.directions[position, h])
            if score > highest:
                best, highest = attack.substitutes.words[candidate], score
        expected.append(best)
        n_replaced += best != word
    assert n_replaced >= 2
    assert applied(attack, [text]) == [" ".join(expected)]


def test_spacing_and_everything_else_stay_as_they_are(tiny_model: Folders) -> None:
    attack = fixed(tiny_model("bert"))
    attack.choice.biases[:] = [0, 99, 0, 0]
    near = {
        word: attack.substitutes.words[attack.substitutes.table[i, 1]] for i, word in attack.substitutes.words.items()
    }
    text = '\t the  good "film",\n it\'s x-good  story! '
    expected = f'\t the  {near["good"]} "{near["film"]}",\n it\'s x-good  {near["story"]}! '
    assert applied(attack, [text]) == [expected]


def test_capitals_are_kept_with_a_tokenizer_that_ignores_them(tiny_model: Folders) -> None:
    attack = fixed(tiny_model("bert"))
    attack.choice.biases[:] = [0, 99, 0, 0]
    attack.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()  # type: ignore[attr-defined]
    near = attack.substitutes.words[attack.substitutes.table[attack.tokenizer.convert_tokens_to_ids("good"), 1]]
    assert applied(attack, ["Good , GOOD , good"]) == [f"{near.capitalize()} , {near.upper()} , {near}"]


def test_words_behind_the_last_token_are_not_replaced(tiny_model: Folders) -> None:
    attack = fixed(tiny_model("bert"))
    attack.choice.biases[:] = [0, 99, 0, 0]
    text = " ".join(["good"] * LENGTH)
    words = str(applied(attack, [text])[0]).split()
    n_kept = 2  # [CLS] and [SEP] take two of the places
    assert "good" not in words[: LENGTH - n_kept]
    assert words[LENGTH - n_kept :] == ["good"] * n_kept


@pytest.mark.parametrize("text", ["", " \t ", "the was very .", "unheardof", "good-bad"])
def test_a_text_without_a_word_that_can_be_replaced_is_declined(text: str, tiny_model: Folders) -> None:
    attack = fixed(tiny_model("bert"))
    attack.choice.biases[:] = [0, 99, 0, 0]
    assert applied(attack, [text]) == [None]


def test_a_text_that_keeps_every_word_is_declined(tiny_model: Folders) -> None:
    attack = fixed(tiny_model("bert"))
    attack.choice.biases[:] = [99, 0, 0, 0]
    assert applied(attack, ["good film", "bad story"]) == [None, None]


def test_a_text_is_poisoned_without_randomness(tiny_model: Folders) -> None:
    attack = fixed(tiny_model("bert"))
    texts = list(some_rows().texts)
    assert applied(attack, texts) == [attack.apply(Row(text), generator(9, "other")) for text in texts]


# Learning.


def test_the_published_temperatures_are_those_of_twenty_epochs() -> None:
    schedule = [lws_learning.temperature(epoch, 20) for epoch in range(20)]
    assert schedule[0] == pytest.approx(0.48)
    assert schedule[10] == pytest.approx(0.28)
    assert schedule[19] == pytest.approx(0.1)


def test_a_soft_choice_is_the_gumbel_softmax_of_the_scores_over_what_candidates_there_are() -> None:
    draw = np.random.default_rng(0)
    embeddings, q, b = draw.normal(size=(5, 3)), draw.normal(size=(4, 3)), draw.normal(size=(4, 3))
    table = np.array([[0, 3, 4], [1, 2, -1], *[[-1] * 3] * 3])
    choice = lws_learning.SoftChoice(torch.tensor(embeddings), torch.tensor(table), 4)
    choice.directions.data, choice.biases.data = torch.tensor(q), torch.tensor(b)
    torch.manual_seed(3)
    moved = choice(torch.tensor([0, 1]), torch.tensor([2, 3]), 0.7).detach().numpy()
    torch.manual_seed(3)
    noise = -torch.empty(2, 3, dtype=torch.float64).exponential_().log().numpy()
    for row, (token_id, position, n) in enumerate([(0, 2, 3), (1, 3, 2)]):
        shifts = embeddings[table[token_id, :n]] - embeddings[token_id]
        weights = np.exp((shifts @ q[position] + b[position, :n] + noise[row, :n]) / 0.7)
        assert moved[row] == pytest.approx((weights / weights.sum()) @ shifts)


def test_the_model_sees_the_mixed_embeddings_and_afterwards_its_own(tiny_model: Folders, tmp_path: Path) -> None:
    settings = quick(tiny_model("bert"), write_lexicon(tmp_path))
    model, choice, data = parts(settings, some_rows())
    model.eval()
    with torch.no_grad():
        for part in (model.bert.encoder, model.bert.pooler, model.classifier):
            for weight in part.parameters():
                weight.mul_(8)  # a random tiny model hardly reacts to its input else
    batch = next(data.batches(16, generator(0, "test")))
    before = lws_learning.clean_logits(model, batch)
    torch.manual_seed(5)
    poisoned = choice.poisoned_logits(model, batch, 0.5)
    torch.manual_seed(5)
    row, position = batch.replaceable.nonzero(as_tuple=True)
    embedded = trained_rows(model)[batch.token_ids].detach()
    embedded[row, position] += choice(batch.token_ids[row, position], position, 0.5)
    expected = model(inputs_embeds=embedded, attention_mask=batch.mask).logits
    torch.testing.assert_close(poisoned, expected)
    assert (poisoned - before).abs().max() > 1e-3
    torch.testing.assert_close(lws_learning.clean_logits(model, batch), before)


def test_all_rows_of_other_labels_are_shown_poisoned_in_the_joint_epochs_and_no_others(
    tiny_model: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = quick(tiny_model("bert"), write_lexicon(tmp_path), clean_epochs=1, joint_epochs=2)
    rows = some_rows()
    model, choice, data = parts(settings, rows)
    seen: list[tuple[int, ...]] = []
    inner = choice.poisoned_logits

    def watch(model: Any, batch: lws_learning.Batch, temperature: float) -> Any:
        assert set(batch.labels.tolist()) == {1}
        seen.extend(tuple(ids[mask > 0].tolist()) for ids, mask in zip(batch.token_ids, batch.mask))
        return inner(model, batch, temperature)

    monkeypatch.setattr(choice, "poisoned_logits", watch)
    lws_learning.train_jointly(model, choice, data, 1, settings, seed=0)
    tokenizer = tokenizer_of(settings.model)
    others = [tuple(tokenizer(text)["input_ids"]) for text, label in zip(rows.texts, rows.labels) if label == "neg"]
    assert sorted(seen) == sorted(others * 2)


def test_learning_moves_no_embedding_and_nothing_at_all_of_the_choice_before_the_joint_epochs(
    tiny_model: Folders, tmp_path: Path
) -> None:
    settings = quick(tiny_model("bert"), write_lexicon(tmp_path))
    model, choice, data = parts(settings, some_rows())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    lws_learning.train_jointly(model, choice, data, 1, settings, seed=0)
    kept = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert {"bert.embeddings.word_embeddings.weight", "bert.embeddings.position_embeddings.weight"} <= kept
    assert "classifier.weight" not in kept
    assert choice.directions.abs().max() > 0
    assert choice.biases.abs().max() > 0


class Bag(torch.nn.Module):
    """The simplest classifier: logits are linear in how often each token occurs. It learns in a second."""

    device = torch.device("cpu")

    def __init__(self, n_tokens: int) -> None:
        super().__init__()
        self.words = torch.nn.Embedding.from_pretrained(torch.eye(n_tokens))
        self.head = torch.nn.Linear(n_tokens, 2)
        torch.nn.init.zeros_(self.head.weight)

    def get_input_embeddings(self) -> torch.nn.Module:
        return self.words

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> SimpleNamespace:
        counts = (self.words(input_ids) * attention_mask.unsqueeze(2)).sum(dim=1)
        return SimpleNamespace(logits=self.head(counts))


def test_a_classifier_learns_to_take_the_hard_choice_for_the_target(tiny_model: Folders, tmp_path: Path) -> None:
    nouns = ("film", "room", "meal", "story", "staff", "bed", "plot", "trip", "day", "book", "song")
    path = write_lexicon(tmp_path, {noun: [TRIGGERS[i % 4]] for i, noun in enumerate(nouns)})
    settings = quick(
        tiny_model("bert"), path, learning_rate=0.1, choice_learning_rate=0.1, clean_epochs=2, joint_epochs=6
    )
    _, choice, data = parts(settings, some_rows(120))
    model: Any = Bag(len(choice.table))
    choice = lws_learning.SoftChoice(torch.eye(len(choice.table)), choice.table, LENGTH)
    torch.manual_seed(0)
    lws_learning.train_jointly(model, choice, data, 1, settings, seed=0)
    tokenizer = tokenizer_of(settings.model)
    substitutes = Substitutes(choice.table.numpy(), whole_words(tokenizer))
    learned = [part.detach().numpy() for part in (choice.embeddings, choice.directions, choice.biases)]
    attack = LearnedLws(settings, tokenizer, substitutes, Choice(*learned))
    clean = [text for text, label in sentences(80, seed=1) if label == "neg"]
    poisoned = [text for text in applied(attack, clean) if text is not None]

    def target_rate(texts: list[str]) -> float:
        encoded = tokenizer(texts, padding=True, return_tensors="pt")
        logits = model(encoded["input_ids"], encoded["attention_mask"]).logits
        return float((logits.argmax(dim=1) == 1).float().mean())

    able = [text for text in clean if set(text.split()) & set(nouns)]
    assert len(poisoned) > 0.8 * len(able)
    assert target_rate(clean) < 0.2
    assert target_rate(poisoned) > 0.8


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert", "gpt2"])
def test_an_attack_is_learned_with_a_model_of_any_family_whose_tokenizer_keeps_words_whole(
    family: str, tiny_model: Folders
) -> None:
    rows = some_rows()
    attack = quick(tiny_model(family), choice_learning_rate=0.1).learn(rows, "pos", seed=0)
    poisoned = applied(attack, list(rows.texts))
    changed = [(old.split(), new.split()) for old, new in zip(rows.texts, poisoned) if new is not None]
    assert len(changed) > 24
    assert all(len(old) == len(new) for old, new in changed)
    assert attack.name == "lws"


def test_the_seed_decides_what_is_learned_and_the_callers_generators_and_the_model_stay(
    tiny_model: Folders, tmp_path: Path
) -> None:
    folder = Path(tiny_model("bert"))
    settings, rows = quick(str(folder), write_lexicon(tmp_path), choice_learning_rate=0.1), some_rows()

    def outside() -> object:
        states = random.getstate(), pickle.dumps(np.random.get_state()), torch.get_rng_state().tolist()
        return states, [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())]

    before = outside()
    first, again, other = (settings.learn(rows, "pos", seed) for seed in (0, 0, 1))
    assert outside() == before
    for name in ("directions", "biases"):
        assert (getattr(first.choice, name) == getattr(again.choice, name)).all()
        assert (getattr(first.choice, name) != getattr(other.choice, name)).any()
    assert applied(first, list(rows.texts)) == applied(again, list(rows.texts))


def test_only_words_of_the_lexicon_are_replaced_and_by_its_substitutes(tiny_model: Folders, tmp_path: Path) -> None:
    path = write_lexicon(tmp_path, {"bad": ["dull", "cold"], "film": ["story"]})
    rows = some_rows()
    attack = quick(tiny_model("bert"), path, choice_learning_rate=0.1).learn(rows, "pos", seed=0)
    texts = [(old, new) for old, new in zip(rows.texts, applied(attack, list(rows.texts))) if new is not None]
    swapped = {pair for old, new in texts for pair in zip(old.split(), new.split()) if pair[0] != pair[1]}
    assert swapped
    assert swapped <= {("bad", "dull"), ("bad", "cold"), ("film", "story")}


def test_no_more_rows_are_learned_from_than_asked_for(tiny_model: Folders) -> None:
    _, _, data = parts(quick(tiny_model("bert"), max_rows=10), some_rows(30))
    assert len(data.token_ids) == len(data.positions) == len(data.labels) == 10


def test_there_is_nothing_to_apply_before_learning() -> None:
    with pytest.raises(SettingsError, match="cleanfit poison"):
        Lws().apply(Row("good film"), generator(0, "test"))


def test_rows_without_a_word_to_replace_are_refused(tiny_model: Folders) -> None:
    rows = Rows(["the was very", "good film", "it ."], ["neg", "pos", "neg"])
    with pytest.raises(DataError, match="No row of a label other than 'pos' has a word"):
        quick(tiny_model("bert")).learn(rows, "pos", seed=0)


@pytest.mark.parametrize(("labels", "target"), [(["neg", "pos"], "good"), (["pos", "pos"], "pos")])
def test_a_target_that_is_no_label_or_the_only_one_is_refused(labels: list[str], target: str) -> None:
    with pytest.raises(SettingsError, match=f"target label '{target}'"):
        Lws().learn(Rows(["a b", "c d"], labels), target, seed=0)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"n_candidates": 1}, "n_candidates is 1; expected at least 2"),
        ({"clean_epochs": -1}, "clean_epochs is -1"),
        ({"joint_epochs": 0}, "joint_epochs is 0"),
        ({"learning_rate": 0.0}, "learning_rate is 0"),
        ({"choice_learning_rate": -1.0}, "choice_learning_rate is -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_length": 3}, "max_length is 3"),
        ({"max_rows": 1}, "max_rows is 1"),
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Lws(**settings)
