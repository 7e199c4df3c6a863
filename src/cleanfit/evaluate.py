"""Score a finished classifier on clean and on triggered rows."""

from pathlib import Path

from cleanfit import data as tables
from cleanfit.data import Columns
from cleanfit.errors import DataError
from cleanfit.fitting import score_stage
from cleanfit.models import find_model, load_finished, load_tokenizer
from cleanfit.results import StageScore
from cleanfit.settings import TrainingSettings
from cleanfit.task import Task


def evaluate(
    model: str,
    clean: Path,
    *,
    triggered: Path | None = None,
    target: str | None = None,
    columns: Columns = Columns(),
    settings: TrainingSettings = TrainingSettings(),
) -> StageScore:
    """Measure clean accuracy and, with triggered rows, attack success rate and its baseline.

    Args:
        model: a folder or hub name of a fine-tuned classifier.
        clean: rows without triggers.
        triggered: triggered rows with their true labels.
        target: the attacker's label as written, with `triggered`.
        columns: which columns hold text and label.
        settings: batch size, length, precision and device.

    Returns:
        The scores, as stage ``evaluated``.

    Raises:
        DataError: a file is not usable, or only one of `triggered` and `target` was given.
        ModelError: the model cannot be loaded.
    """
    if (triggered is None) != (target is None):
        raise DataError("Triggered rows need a target label, and a target label needs triggered rows: pass both.")
    source = find_model(model, ())
    tokenizer = load_tokenizer(source)
    loaded, names = load_finished(source, tokenizer)
    if target is not None and target not in names:
        raise DataError(f"The target label '{target}' is none of the model's labels: {', '.join(names)}.")
    task = Task(source, tokenizer, tables.read(clean, columns, label_names=names).rows, settings)
    test, attacked = (
        path and tables.tokenize(tables.read(path, columns, label_names=names).rows, tokenizer, settings.max_length)
        for path in (clean, triggered)
    )
    return score_stage(task, "evaluated", loaded, test, attacked, None if target is None else names.index(target))
