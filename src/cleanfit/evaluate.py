"""Score a finished classifier on clean and on triggered rows, and what its run found against the ground truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from cleanfit import data as tables
from cleanfit import metrics
from cleanfit.capacity import load_finished
from cleanfit.data import Columns
from cleanfit.detection import score_findings
from cleanfit.errors import DataError, SettingsError
from cleanfit.manifest import load_manifest
from cleanfit.models import check_length, find_model, load_tokenizer
from cleanfit.scores import AttackScore, Evaluation, ReferenceScore, TriggeredScore
from cleanfit.settings import TrainingSettings
from cleanfit.training import predict
from cleanfit.triggered import TriggeredFile, manifest_columns, named_files


def evaluate(
    model: str,
    clean: Path,
    *,
    triggered: Path | None = None,
    target: str | None = None,
    manifest: Path | None = None,
    reference: str | None = None,
    columns: Columns = Columns(),
    settings: TrainingSettings = TrainingSettings(),
) -> Evaluation:
    """Measure a model on clean rows, on triggered rows, and its run's findings against the manifest.

    Args:
        model: a folder or hub name of a fine-tuned classifier, or a folder that `cleanfit fit` wrote.
        clean: test rows without triggers; with `manifest`, the very file that was triggered.
        triggered: triggered rows with their true labels; not with `manifest`.
        target: the attacker's label as written, with `triggered`.
        manifest: the manifest.json of the attack; it names the target, and the triggered files beside it.
        reference: a clean model, named like `model`: its rate on the triggered rows becomes the baseline.
        columns: which columns hold text and label; None means as the manifest says, or else guessed.
        settings: batch size, length, precision and device.

    Returns:
        The scores. Those of the detection need `manifest`, and a run folder as `model`.

    Raises:
        DataError: a file is not usable or not the one that the manifest names, the run was fitted on other data, or
            only one of `triggered` and `target` was given.
        ModelError: a model cannot be loaded.
        SettingsError: `manifest` beside `triggered` or `target`, or more tokens per row than a model can read.
    """
    files, truth = _given_files(clean, triggered, target, manifest, columns)
    return _evaluate(model, files, truth, reference, settings)[0]


def evaluate_rows(
    model: str, clean: Path, manifest: Path | None, columns: Columns, settings: TrainingSettings
) -> "tuple[Evaluation, RowOutcomes]":
    """Measure as `evaluate` does, and also tell what became of every row, for comparisons of models row by row."""
    files, truth = _given_files(clean, None, None, manifest, columns)
    return _evaluate(model, files, truth, None, settings)


@dataclass(frozen=True)
class RowOutcomes:
    """What a model made of single rows.

    Args:
        is_correct: (N,) whether each clean row was predicted as labelled.
        is_target: (M,) whether each triggered row of the first insertion, true label not the target, was predicted as the
            target; None without triggered rows.
        rows: (M,) numbers of these rows in the clean file; None if nothing tells.
    """

    is_correct: np.ndarray
    is_target: np.ndarray | None = None
    rows: np.ndarray | None = None


def _given_files(
    clean: Path, triggered: Path | None, target: str | None, manifest: Path | None, columns: Columns
) -> "tuple[_Files, Mapping[str, Any] | None]":
    """Find the files that were given or that a manifest names."""
    if manifest is not None and not (triggered is None and target is None):
        raise SettingsError(
            "The manifest names the triggered files and the target: leave --triggered and --target out."
        )
    if (triggered is None) != (target is None):
        raise DataError("Triggered rows need a target label, and a target label needs triggered rows: pass both.")
    if manifest is None:
        given = () if triggered is None else (TriggeredFile(triggered),)
        return _Files(clean, columns, given, target), None
    truth = load_manifest(manifest)
    return _named_files(manifest, truth, clean, columns), truth


def _evaluate(
    model: str, files: "_Files", truth: Mapping[str, Any] | None, reference: str | None, settings: TrainingSettings
) -> tuple[Evaluation, RowOutcomes]:
    scored = _Classifier.load(model, settings, files.target)
    other = None if reference is None else _Classifier.load(reference, settings, files.target)
    run = _run_folder(model)
    rows, tokens = score_findings(run, truth, scored.tokenizer) if run and truth else (None, None)
    clean = scored.predict(files.clean, files.columns)
    predicted = [scored.predict(file.path, files.columns) for file in files.triggered]
    compared = None if other is None else _score_reference(other, files)
    evaluation = Evaluation(
        model=model,
        n_rows=len(clean.labels),
        clean_accuracy=metrics.clean_accuracy(clean.probabilities, clean.labels),
        macro_f1=metrics.macro_f1(clean.probabilities, clean.labels),
        per_class=metrics.per_class(clean.probabilities, clean.labels, scored.names),
        attack=_score_attack(scored, clean, files, predicted, compared),
        reference=compared,
        rows=rows,
        tokens=tokens,
    )
    return evaluation, _outcomes(clean, files, predicted, scored.target_id)


def _outcomes(clean: "Predicted", files: "_Files", predicted: "Sequence[Predicted]", target_id: int) -> RowOutcomes:
    is_correct = clean.probabilities.argmax(axis=1) == clean.labels
    if not predicted:
        return RowOutcomes(is_correct)
    others = predicted[0].labels != target_id
    is_target = predicted[0].probabilities[others].argmax(axis=1) == target_id
    numbers = files.triggered[0].rows
    return RowOutcomes(is_correct, is_target, None if numbers is None else np.asarray(numbers)[others])


@dataclass(frozen=True)
class Predicted:
    """What a model says of N rows: (N, C) probabilities, beside the (N,) true classes."""

    probabilities: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class _Files:
    """What a model is scored on; the target is None where nothing is triggered."""

    clean: Path
    columns: Columns
    triggered: tuple[TriggeredFile, ...] = ()
    target: str | None = None


@dataclass(frozen=True)
class _Classifier:
    """A loaded model; `target_id` is the target's class in its own order of labels, 0 where there is no target."""

    name: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    names: tuple[str, ...]
    settings: TrainingSettings
    target_id: int

    @classmethod
    def load(cls, name: str, settings: TrainingSettings, target: str | None) -> "_Classifier":
        """Load a model, or that of a run folder."""
        run = _run_folder(name)
        source = find_model(name if run is None else str(run / "model"), ())
        tokenizer = load_tokenizer(source)
        model, names = load_finished(source, tokenizer)
        check_length(model, tokenizer, settings.max_length)
        if target is not None and target not in names:
            raise DataError(f"The target label '{target}' is none of the labels of '{name}': {', '.join(names)}.")
        return cls(name, model, tokenizer, names, settings, 0 if target is None else names.index(target))

    def predict(self, path: Path, columns: Columns) -> Predicted:
        """Read a file, with this model's labels, and predict its rows."""
        labeled = tables.read(path, columns, label_names=self.names)
        rows = tables.tokenize(labeled.rows, self.tokenizer, self.settings.max_length)
        return Predicted(predict(self.model, rows, self.tokenizer, self.settings), np.asarray(rows["label"]))


