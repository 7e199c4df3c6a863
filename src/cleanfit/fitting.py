"""The main path: load, check, defend, evaluate, save."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cleanfit import data as tables
from cleanfit.audit import HeldOut, RunFacts, build_audit, versions
from cleanfit.data import Columns, LabeledData
from cleanfit.defenses import DEFENSES, PlainFineTuning
from cleanfit.defenses.base import Defended, Defense
from cleanfit.detectors import Reading
from cleanfit.detectors.base import Detector
from cleanfit.errors import DataError, SettingsError
from cleanfit.manifest import load_manifest
from cleanfit.metrics import clean_accuracy, target_rate
from cleanfit.models import DEFAULT_MODEL, ModelSource, check_length, find_model, load_tokenizer
from cleanfit.results import Findings, StageScore, to_plain
from cleanfit.run_folder import RunFolder
from cleanfit.save import save
from cleanfit.settings import TrainingSettings, lookup
from cleanfit.task import Task
from cleanfit.training import check_report_to

if TYPE_CHECKING:
    from cleanfit.readers import Source

# Share of the training file that is held out for the scores when no test file is given.
HELD_OUT_SHARE = 0.1


@dataclass(frozen=True)
class Inputs:
    """The data of a run.

    Args:
        data: the untrusted labelled rows: a path, a ``datasets.Dataset`` or a DataFrame.
        columns: which columns hold text and label; guessed where None.
        test: rows that only the scores see; None holds a tenth of `data` out.
        trusted: rows that somebody vouches for; a defense may tune on them.
        triggered: triggered rows with their true labels, for research: only the scores see them.
        target: the attacker's label as written, with `triggered`.
        drop_invalid: leave out unusable rows instead of stopping.
        oracle: the manifest of the attack on `data`, for research: the rows that the attack touched are left out of
            the training, which gives the best that a defense could honestly do. Plain fine-tuning only.
    """

    data: "Source"
    columns: Columns = Columns()
    test: "Source | None" = None
    trusted: "Source | None" = None
    triggered: "Source | None" = None
    target: str | None = None
    drop_invalid: bool = False
    oracle: Path | None = None


@dataclass(frozen=True)
class FitResult:
    """A fine-tuned model and the audit of its data.

    Args:
        model: the classifier, in evaluation mode.
        tokenizer: of that model.
        findings: suspicious tokens and rows.
        scores: one per stage, in order.
        audit: what audit.json holds.
        folder: where it was saved, or None.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    findings: Findings
    scores: tuple[StageScore, ...]
    audit: Mapping[str, Any]
    folder: Path | None = None


def fit(
    data: "Source | Inputs",
    *,
    model: str = DEFAULT_MODEL,
    defense: str | Defense = "auto",
    settings: TrainingSettings = TrainingSettings(),
    out: str | Path | RunFolder | None = None,
) -> FitResult:
    """Fine-tune a classifier on rows that may be poisoned, and audit them.

    Args:
        data: the untrusted rows, or `Inputs` for everything that can stand beside them.
        model: a folder, a hub name, or ``minilm``.
        defense: a name (``auto``, ``btu``, ``moderate``, ``plain``) or a configured defense.
        settings: how models are trained.
        out: folder for the result; None keeps it in memory.

    Returns:
        The model and what was found. The triggered rows and their target reach the scores only.

    Raises:
        CleanfitError: bad data, model, settings or output folder; nothing is left behind then.
    """
    inputs = data if isinstance(data, Inputs) else Inputs(data)
    method = lookup("defense", defense, DEFENSES)() if isinstance(defense, str) else defense
    run = out if isinstance(out, RunFolder) or out is None else RunFolder(Path(out))
    if inputs.oracle is not None and not isinstance(method, PlainFineTuning):
        raise SettingsError(f"An oracle is plain fine-tuning without the poisoned rows; got defense '{method.name}'.")
    if run:
        run.check()
    prepared = prepare(inputs, model, settings)
    if run is None:
        return defend(prepared, method, settings, None)
    with run.open(_fingerprint(prepared, method, settings)) as (folder, work):
        result = defend(prepared, method, settings, work, run.shared)
        save(result.model, result.tokenizer, result.findings, result.audit, folder)
    return dataclasses.replace(result, folder=run.path)


def scan(
    data: "Source | Inputs",
    *,
    model: str = DEFAULT_MODEL,
    detector: Detector = Reading(),
    settings: TrainingSettings = TrainingSettings(),
) -> Findings:
    """Only look for suspicious tokens and rows; no model is kept.

    Args:
        data: the untrusted rows; all of them are looked at, nothing is held out.
        model: a folder, a hub name, or ``minilm``.
        detector: a configured detector.
        settings: of the models that the detector trains.

    Returns:
        What the detector found.

    Raises:
        CleanfitError: bad data, model or settings.
    """
    inputs = data if isinstance(data, Inputs) else Inputs(data)
    labeled = tables.read(inputs.data, inputs.columns, drop_invalid=inputs.drop_invalid)
    source = find_model(model, labeled.label_names)
    tokenizer = load_tokenizer(source)
    rows = tables.tokenize(labeled.rows, tokenizer, settings.max_length)
    return detector.score(Task(source, tokenizer, rows, settings))


@dataclass(frozen=True)
class Prepared:
    """Everything that was read and checked before anything is trained."""

    source: ModelSource
    tokenizer: PreTrainedTokenizerBase
    labeled: LabeledData
    train: Dataset
    test: Dataset
    held_out: HeldOut
    trusted: LabeledData | None = None
    triggered: LabeledData | None = None
    target: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    n_left_out: int | None = None


