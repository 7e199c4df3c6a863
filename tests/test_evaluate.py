"""Evaluation of a model against an attack's manifest: numbers by hand with a stub for the model, and a whole pass."""

import csv
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from sklearn.metrics import roc_auc_score
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from cleanfit import EmbeddingDrift, TokenUnlearning, TrainingSettings, fit
from cleanfit.attacks import Words
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.cli import main
from cleanfit.data import Columns
from cleanfit.detection import trigger_token_ids
from cleanfit.errors import CleanfitError, DataError, SettingsError
from cleanfit.evaluate import evaluate
from cleanfit.models import find_model, load_tokenizer
from cleanfit.results import to_plain
from cleanfit.scores import ClassScore, Evaluation, PieceRanks, SeedMean
from conftest import read_csv, sentences, write_tsv

SETTINGS = TrainingSettings(max_length=32, device="cpu")
NAMES, REFERENCE_NAMES = ("neg", "odd", "pos"), ("pos", "neg", "odd")  # the same labels in another order

CLEAN = [("a", "neg"), ("b", "neg"), ("c", "odd"), ("d", "pos"), ("e", "odd")]
# What the model and the reference say of each text. The target is pos; "e" could not carry the trigger.
MODEL_SAYS = dict(
    line.split(": ")
    for line in (
        *("a: neg", "b: pos", "c: odd", "d: pos", "e: neg"),
        *("cf a: pos", "cf b: pos", "mn c: neg"),  # first draw of places and words
        *("a mn: pos", "b cf: pos", "c cf: pos"),  # second draw
        *("cf a cf: pos", "c cf cf: odd"),  # cf alone; "b" declined
        *("mn a: pos", "mn b: pos", "mn c mn: neg"),  # mn alone
    )
)
REFERENCE_SAYS = dict(
    line.split(": ")
    for line in (
        *("a: neg", "b: neg", "c: odd", "d: pos", "e: neg"),
        *("cf a: pos", "cf b: neg", "mn c: odd", "a mn: neg", "b cf: neg", "c cf: odd"),
    )
)
TRIGGERED: dict[str, tuple[int, str | None, dict[int, str], list[int]]] = {
    "triggered": (0, None, {0: "cf a", 1: "cf b", 2: "mn c"}, [4]),
    "triggered-2": (1, None, {0: "a mn", 1: "b cf", 2: "c cf"}, [4]),
    "triggered-only-1": (0, "cf", {0: "cf a cf", 2: "c cf cf"}, [1, 4]),
    "triggered-only-2": (0, "mn", {0: "mn a", 1: "mn b", 2: "mn c mn"}, [4]),
}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_manifest(folder: Path, **changed: Any) -> Path:
    """Write the files of an attack by hand: a clean test file, the triggered ones and their manifest."""
    clean, train = write_tsv(folder / "test.tsv", CLEAN), write_tsv(folder / "train.tsv", sentences(6))
    files = []
    for name, (insertion, trigger, texts, declined) in TRIGGERED.items():
        path = write_tsv(folder / f"{name}.tsv", [(text, CLEAN[row][1]) for row, text in texts.items()])
        files.append(
            {
                "name": path.name,
                "sha256": sha256(path),
                "n_rows": len(texts),
                "insertion": insertion,
                "trigger": trigger,
                "rows": list(texts),
                "declined_rows": declined,
            }
        )
    manifest = {
        "schema_version": 2,
        "attack": {"name": "words"},
        "pieces": ["cf", "mn"],
        "plan": {"target": "pos", "rate": 0.5, "label_mode": "dirty", "seed": 0},
        "columns": {"text": "text", "text_pair": None, "label": "label"},
        "output": {"name": train.name, "sha256": sha256(train), "n_rows": 6},
        "poisoned_rows": [2, 4, 5],
        "test": {"input": {"name": "test.tsv", "sha256": sha256(clean), "n_rows": len(CLEAN)}, "files": files},
        **changed,
    }
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def classifier(tiny_model: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Give the folder of a tiny random BERT with a head for some labels; built once per session."""
    built: dict[tuple[str, ...], str] = {}

    def folder(*names: str) -> str:
        if names not in built:
            source = find_model(tiny_model("bert"), names)
            tokenizer = load_tokenizer(source)
            path = tmp_path_factory.mktemp("classifier")
            source.load(tokenizer, seed=0).save_pretrained(path)
            tokenizer.save_pretrained(path)
            built[names] = str(path)
        return built[names]

    return folder


def say(
    model: PreTrainedModel, rows: Dataset, tokenizer: PreTrainedTokenizerBase, settings: TrainingSettings
) -> np.ndarray:
    """Stand for a model's predictions: what the tables above say, in the model's own order of labels."""
    names = tuple(model.config.id2label[i] for i in range(3))
    said: Mapping[str, str] = REFERENCE_SAYS if names == REFERENCE_NAMES else MODEL_SAYS
    return np.array([[float(name == said[text]) for name in names] for text in rows["text"]])


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the models say what the tables above say."""
    monkeypatch.setattr("cleanfit.evaluate.predict", say)


@pytest.fixture(scope="module")
def scored(classifier: Callable[..., str], tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    folder = tmp_path_factory.mktemp("attack")
    manifest = write_manifest(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cleanfit.evaluate.predict", say)
        return evaluate(classifier(*NAMES), folder / "test.tsv", manifest=manifest, settings=SETTINGS)


def test_the_clean_scores_are_of_all_clean_rows(scored: Evaluation) -> None:
    assert (scored.n_rows, scored.clean_accuracy) == (5, 3 / 5)
    # neg: a right, e wrongly so, b missed. odd: c right, e missed. pos: d right, b wrongly so.
    assert scored.per_class == {
        "neg": ClassScore(1 / 2, 1 / 2, 1 / 2, 2),
        "odd": ClassScore(1.0, 1 / 2, pytest.approx(2 / 3), 2),
        "pos": ClassScore(1 / 2, 1.0, pytest.approx(2 / 3), 1),
    }
    assert scored.macro_f1 == pytest.approx((1 / 2 + 2 / 3 + 2 / 3) / 3)


def test_attack_success_is_given_per_draw_with_mean_and_interval(scored: Evaluation) -> None:
    attack = scored.attack
    assert attack is not None
    assert attack.target == "pos"
    assert [(one.file, one.insertion, one.trigger) for one in attack.insertions] == [
        ("triggered.tsv", 0, None),
        ("triggered-2.tsv", 1, None),
    ]
    assert [one.attack_success_rate for one in attack.insertions] == [2 / 3, 1.0]
    assert [one.label_flip_rate for one in attack.insertions] == [1.0, 1.0]  # "mn c" is neither odd nor the target
    assert [(one.n_triggered, one.n_declined) for one in attack.insertions] == [(3, 1), (3, 1)]
    success = attack.attack_success_rate
    assert (success.mean, success.n) == (pytest.approx(5 / 6), 2)
    # t(0.975, 1) = 12.7062; the standard error of 2/3 and 1 is 1/6.
    assert success.interval == pytest.approx((5 / 6 - 12.7062 / 6, 5 / 6 + 12.7062 / 6), abs=1e-4)


def test_the_false_trigger_rate_is_of_exactly_the_triggered_rows(scored: Evaluation) -> None:
    # Of a, b and c the model calls b pos; e, which could not be triggered, does not count.
    attack = scored.attack
    assert attack is not None
    assert attack.is_same_rows
    assert attack.false_trigger_rate == 1 / 3
    assert [one.false_trigger_rate for one in attack.per_trigger] == [0.0, 1 / 3]  # a and c; a, b and c
    assert (attack.baseline, attack.net_attack_success_rate) == ("false_trigger", pytest.approx(5 / 6 - 1 / 3))


def test_each_trigger_alone_is_scored_and_the_worst_named(scored: Evaluation) -> None:
    attack = scored.attack
    assert attack is not None
    assert [(one.trigger, one.attack_success_rate) for one in attack.per_trigger] == [("cf", 1 / 2), ("mn", 2 / 3)]
    assert [(one.n_triggered, one.n_declined) for one in attack.per_trigger] == [(2, 2), (3, 1)]
    assert attack.worst_trigger == "mn"


def test_a_reference_gives_the_baseline_whatever_the_order_of_its_labels(
    says: None, classifier: Callable[..., str], tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path)
    reference = classifier(*REFERENCE_NAMES)
    scored = evaluate(
        classifier(*NAMES), tmp_path / "test.tsv", manifest=manifest, reference=reference, settings=SETTINGS
    )
    assert scored.reference is not None
    assert scored.reference.model == reference
    assert scored.reference.clean_accuracy == 4 / 5
    assert scored.reference.triggered_target_rate == pytest.approx((1 / 3 + 0) / 2)
    assert scored.attack is not None
    assert scored.attack.baseline == "reference"
    assert scored.attack.net_attack_success_rate == pytest.approx(5 / 6 - 1 / 6)
    assert scored.attack.false_trigger_rate == 1 / 3


def test_without_a_manifest_all_clean_rows_of_other_labels_give_the_baseline(
    says: None, classifier: Callable[..., str], tmp_path: Path
) -> None:
    write_manifest(tmp_path)
    triggered = tmp_path / "triggered.tsv"
    scored = evaluate(
        classifier(*NAMES), tmp_path / "test.tsv", triggered=triggered, target="pos", settings=SETTINGS
    ).attack
    assert scored is not None
    assert not scored.is_same_rows
    assert scored.attack_success_rate == SeedMean(2 / 3, None, 1)
    assert scored.false_trigger_rate == 1 / 4  # b of a, b, c and e
    assert (scored.insertions[0].n_triggered, scored.insertions[0].n_declined) == (3, None)
    assert (scored.per_trigger, scored.worst_trigger) == ((), None)


@pytest.mark.parametrize("unknown", ["input", "rows"])
def test_an_imported_manifest_may_not_know_which_rows_were_triggered(
    unknown: str, says: None, classifier: Callable[..., str], tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path)
    stored = json.loads(manifest.read_text(encoding="utf-8"))
    stored["test"]["files"] = stored["test"]["files"][:1]
    if unknown == "input":
        stored["test"]["input"] = None
    else:
        stored["test"]["files"][0].update({"rows": None, "declined_rows": None})
    manifest.write_text(json.dumps(stored), encoding="utf-8")
    scored = evaluate(classifier(*NAMES), tmp_path / "test.tsv", manifest=manifest, settings=SETTINGS).attack
    assert scored is not None
    assert not scored.is_same_rows
    assert scored.false_trigger_rate == 1 / 4
    assert scored.insertions[0].n_declined == (1 if unknown == "input" else None)


def test_clean_rows_alone_give_no_attack_scores(says: None, classifier: Callable[..., str], tmp_path: Path) -> None:
    manifest = write_manifest(tmp_path, test=None)
    model, clean, reference = classifier(*NAMES), tmp_path / "test.tsv", classifier(*REFERENCE_NAMES)
    for scored in (
        evaluate(model, clean, reference=reference, settings=SETTINGS),
        evaluate(model, clean, reference=reference, manifest=manifest, settings=SETTINGS),
    ):
        assert (scored.attack, scored.rows, scored.tokens) == (None, None, None)
        assert scored.clean_accuracy == 3 / 5
        assert scored.reference is not None
        assert (scored.reference.clean_accuracy, scored.reference.triggered_target_rate) == (4 / 5, None)


def test_the_columns_are_those_of_the_manifest_unless_others_are_named(
    says: None, classifier: Callable[..., str], tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path)
    model, clean = classifier(*NAMES), tmp_path / "test.tsv"
    renamed = json.loads(manifest.read_text(encoding="utf-8"))
    renamed["columns"] = {"text": "label", "text_pair": None, "label": "text"}
    manifest.write_text(json.dumps(renamed), encoding="utf-8")
    with pytest.raises(DataError, match="'a' is not one of the training data's labels"):
        evaluate(model, clean, manifest=manifest, settings=SETTINGS)
    named = evaluate(model, clean, manifest=manifest, columns=Columns("text", None, "label"), settings=SETTINGS)
    assert named.clean_accuracy == 3 / 5


def write_run(folder: Path, model: str, train: Path) -> Path:
    """Write what detection needs of a run: rows 1 and 4 of the training file were held out."""
    run = folder / "run"
    run.mkdir()
    shutil.copytree(model, run / "model")
    audit = {"data": {"source": str(train), "sha256": sha256(train)}}
    (run / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    rows = [(0, 0.2, False, ""), (2, 0.9, True, "x"), (3, 0.5, True, "y"), (5, 0.4, False, "")]
    write_csv(run / "rows.csv", [("row", "score", "is_issue", "reason"), *rows])
    ids = AutoTokenizer.from_pretrained(model).convert_tokens_to_ids
    header = ("token_id", "text", "is_suspicious", "score", "rank_round1", "drift_l2_round1", "rank_round3", "n_rows")
    tokens = [
        (ids("cf"), "cf", True, 0.9, 2, 1.0, 1, 3),
        (ids("good"), "good", True, 0.8, 1, 1.1, 2, 4),
        (ids("mn"), "mn", False, 0.7, 5, 0.3, "", 2),
    ]
    write_csv(run / "tokens.csv", [header, *tokens])
    return run


def write_csv(path: Path, rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)


def test_a_runs_findings_are_scored_against_the_manifest(
    says: None, classifier: Callable[..., str], tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path)
    run = write_run(tmp_path, classifier(*NAMES), tmp_path / "train.tsv")
    scored = evaluate(str(run), tmp_path / "test.tsv", manifest=manifest, settings=SETTINGS)
    found = scored.rows
    assert found is not None
    # Rows 2 and 5 are poisoned, 4 is too but was held out; 2 and 3 are flagged.
    assert (found.n_rows, found.n_poisoned, found.n_flagged, found.prevalence) == (4, 2, 2, 0.5)
    assert (found.precision, found.recall, found.f1) == (0.5, 0.5, 0.5)
    assert (found.false_acceptance_rate, found.false_rejection_rate) == (0.5, 0.5)
    assert found.auroc == 3 / 4  # only row 5 is behind row 3
    assert found.tpr_at_1_percent_fpr == 0.5
    tokens = scored.tokens
    assert tokens is not None
    assert (tokens.n_trigger_tokens, tokens.n_suspicious, tokens.n_found) == (2, 2, 1)
    assert (tokens.precision, tokens.recall) == (0.5, 0.5)
    assert tokens.ranks == {"round1": PieceRanks(2, 5), "round3": PieceRanks(1, None)}
    assert scored.clean_accuracy == 3 / 5


def test_the_model_of_a_run_is_scored_without_detection_where_no_manifest_is_given(
    says: None, classifier: Callable[..., str], tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path)
    run = write_run(tmp_path, classifier(*NAMES), tmp_path / "train.tsv")
    clean = tmp_path / "test.tsv"
    assert evaluate(str(run), clean, settings=SETTINGS).rows is None
    assert evaluate(str(run / "model"), clean, manifest=manifest, settings=SETTINGS).rows is None


@pytest.mark.parametrize(
    ("table", "changed", "expected"),
    [
        ("rows.csv", {}, (False, False)),  # plain fine-tuning: nothing was looked for
        ("tokens.csv", {}, (True, False)),  # a detector of rows alone
        (None, {"pieces": []}, (True, False)),  # a trigger without words of its own
        (None, {"poisoned_rows": None}, (False, False)),  # imported data of which nobody knows
        (None, {"poisoned_rows": []}, (True, False)),  # rate 0: no trigger is there to be found
    ],
)
def test_what_was_not_looked_for_or_is_not_there_has_no_scores(
    table: str | None,
    changed: dict[str, Any],
    expected: tuple[bool, bool],
    says: None,
    classifier: Callable[..., str],
    tmp_path: Path,
) -> None:
    manifest = write_manifest(tmp_path, **changed)
    run = write_run(tmp_path, classifier(*NAMES), tmp_path / "train.tsv")
    if table is not None:
        content = (run / table).read_text(encoding="utf-8")
        (run / table).write_text(content.splitlines()[0] + "\n", encoding="utf-8")
    scored = evaluate(str(run), tmp_path / "test.tsv", manifest=manifest, settings=SETTINGS)
    assert (scored.rows is not None, scored.tokens is not None) == expected


def test_the_tokens_of_a_trigger_are_those_at_the_start_and_after_a_space(tiny_model: Callable[[str], str]) -> None:
    for family, pieces, expected in (
        ("bert", ["cf", "a 3D movie"], {"cf", "a", "3D", "movie"}),
        ("bert", ["snow☃"], set()),  # not in the vocabulary: the unknown token is not the trigger's
        ("roberta", ["watch"], {"w", "a", "tch", "Ġwatch"}),
        ("roberta", ["cf"], {"cf"}),  # " cf" is the bare space and "cf"; a bare space is not the trigger's
    ):
        tokenizer = AutoTokenizer.from_pretrained(tiny_model(family))
        ids = trigger_token_ids(tokenizer, pieces)
        assert set(tokenizer.convert_ids_to_tokens(sorted(ids))) == expected


def spoil_clean(folder: Path) -> None:
    write_tsv(folder / "test.tsv", [*CLEAN[:4], ("e", "neg")])


def spoil_triggered(folder: Path) -> None:
    path = folder / "triggered-2.tsv"
    path.write_text(path.read_text(encoding="utf-8").replace("mn", "cf"), encoding="utf-8")


def spoil_rows(folder: Path) -> None:
    replace_in(folder / "manifest.json", '"rows": [0, 1, 2]', '"rows": [0, 1, 3]')


def spoil_row_numbers(folder: Path) -> None:
    replace_in(folder / "manifest.json", '"rows": [0, 1, 2]', '"rows": [0, 1, 5]')


def spoil_train(folder: Path) -> None:
    replace_in(folder / "run" / "audit.json", sha256(folder / "train.tsv"), "0" * 64)


def spoil_audit(folder: Path) -> None:
    (folder / "run" / "audit.json").write_text("{}", encoding="utf-8")


def spoil_tokens(folder: Path) -> None:
    replace_in(folder / "run" / "tokens.csv", "is_suspicious", "suspicious")


def replace_in(path: Path, old: str, new: str) -> None:
    content = path.read_text(encoding="utf-8")
    assert old in content
    path.write_text(content.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoil_clean, r"not the clean test file 'test\.tsv' of .*manifest\.json"),
        (spoil_triggered, r"triggered-2\.tsv: not the triggered file that .*manifest\.json names"),
        (lambda folder: (folder / "triggered.tsv").unlink(), r"triggered\.tsv: cannot be read"),
        (spoil_rows, "its 3 rows and labels are not those that the manifest names"),
        (spoil_row_numbers, "its 3 rows and labels are not those that the manifest names"),
        (spoil_train, r"train\.tsv' \(sha256 0{12}\.\.\.\), which is not the manifest's 'train\.tsv'"),
        (spoil_audit, r"audit\.json: cannot be read as the audit of a run"),
        (spoil_tokens, r"tokens\.csv: expected the columns token_id, is_suspicious; got"),
        (lambda folder: (folder / "run" / "rows.csv").unlink(), r"rows\.csv: cannot be read"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    spoil: Callable[[Path], None], told: str, says: None, classifier: Callable[..., str], tmp_path: Path
) -> None:
    manifest = write_manifest(tmp_path)
    run = write_run(tmp_path, classifier(*NAMES), tmp_path / "train.tsv")
    spoil(tmp_path)
    with pytest.raises(DataError, match=told):
        evaluate(str(run), tmp_path / "test.tsv", manifest=manifest, settings=SETTINGS)


def test_what_cannot_be_asked_for_is_refused(says: None, classifier: Callable[..., str], tmp_path: Path) -> None:
    manifest, clean = write_manifest(tmp_path), tmp_path / "test.tsv"
    triggered, model = tmp_path / "triggered.tsv", classifier(*NAMES)
    refused: list[tuple[dict[str, Any], type[CleanfitError], str]] = [
        ({"triggered": triggered}, DataError, "pass both"),
        ({"target": "pos"}, DataError, "pass both"),
        ({"triggered": triggered, "target": "joy"}, DataError, "'joy' is none of the labels of .*: neg, odd, pos"),
        ({"manifest": manifest, "target": "pos"}, SettingsError, "leave --triggered and --target out"),
        ({"manifest": manifest, "triggered": triggered}, SettingsError, "leave --triggered and --target out"),
        ({"manifest": manifest, "reference": classifier("a", "b")}, DataError, "'pos' is none of the labels of"),
        ({"settings": TrainingSettings(max_length=81)}, SettingsError, "at most 80 tokens"),
    ]
    for arguments, kind, told in refused:
        with pytest.raises(kind, match=told):
            evaluate(model, clean, **{"settings": SETTINGS, **arguments})


def run_command(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["cleanfit", "evaluate", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        main()
    return int(stopped.value.code or 0)


def test_the_tables_show_what_the_json_holds(
    says: None,
    classifier: Callable[..., str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    manifest = write_manifest(tmp_path)
    run = write_run(tmp_path, classifier(*NAMES), tmp_path / "train.tsv")
    arguments = (run, "--clean", tmp_path / "test.tsv", "--manifest", manifest, "--max-length", 32)
    capsys.readouterr()
    assert run_command(monkeypatch, *arguments, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    expected = evaluate(str(run), tmp_path / "test.tsv", manifest=manifest, settings=SETTINGS)
    assert printed == json.loads(json.dumps(to_plain(expected)))
    assert list(printed) == [
        *("model", "n_rows", "clean_accuracy", "macro_f1", "per_class", "attack", "reference", "rows", "tokens")
    ]
    assert run_command(monkeypatch, *arguments, "--reference", classifier(*REFERENCE_NAMES)) == 0
    out = capsys.readouterr().out
    for shown in (
        "0.600 (5 rows)",
        "0.833 (mean of 2 draws, 95 % interval -1.284 to 2.951)",
        "0.333 (on the same rows)",
        "0.667 (minus the reference's target rate)",
        "0.667 ('mn')",
        "2 of 4 flagged, 2 poisoned (50.0%)",
        "1 of 2 trigger tokens among 2 suspicious",
        "1, not listed",
    ):
        assert shown in out


def split_evenly(folder: Path, texts: list[str]) -> None:
    """Shift a saved model's decision into the middle of some texts, since a few steps leave it with a single answer."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in texts])
        ahead = (logits[:, 1] - logits[:, 0]).sort().values
        model.classifier.bias[1] -= ahead[len(texts) // 2 - 1 : len(texts) // 2 + 1].mean()
    model.save_pretrained(folder)


def test_a_poisoned_and_fitted_run_is_scored_as_plain_transformers_and_its_tables_say(
    tiny_model: Callable[[str], str], tmp_path: Path
) -> None:
    train, test = (
        write_tsv(tmp_path / "data.tsv", sentences(100)),
        write_tsv(tmp_path / "test.tsv", sentences(30, seed=1)),
    )
    words, plan = Words(triggers=("cf", "mn")), PoisonPlan("pos", 0.2)
    files = poison_files(Sources(train, test), words, plan, tmp_path / "bad")
    detector = EmbeddingDrift(alpha=0.02, bag_min_steps=4, full_min_steps=4)
    quick = TrainingSettings(num_train_epochs=1, learning_rate=1e-3, max_length=32, precision="fp32", device="cpu")
    run = tmp_path / "run"
    fit(files.train, model=tiny_model("bert"), defense=TokenUnlearning(detector=detector), settings=quick, out=run)
    split_evenly(run / "model", [text for text, _ in sentences(30, seed=1)])
    scored = evaluate(str(run), test, manifest=files.manifest, settings=quick)

    tokenizer = AutoTokenizer.from_pretrained(run / "model")
    model = AutoModelForSequenceClassification.from_pretrained(run / "model").eval()

    def predicted(text: str) -> str:
        with torch.no_grad():
            logits = model(**tokenizer(text, truncation=True, max_length=32, return_tensors="pt")).logits
        return str(model.config.id2label[int(logits.argmax())])

    rows = sentences(30, seed=1)
    assert {predicted(text) for text, _ in rows} == {"neg", "pos"}
    assert scored.clean_accuracy == pytest.approx(np.mean([predicted(text) == label for text, label in rows]))
    triggered = [line.split("\t") for line in (tmp_path / "bad" / "triggered.tsv").read_text().splitlines()[1:]]
    assert scored.attack is not None
    assert scored.attack.insertions[0].attack_success_rate == np.mean(
        [predicted(text) == "pos" for text, _ in triggered]
    )
    others = [predicted(text) == "pos" for text, label in rows if label != "pos"]
    assert scored.attack.false_trigger_rate == pytest.approx(np.mean(others))
    assert [one.trigger for one in scored.attack.per_trigger] == ["cf", "mn"]
    assert scored.attack.attack_success_rate.n == 3

    poisoned = json.loads(files.manifest.read_text(encoding="utf-8"))["poisoned_rows"]
    table = read_csv(run / "rows.csv")
    assert scored.rows is not None
    assert (scored.rows.n_rows, scored.rows.n_flagged) == (90, sum(row["is_issue"] == "True" for row in table))
    truth = [int(row["row"]) in poisoned for row in table]
    assert scored.rows.auroc == pytest.approx(roc_auc_score(truth, [float(row["score"]) for row in table]))
    suspicious = {row["text"] for row in read_csv(run / "tokens.csv") if row["is_suspicious"] == "True"}
    assert scored.tokens is not None
    assert scored.tokens.n_found == len(suspicious & {"cf", "mn"})
    assert set(scored.tokens.ranks) == {"round1", "round3"}