def score_triggered(file: TriggeredFile, predicted: Predicted, clean: Predicted, target_id: int) -> TriggeredScore:
    """Score one file of triggered rows.

    Args:
        file: which rows they are.
        predicted: for the rows of the file.
        clean: for the whole clean test file; the false-trigger rate is of exactly the same rows where the manifest
            names them, else of all rows of other labels than the target.
        target_id: the target's class.

    Returns:
        The rates.

    Raises:
        DataError: the rows do not fit the clean ones.
    """
    without = clean
    if file.rows is not None:
        numbers = np.asarray(file.rows, dtype=np.int64)
        is_known = len(numbers) == len(predicted.labels) and bool((numbers < len(clean.labels)).all())
        if not is_known or not np.array_equal(clean.labels[numbers], predicted.labels):
            raise DataError(
                f"{file.path}: its {len(predicted.labels)} rows and labels are not those that the manifest names in the "
                "clean test file; expected the same columns in both (see --label-column)."
            )
        without = Predicted(clean.probabilities[numbers], clean.labels[numbers])
    return TriggeredScore(
        file=file.path.name,
        insertion=file.insertion,
        trigger=file.trigger,
        n_triggered=int((predicted.labels != target_id).sum()),
        n_declined=file.n_declined,
        attack_success_rate=metrics.target_rate(predicted.probabilities, predicted.labels, target_id),
        false_trigger_rate=metrics.target_rate(without.probabilities, without.labels, target_id),
        label_flip_rate=metrics.label_flip_rate(predicted.probabilities, predicted.labels, target_id),
    )


def _score_attack(
    scored: _Classifier,
    clean: Predicted,
    files: _Files,
    predicted: Sequence[Predicted],
    reference: ReferenceScore | None,
) -> AttackScore | None:
    if files.target is None:
        return None
    outcomes = [score_triggered(file, part, clean, scored.target_id) for file, part in zip(files.triggered, predicted)]
    whole = tuple(outcome for outcome in outcomes if outcome.trigger is None)
    single = tuple(outcome for outcome in outcomes if outcome.trigger is not None)
    success = metrics.mean_interval([outcome.attack_success_rate for outcome in whole])
    false = float(np.mean([outcome.false_trigger_rate for outcome in whole]))
    measured = None if reference is None else reference.triggered_target_rate
    worst = max(single, key=lambda outcome: outcome.attack_success_rate, default=None)
    return AttackScore(
        target=files.target,
        attack_success_rate=success,
        false_trigger_rate=false,
        label_flip_rate=float(np.mean([outcome.label_flip_rate for outcome in whole])),
        net_attack_success_rate=metrics.net_attack_success_rate(success.mean, false if measured is None else measured),
        baseline="false_trigger" if measured is None else "reference",
        is_same_rows=all(file.rows is not None for file in files.triggered),
        insertions=whole,
        per_trigger=single,
        worst_trigger=None if worst is None else worst.trigger,
    )


def _score_reference(other: _Classifier, files: _Files) -> ReferenceScore:
    clean = other.predict(files.clean, files.columns)
    whole = [other.predict(file.path, files.columns) for file in files.triggered if file.trigger is None]
    rates = [metrics.target_rate(part.probabilities, part.labels, other.target_id) for part in whole]
    accuracy = metrics.clean_accuracy(clean.probabilities, clean.labels)
    return ReferenceScore(other.name, accuracy, float(np.mean(rates)) if rates else None)


def _named_files(manifest: Path, truth: Mapping[str, Any], clean: Path, columns: Columns) -> _Files:
    """Find the files that a manifest names, and check that they are unchanged."""
    columns = manifest_columns(truth, columns)
    triggered = named_files(manifest, truth, clean)
    # No target where the training file alone was poisoned: clean scores and detection.
    return _Files(clean, columns, triggered, truth["plan"]["target"] if truth.get("test") else None)


def _run_folder(model: str) -> Path | None:
    """Give the folder if it is a whole run, not only a model."""
    folder = Path(model)
    return folder if (folder / "audit.json").is_file() and (folder / "model").is_dir() else None