def prepare(inputs: Inputs, model: str, settings: TrainingSettings) -> Prepared:
    """Read and check all inputs of a run, and load what is cheap to load."""
    check_report_to(settings)
    labeled = tables.read(inputs.data, inputs.columns, drop_invalid=inputs.drop_invalid)
    names = labeled.label_names
    test, trusted, triggered = (
        tables.read(source, labeled.columns, label_names=names, drop_invalid=inputs.drop_invalid)
        if source is not None
        else None
        for source in (inputs.test, inputs.trusted, inputs.triggered)
    )
    if (triggered is None) != (inputs.target is None):
        raise DataError("Triggered rows need a target label, and a target label needs triggered rows: pass both.")
    if inputs.target is not None and inputs.target not in names:
        raise DataError(f"The target label '{inputs.target}' is none of the data's labels: {', '.join(names)}.")
    if test is not None and trusted is not None and tables.content_hash(test.rows) == tables.content_hash(trusted.rows):
        raise DataError("The trusted and the test file hold the same rows; scores on rows tuned on mean nothing.")
    if test is None:
        train, held = tables.split(labeled, HELD_OUT_SHARE, settings.seed)
        label = f"{HELD_OUT_SHARE:.0%} of {labeled.source}"
        held_out = HeldOut(label, tables.content_hash(held), len(held), is_untrusted=True)
    else:
        train, held = labeled.rows, test.rows
        held_out = HeldOut(test.source, test.sha256, len(held), is_untrusted=False)
    n_left_out = None
    if inputs.oracle is not None:
        n_train, train = len(train), _untouched(train, labeled, inputs.oracle)
        n_left_out = n_train - len(train)
    source = find_model(model, names)
    hashes = {
        name: part.sha256
        for name, part in {"data": labeled, "test": test, "trusted": trusted, "triggered": triggered}.items()
        if part is not None
    }
    target = None if inputs.target is None else names.index(inputs.target)
    tokenizer = load_tokenizer(source)
    # A model that cannot be used is refused before anything is written.
    check_length(source.load(tokenizer, settings.seed), tokenizer, settings.max_length)
    return Prepared(source, tokenizer, labeled, train, held, held_out, trusted, triggered, target, hashes, n_left_out)


def _untouched(train: Dataset, labeled: LabeledData, manifest_path: Path) -> Dataset:
    """Leave out the training rows that an attack touched, by its manifest."""
    manifest = load_manifest(manifest_path)
    if manifest["output"]["sha256"] != labeled.sha256:
        raise DataError(f"{manifest_path} is not the manifest of {labeled.source}: the file's sha256 differs.")
    if manifest["poisoned_rows"] is None:
        raise DataError(f"{manifest_path} does not know which rows are poisoned, so there is no oracle.")
    touched = {*manifest["poisoned_rows"], *manifest.get("decoy_rows", ())}
    return train.select([i for i, row in enumerate(train.with_format(None)["row_id"]) if row not in touched])


def defend(
    prepared: Prepared, method: Defense, settings: TrainingSettings, work: Path | None, shared: Path | None = None
) -> FitResult:
    """Run a defense and measure the model after each of its stages; `shared` is as in `RunFolder`."""
    kept = shared or work
    cache = kept / "tokenized" if kept else None

    def tokenized(rows: Dataset) -> Dataset:
        return tables.tokenize(rows, prepared.tokenizer, settings.max_length, cache)

    test, triggered = tokenized(prepared.test), prepared.triggered and tokenized(prepared.triggered.rows)
    scores: list[StageScore] = []

    def measure(stage: str, model: PreTrainedModel) -> None:
        scores.append(score_stage(task, stage, model, test, triggered, prepared.target))

    task = Task(
        prepared.source,
        prepared.tokenizer,
        tokenized(prepared.train),
        settings,
        trusted=tokenized(prepared.trusted.rows) if prepared.trusted else None,
        work=work,
        shared=shared,
        on_stage=measure,
    )
    defended: Defended = method.fit(task)
    facts = RunFacts(prepared.labeled, prepared.held_out, method.name, method, settings, prepared.n_left_out)
    audit = build_audit(facts, task, defended.findings, scores, defended.needs)
    defended.model.train(False)
    return FitResult(defended.model, prepared.tokenizer, defended.findings, tuple(scores), audit)


def score_stage(
    task: Task, stage: str, model: PreTrainedModel, test: Dataset, triggered: Dataset | None, target: int | None
) -> StageScore:
    """Measure a model on the test rows and, with a target, on the triggered rows; see `metrics` for the definitions."""
    labels = test.with_format("numpy")["label"][:]
    probabilities = task.predict(model, test)
    score = StageScore(stage, clean_accuracy(probabilities, labels), len(test))
    if triggered is None or target is None:
        return score
    truth = triggered.with_format("numpy")["label"][:]
    return dataclasses.replace(
        score,
        attack_success_rate=target_rate(task.predict(model, triggered), truth, target),
        false_trigger_rate=target_rate(probabilities, labels, target),
        n_triggered=int((truth != target).sum()),
    )


def _fingerprint(prepared: Prepared, method: Defense, settings: TrainingSettings) -> dict[str, Any]:
    """All that decides the result of a run."""
    return {
        "data": dict(prepared.hashes),
        "columns": to_plain(prepared.labeled.columns),
        "target": prepared.target,
        "oracle": prepared.n_left_out is not None,
        "model": prepared.source.sha256,
        "defense": {"name": method.name, **to_plain(method)},
        "settings": to_plain(settings),
        "versions": versions(),
    }
