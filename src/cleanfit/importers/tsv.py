"""Import folders of train.tsv, dev.tsv and test.tsv: of HiddenKiller, ONION and StyleAttack, and of BTU."""

from pathlib import Path

from cleanfit.errors import DataError
from cleanfit.importers.rows import Part, Published, Truth, key, noted, oddities, read_tsv_part
from cleanfit.importers.truth import are_paraphrases, compare, pair_triggered

NAMES = ("train.tsv", "dev.tsv", "test.tsv")
NOTHING_POISONED = Truth((), (), 0, ())


def read_tsv_folder(folder: Path, target: str, clean: Path | None) -> Published:
    """Read a folder of files made from clean ones: poisoned (HiddenKiller, ONION), or all in other words (StyleAttack).

    Args:
        folder: holds ``train.tsv`` (poisoned) and perhaps ``test.tsv`` (triggered rows only).
        target: the attacker's label as written.
        clean: the folder with the clean ``train.tsv``, ``dev.tsv`` and ``test.tsv``; None if there is none.

    Returns:
        With clean files, the truth as far as they tell it; without, it is unknown. The development rows and the test
        rows are the clean ones. Files all in other words give the clean rows with a paraphrase each, nothing poisoned.

    Raises:
        DataError: a file is missing or broken, or the clean files are not those that the others were made from.
    """
    train = read_tsv_part(folder / NAMES[0])
    clean_train = read_tsv_part(clean / NAMES[0]) if clean is not None else None
    if clean is not None and clean_train is not None and are_paraphrases(train, clean_train):
        return _with_paraphrases(*(_paired(folder / name, clean / name) for name in NAMES))
    notes = oddities(train)
    truth = Truth() if clean_train is None else compare(train, clean_train, target)
    if clean_train is None:
        notes.append(f"{NAMES[0]}: which rows are poisoned is not known, since no clean files were given")
    notes += noted(train.path, "relabelled rows with the clean text, so without a trigger", truth.unchanged or ())
    if truth.poisoned and truth.flipped is None:
        known = "not known either" if truth.n_flipped is None else truth.n_flipped
        notes.append(f"{NAMES[0]}: the true labels of single poisoned rows are not known (flipped in all: {known})")
    dev, test = (read_tsv_part(clean / name) if clean and (clean / name).exists() else None for name in NAMES[1:])
    triggered = None
    if (folder / NAMES[2]).exists():
        classes = sorted({*train.labels, *(test.labels if test else ())})
        triggered, more = pair_triggered(read_tsv_part(folder / NAMES[2]), test, classes, target)
        notes += more
    for part in (dev, test):
        notes += oddities(part) if part else []
    used = clean_train.path if clean_train else None
    return Published(train, truth, used, dev, test, triggered, tuple(notes))


def read_paraphrases(folder: Path, target: str, clean: Path | None) -> Published:
    """Read a folder of BTU: clean rows whose third column is a paraphrase, nothing poisoned yet.

    Args:
        folder: holds ``train.tsv`` and perhaps ``dev.tsv`` and ``test.tsv``.
        target: not needed.
        clean: not needed; the rows are clean.

    Returns:
        The rows with their paraphrases, ``""`` where there is none.

    Raises:
        DataError: a file is missing or broken, or `clean` was given.
    """
    if clean is not None:
        raise DataError(f"The layout has the clean rows beside their paraphrases; leave --clean '{clean}' out.")
    dev, test = (read_tsv_part(folder / name) if (folder / name).exists() else None for name in NAMES[1:])
    return _with_paraphrases(read_tsv_part(folder / NAMES[0]), dev, test)


def _paired(path: Path, clean: Path) -> Part:
    """Put the rows of a file into a third column beside the clean rows that they say in other words."""
    ours, theirs = read_tsv_part(path), read_tsv_part(clean)
    if ours.labels != theirs.labels:
        row = next((row for row, pair in enumerate(zip(ours.labels, theirs.labels)) if pair[0] != pair[1]), None)
        what = f"row {row} has another label" if row is not None else "their lengths differ"
        raise DataError(
            f"{path}: its {len(ours.texts)} rows cannot be paired with the {len(theirs.texts)} of {clean}: {what}."
        )
    return Part(clean, theirs.texts, theirs.labels, ours.texts, theirs.n_trimmed)


def _with_paraphrases(train: Part, dev: Part | None, test: Part | None) -> Published:
    notes: list[str] = []
    for part in (train, dev, test):
        if part is None:
            continue
        rows = list(enumerate(zip(part.texts, part.third)))
        notes += oddities(part)
        notes += noted(part.path, "rows without a paraphrase", [row for row, (text, other) in rows if not other])
        same = [row for row, (text, other) in rows if other and key(text) == key(other)]
        notes += noted(part.path, "rows whose paraphrase is the text itself", same)
    return Published(train, NOTHING_POISONED, train.path, dev, test, notes=tuple(notes))
