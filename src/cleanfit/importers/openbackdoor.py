"""Import a folder that OpenBackdoor (or a toolkit built on it, such as DUP) wrote: csv files with a poison flag."""

from dataclasses import replace
from pathlib import Path

from cleanfit.errors import DataError
from cleanfit.importers.rows import Part, Published, Truth, noted, oddities, read_csv_part
from cleanfit.importers.truth import pair_triggered, truth_of_flags

TRAIN = "train-poison.csv"
FLAGS = {"0": "0", "1": "1", "0.0": "0", "1.0": "1", "False": "0", "True": "1"}
# poison_data/<data set>/<target>/<attack>/<label mode>/<rate>/train-poison.csv; all other files lie beside the attack.
N_FOLDERS_UP = 2


def read_openbackdoor(folder: Path, target: str, clean: Path | None) -> Published:
    """Read the folder of one poison rate, and what lies beside it or up to two folders above.

    Args:
        folder: holds ``train-poison.csv``, some of whose rows are flagged.
        target: the attacker's label as written.
        clean: where ``train-clean.csv``, ``dev-clean.csv`` and ``test-clean.csv`` are, if not there.

    Returns:
        The rows, with the flags as published; true labels of flagged rows are told by ``train-clean.csv``.

    Raises:
        DataError: a file is missing or broken, or every row is flagged: that is the pool of an attack.
    """
    train = _read(folder / TRAIN)
    if set(train.third) == {"1"}:
        rates = sorted(str(path.parent) for path in folder.glob("*/**/" + TRAIN))
        hint = f"pass one of {', '.join(rates)}" if rates else "pass the folder of one poison rate, such as dirty/0.1"
        raise DataError(f"{train.path}: every row is flagged, so this is the pool of triggered rows; {hint}.")
    clean_train, dev, test = (_find(folder, clean, f"{name}-clean.csv") for name in ("train", "dev", "test"))
    truth, notes = _truth(train, clean_train, target)
    published = _find(folder, None, "test-poison.csv")
    triggered = None
    if published is not None:
        classes = {*train.labels, *(test.labels if test else ())}
        triggered, more = pair_triggered(published, test, sorted(classes), target)
        notes += more
    for part in (dev, test):
        notes += oddities(part) if part else []
    return Published(
        replace(train, third=()),
        truth,
        clean_train.path if clean_train else None,
        dev and replace(dev, third=()),
        test and replace(test, third=()),
        triggered,
        tuple(notes),
    )


def _truth(train: Part, clean: Part | None, target: str) -> tuple[Truth, list[str]]:
    """Tell the flagged rows and, by the clean file, their true labels; and say what was odd."""
    notes = oddities(train)
    truth = truth_of_flags(train, clean, target)
    if clean is not None and _has_holes(clean):
        truth = Truth(truth.poisoned)
        notes.append(
            f"{clean.path.name}: the {TRAIN} beside it has another number of rows, so the attack lost rows, and which "
            "row a flagged one replaced cannot be told"
        )
    elif truth.n_flipped is None:
        reason = "there is no train-clean.csv" if clean is None else f"{clean.path.name} does not fit"
        notes.append(f"{TRAIN}: the true labels of its flagged rows are not known, since {reason}")
    elif truth.flipped is None:
        notes.append(
            f"{TRAIN}: the true labels of single flagged rows are not known (flipped in all: {truth.n_flipped})"
        )
    notes += noted(train.path, "flagged rows with the clean text, so without a trigger", truth.unchanged or ())
    others = [row for row in truth.poisoned or () if train.labels[row] != target]
    notes += noted(train.path, f"flagged rows with another label than the target '{target}'", others)
    return truth, notes


def _find(folder: Path, clean: Path | None, name: str) -> Part | None:
    """Read a file from where the user said, or from the folder or the nearest one above that has it."""
    for place in [clean] if clean else [folder, *folder.absolute().parents[:N_FOLDERS_UP]]:
        if (place / name).exists():
            return _read(place / name)
    return None


def _read(path: Path) -> Part:
    part = read_csv_part(path)
    for row, flag in enumerate(part.third):
        if flag not in FLAGS:
            raise DataError(f"{path}: row {row} has the poison flag '{flag}'; expected 0 or 1 in the last column.")
    return replace(part, third=tuple(FLAGS[flag] for flag in part.third))


def _has_holes(clean: Part) -> bool:
    """Tell whether the pool that poisoned rows were taken from by number is not as long as the clean file."""
    pool = clean.path.with_name(TRAIN)
    return pool.exists() and len(_read(pool).texts) != len(clean.texts)
