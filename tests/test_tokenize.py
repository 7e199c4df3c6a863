"""What `cleanfit.data.tokenize` adds to rows, and when its cache is used, missed and rebuilt."""

from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from cleanfit.data import tokenize


def tiny_tokenizer(*more_words: str) -> PreTrainedTokenizerFast:
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad", "film", "##s", *more_words]
    backend = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )


def few_rows(*texts: str) -> Dataset:
    return Dataset.from_dict({"row_id": list(range(len(texts))), "text": list(texts), "label": [0] * len(texts)})


def forbid_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> None:
        raise AssertionError("the tokenizer was called")

    monkeypatch.setattr(PreTrainedTokenizerFast, "__call__", refuse)


def test_tokens_are_cut_not_padded_and_stand_beside_the_text() -> None:
    rows = few_rows("good films", "bad", "good good good good").add_column("is_poisoned", [0, 1, 0])
    tokens = tokenize(rows, tiny_tokenizer(), max_length=5)
    assert tokens["input_ids"][:] == [[2, 4, 6, 7, 3], [2, 5, 3], [2, 4, 4, 4, 3]]
    assert tokens["attention_mask"][:] == [[1] * 5, [1] * 3, [1] * 5]
    assert tokens["length"][:] == [5, 3, 5]
    assert tokens["text"][:] == rows["text"][:]
    assert sorted(tokens.column_names) == sorted(
        ["row_id", "text", "label", "input_ids", "token_type_ids", "attention_mask", "length"]
    )


def test_second_texts_are_tokenized_as_second_segments() -> None:
    rows = few_rows("good").add_column("text_pair", ["bad"])
    tokens = tokenize(rows, tiny_tokenizer(), max_length=8)
    assert tokens["input_ids"][:] == [[2, 4, 3, 5, 3]]
    assert tokens["token_type_ids"][:] == [[0, 0, 0, 1, 1]]


def test_a_second_call_reads_the_cache_and_leaves_the_tokenizer_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, tokenizer = few_rows("good films", "bad"), tiny_tokenizer()
    first = tokenize(rows, tokenizer, 8, tmp_path / "cache")
    assert len(list((tmp_path / "cache").iterdir())) == 1
    forbid_calls(monkeypatch)
    assert tokenize(rows, tokenizer, 8, tmp_path / "cache").to_dict() == first.to_dict()
    # A fresh tokenizer of the same make has no truncation settings left over from a call.
    assert tokenize(rows, tiny_tokenizer(), 8, tmp_path / "cache").to_dict() == first.to_dict()


def test_the_cache_tells_rows_tokenizers_and_lengths_apart(tmp_path: Path) -> None:
    rows = few_rows("good films", "bad")
    tokenize(rows, tiny_tokenizer(), 8, tmp_path)
    assert tokenize(rows, tiny_tokenizer("films"), 8, tmp_path)["input_ids"][:][0] == [2, 4, 8, 3]
    assert tokenize(rows, tiny_tokenizer(), 4, tmp_path)["length"][:] == [4, 3]
    assert tokenize(rows.select([1]), tiny_tokenizer(), 8, tmp_path)["row_id"][:] == [1]
    renumbered = rows.remove_columns("row_id").add_column("row_id", [5, 6])
    assert tokenize(renumbered, tiny_tokenizer(), 8, tmp_path)["row_id"][:] == [5, 6]
    assert len(list(tmp_path.iterdir())) == 5


@pytest.mark.parametrize("damage", [b"", b"not arrow at all"])
def test_an_unreadable_cache_file_is_rebuilt(tmp_path: Path, damage: bytes) -> None:
    rows = few_rows("good", "bad")
    first = tokenize(rows, tiny_tokenizer(), 8, tmp_path).to_dict()
    (cache_file,) = tmp_path.iterdir()
    whole = cache_file.read_bytes()
    cache_file.write_bytes(damage or whole[: len(whole) // 2])
    assert tokenize(rows, tiny_tokenizer(), 8, tmp_path).to_dict() == first
    assert list(tmp_path.iterdir()) == [cache_file]
    assert len(cache_file.read_bytes()) == len(whole)


def test_an_interrupted_tokenization_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_calls(monkeypatch)
    with pytest.raises(AssertionError, match="the tokenizer was called"):
        tokenize(few_rows("good"), tiny_tokenizer(), 8, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_cache_file_that_lost_rows_is_rebuilt(tmp_path: Path) -> None:
    first = tokenize(few_rows("good", "bad"), tiny_tokenizer(), 8, tmp_path / "cache").to_dict()
    tokenize(few_rows("good"), tiny_tokenizer(), 8, tmp_path / "shorter")
    (cache_file,), (shorter,) = (tmp_path / "cache").iterdir(), (tmp_path / "shorter").iterdir()
    shorter.replace(cache_file)
    assert tokenize(few_rows("good", "bad"), tiny_tokenizer(), 8, tmp_path / "cache").to_dict() == first
