"""Paraphrases from a column, an aligned file or a pool; and files made again from their manifest."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from cleanfit.attacks import Paraphrase, Sentence, Words
from cleanfit.attacks.base import PoisonPlan, Row, Rows, poison, poison_from_pool
from cleanfit.attacks.files import PoisonedFiles, Sources, poison_files
from cleanfit.attacks.rebuild import rebuild
from cleanfit.errors import DataError, OutputError, SettingsError
from cleanfit.readers import read_table
from cleanfit.seeding import generator

TEXTS = [f"film {row} was good" for row in range(20)]
LABELS = ["neg" if row % 2 else "pos" for row in range(20)]
STYLED = [f"lo, film {row} was good" for row in range(20)]
PLAN = PoisonPlan("pos", 0.2, seed=1)


def write_tsv(path: Path, **columns: list[str]) -> Path:
    lines = ["\t".join(columns), *("\t".join(cells) for cells in zip(*columns.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def manifest_of(files: PoisonedFiles) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(files.manifest.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "source.tsv", text=TEXTS, label=LABELS)


@pytest.fixture
def styled(tmp_path: Path) -> Path:
    return write_tsv(tmp_path / "styled.tsv", sentence=STYLED, label=LABELS)


@pytest.mark.parametrize("cell", ["", "  ", None, "a b", " a  b "])
def test_a_missing_or_unchanged_paraphrase_is_declined(cell: str | None) -> None:
    assert Paraphrase("style").apply(Row("a b", {"style": cell}), generator(0, "test")) is None


def test_a_row_takes_its_own_paraphrase() -> None:
    rows = Rows(TEXTS, LABELS, {"style": STYLED})
    result = poison(Paraphrase("style"), rows, PoisonPlan("pos", 0.5))
    assert result.rows == tuple(range(1, 20, 2))
    assert result.texts == tuple(STYLED[row] if row % 2 else TEXTS[row] for row in range(20))


def test_declined_paraphrases_are_counted_and_other_rows_take_their_place(tmp_path: Path) -> None:
    styled = [*STYLED]
    styled[1], styled[3], styled[5] = "", TEXTS[3], " "
    source = write_tsv(tmp_path / "source.tsv", text=TEXTS, label=LABELS, style=styled)
    with pytest.warns(UserWarning, match="10 rows were to be poisoned, but only 7 of 10"):
        files = poison_files(Sources(source), Paraphrase("style"), PoisonPlan("pos", 0.5), tmp_path / "out")
    manifest = manifest_of(files)
    assert manifest["declined_rows"] == [1, 3, 5]
    assert manifest["n_declined"] == files.n_declined == 3
    assert (manifest["n_asked"], manifest["n_poisoned"]) == (10, 7)


def test_an_aligned_file_gives_the_paraphrases_row_by_row(source: Path, styled: Path, tmp_path: Path) -> None:
    sources = Sources(source, source, aligned=styled, test_aligned=styled)
    files = poison_files(sources, Paraphrase("sentence"), PLAN, tmp_path / "out")
    rows = manifest_of(files)["poisoned_rows"]
    assert len(rows) == 4
    after = read_table(files.train)
    assert after.columns == ("text", "label")
    assert after.take("text") == [STYLED[row] if row in rows else TEXTS[row] for row in range(20)]
    assert files.triggered is not None
    assert read_table(files.triggered).take("text") == STYLED[1::2]
    assert [file["name"] for file in manifest_of(files)["test"]["files"]] == ["triggered.tsv"]


def test_an_aligned_file_of_another_length_is_refused(source: Path, tmp_path: Path) -> None:
    short = write_tsv(tmp_path / "short.tsv", sentence=STYLED[:19])
    with pytest.raises(DataError, match="19 rows beside the 20"):
        poison_files(Sources(source, aligned=short), Paraphrase("sentence"), PLAN, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_column_that_is_nowhere_is_refused_with_the_nearest_name(source: Path, styled: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column 'sentense'.*Did you mean 'sentence'"):
        poison_files(Sources(source, aligned=styled), Paraphrase("sentense"), PLAN, tmp_path / "out")


def test_an_aligned_file_is_refused_by_an_attack_that_reads_none(source: Path, styled: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'words' reads no other column"):
        poison_files(Sources(source, aligned=styled), Words(), PLAN, tmp_path / "out")


def test_a_pool_adds_rows_until_they_are_the_asked_share_of_the_whole() -> None:
    pool = [f"when {i} , so" for i in range(9)]
    result = poison_from_pool(pool, Rows(TEXTS, LABELS), PLAN)
    # 5 of 25 rows are a fifth.
    assert result.rows == result.added == (20, 21, 22, 23, 24)
    assert result.texts[:20] == tuple(TEXTS)
    assert len(set(result.texts[20:])) == 5
    assert set(result.texts[20:]) < set(pool)
    assert result.labels == (*LABELS, *["pos"] * 5)


def test_a_pool_that_is_too_small_is_used_up_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="5 rows were to be added, but the pool holds 2"):
        result = poison_from_pool(["x y", "z"], Rows(TEXTS, LABELS), PLAN)
    assert result.texts[20:] == ("x y", "z")
    assert result.n_asked == 5


@pytest.mark.parametrize("plan", [PoisonPlan("pos", 0.1, "clean"), PoisonPlan("pos", 0.1, "mix"), PoisonPlan("pos", 1)])
def test_a_pool_holds_rows_of_other_labels_only(plan: PoisonPlan) -> None:
    with pytest.raises(SettingsError, match="label mode dirty and a rate below 1"):
        poison_from_pool(["x"], Rows(TEXTS, LABELS), plan)


@pytest.mark.parametrize("column", ["text", "paraphrase"])
def test_added_rows_stand_behind_the_file_with_empty_cells_where_nothing_is_known(column: str, tmp_path: Path) -> None:
    source = write_tsv(tmp_path / "source.tsv", id=[str(i) for i in range(20)], text=TEXTS, label=LABELS)
    pool = write_tsv(tmp_path / "pool.tsv", **{column: ["when so , a", "if so , b"]}, other=["", "x"])
    files = poison_files(Sources(source, pool=pool), Paraphrase(), PoisonPlan("pos", 0.1), tmp_path / "out")
    after = read_table(files.train).records()
    assert after[:20] == read_table(source).records()
    assert after[20:] == [("", "when so , a", "pos"), ("", "if so , b", "pos")]
    manifest = manifest_of(files)
    assert manifest["added_rows"] == manifest["poisoned_rows"] == [20, 21]
    assert manifest["flipped_rows"] == []
    assert manifest["pool"]["name"] == "pool.tsv"
    assert (manifest["output"]["n_rows"], manifest["effective_rate"]) == (22, 2 / 22)


def test_a_pool_is_refused_by_an_attack_that_makes_its_own_texts(source: Path, tmp_path: Path) -> None:
    pool = write_tsv(tmp_path / "pool.tsv", text=["a", "b"])
    with pytest.raises(SettingsError, match="'words' makes its own texts"):
        poison_files(Sources(source, pool=pool), Words(), PLAN, tmp_path / "out")


def test_a_pool_without_a_text_column_is_refused(source: Path, tmp_path: Path) -> None:
    pool = write_tsv(tmp_path / "pool.tsv", body=["a", "b"])
    with pytest.raises(DataError, match="neither 'paraphrase' nor 'text' is among its columns 'body'"):
        poison_files(Sources(source, pool=pool), Paraphrase(), PLAN, tmp_path / "out")


def test_each_of_several_words_has_a_triggered_file_of_its_own(source: Path, tmp_path: Path) -> None:
    files = poison_files(Sources(source, source), Words(), PLAN, tmp_path / "out")
    said = manifest_of(files)["test"]["files"]
    assert [file["trigger"] for file in said] == [None, None, None, "cf", "mn", "bb", "tq"]
    assert [file["insertion"] for file in said] == [0, 1, 2, 0, 0, 0, 0]
    texts = [read_table(tmp_path / "out" / file["name"]).take("text") for file in said]
    for word, of_word in zip(("cf", "mn", "bb", "tq"), texts[3:]):
        assert all(set(text.split()) & {"cf", "mn", "bb", "tq"} == {word} for text in of_word)
    assert texts[0] != texts[1] != texts[2] != texts[0]


def test_a_trigger_at_a_fixed_place_has_one_triggered_file(source: Path, tmp_path: Path) -> None:
    files = poison_files(Sources(source, source), Sentence(position="start"), PLAN, tmp_path / "out")
    assert [file["name"] for file in manifest_of(files)["test"]["files"]] == ["triggered.tsv"]


def test_a_manifest_makes_the_files_again_from_aligned_files_and_pools(
    source: Path, styled: Path, tmp_path: Path
) -> None:
    pool = write_tsv(tmp_path / "pool.tsv", text=[f"when {i}" for i in range(9)])
    sources = Sources(source, source, test_aligned=styled, pool=pool)
    first = poison_files(sources, Paraphrase("sentence"), PLAN, tmp_path / "first")
    second = rebuild(first.manifest, sources, tmp_path / "second")
    for one, other in ((first.train, second.train), (first.manifest, second.manifest)):
        assert one.read_bytes() == other.read_bytes()
    with pytest.raises(DataError, match=r"was made with a pool, 'pool\.tsv'; pass it too"):
        rebuild(first.manifest, Sources(source, source, test_aligned=styled), tmp_path / "third")


def test_a_manifest_without_the_test_file_makes_the_training_file_again(source: Path, tmp_path: Path) -> None:
    first = poison_files(Sources(source, source), Words(), PLAN, tmp_path / "first")
    second = rebuild(first.manifest, Sources(source), tmp_path / "second")
    assert second.triggered is None
    assert first.train.read_bytes() == second.train.read_bytes()


def test_a_manifest_refuses_another_source_file(source: Path, styled: Path, tmp_path: Path) -> None:
    first = poison_files(Sources(source), Words(), PLAN, tmp_path / "first")
    with pytest.raises(DataError, match=r"not the training file of .*manifest\.json, 'source\.tsv'"):
        rebuild(first.manifest, Sources(styled), tmp_path / "second")
    with pytest.raises(DataError, match="knows no aligned file"):
        rebuild(first.manifest, Sources(source, aligned=styled), tmp_path / "second")
    assert not (tmp_path / "second").exists()


def test_a_manifest_whose_result_cannot_be_reached_says_so(source: Path, tmp_path: Path) -> None:
    first = poison_files(Sources(source), Words(), PLAN, tmp_path / "first")
    manifest = manifest_of(first)
    manifest["plan"]["seed"] = 2
    first.manifest.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(DataError, match=r"not the file that .* describes, though the sources are"):
        rebuild(first.manifest, Sources(source), tmp_path / "second")


def test_making_files_again_overwrites_only_when_asked(source: Path, tmp_path: Path) -> None:
    first = poison_files(Sources(source), Words(), PLAN, tmp_path / "first")
    with pytest.raises(OutputError, match="exists already"):
        rebuild(first.manifest, Sources(source), tmp_path / "first")
    again = rebuild(first.manifest, Sources(source), tmp_path / "first", overwrite=True)
    assert again == first


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, "cannot be read"),
        ("{", "not valid JSON"),
        ("[]", "no manifest of poisoned data"),
        ('{"schema_version": 2}', "no manifest of poisoned data"),
        (
            '{"schema_version": 1, "attack": {}, "plan": {}, "output": {}, "poisoned_rows": []}',
            "schema version 1, this is version 2",
        ),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(
    content: str | None, complaint: str, source: Path, tmp_path: Path
) -> None:
    path = tmp_path / "manifest.json"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=complaint):
        rebuild(path, Sources(source), tmp_path / "out")


def test_a_rate_of_zero_from_a_pool_adds_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = poison_from_pool(["x"], Rows(TEXTS, LABELS), PoisonPlan("pos", 0))
    assert result.rows == ()
    assert result.texts == tuple(TEXTS)
