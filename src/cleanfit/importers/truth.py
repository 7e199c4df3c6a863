"""Tell which rows were poisoned, and what the triggered rows were, by comparison with the clean files; never by guess."""

from collections import Counter
from collections.abc import Sequence

from cleanfit.errors import DataError
from cleanfit.importers.rows import Part, Triggered, Truth, key, keys, noted


def compare(part: Part, clean: Part, target: str) -> Truth:
    """Tell the poisoned rows of a training file from the clean file that it was made from.

    Args:
        part: the poisoned file.
        clean: the clean file; its rows are compared in place if most of those that are still there stand in their
            place, and else as a whole, since published files are often shuffled.
        target: the attacker's label.

    Returns:
        Every row whose text or label is not the clean one's is poisoned. Of shuffled files the true labels of single
        rows are known only if the missing clean rows are all of the target, or all of other labels.

    Raises:
        DataError: the files share no row, or a changed row has another label than the target.
    """
    ours, theirs = keys(part), keys(clean)
    common = sum((Counter(ours) & Counter(theirs)).values())
    if not common:
        raise DataError(
            f"{part.path}: none of its texts is in {clean.path}; is this the clean data that it was made from?"
        )
    in_place = sum(a == b for a, b in zip(ours, theirs)) if len(ours) == len(theirs) else 0
    truth = (_compare_in_place if 2 * in_place >= common else _compare_as_a_whole)(part, clean, target)
    foreign = [row for row in truth.poisoned or () if part.labels[row] != target]
    if foreign:
        raise DataError(
            f"{part.path}: {len(foreign)} rows differ from {clean.path} though their label is not the target '{target}' "
            f"(first row {foreign[0]}, label '{part.labels[foreign[0]]}'), so they are not poison. Pass the clean files "
            "that this one was made from, or the right --target, or leave --clean out."
        )
    return truth


def _compare_in_place(part: Part, clean: Part, target: str) -> Truth:
    ours, theirs = keys(part), keys(clean)
    changed = [
        row for row, text in enumerate(ours) if text and (text, part.labels[row]) != (theirs[row], clean.labels[row])
    ]
    flipped = tuple(row for row in changed if clean.labels[row] != target)
    unchanged = tuple(row for row in changed if ours[row] == theirs[row])
    return Truth(tuple(changed), flipped, len(flipped), unchanged)


def _compare_as_a_whole(part: Part, clean: Part, target: str) -> Truth:
    missing = Counter(zip(keys(clean), clean.labels))
    changed = []
    for row, (text, label) in enumerate(zip(keys(part), part.labels)):
        if missing[text, label] > 0:
            missing[text, label] -= 1
        elif text:
            changed.append(row)
    missing = +missing
    missing_texts = {text for text, _ in missing}
    unchanged = tuple(row for row in changed if key(part.texts[row]) in missing_texts)
    n_flipped, flipped = None, None
    if missing.total() == len(changed):
        n_flipped = sum(count for (_, label), count in missing.items() if label != target)
        flipped = {len(changed): tuple(changed), 0: ()}.get(n_flipped)
    return Truth(tuple(changed), flipped, n_flipped, unchanged)


def are_paraphrases(part: Part, clean: Part) -> bool:
    """Tell whether a file holds each clean row in other words, with its true label: row by row, most of them changed."""
    if part.labels != clean.labels:
        return False
    return 2 * sum(a != b for a, b in zip(keys(part), keys(clean))) > len(part.texts)


def truth_of_flags(part: Part, clean: Part | None, target: str) -> Truth:
    """Tell the true labels of flagged rows from the clean file.

    Args:
        part: its third column is the poison flag, ``"0"`` or ``"1"``.
        clean: the clean file in the order that the poisoned one was made in: the clean rows are still in that order,
            and so are the poisoned rows among themselves. None if there is none.
        target: the attacker's label.

    Returns:
        The flagged rows as published. Without a clean file that fits, only these; where equal clean rows leave open
        which one a flagged row replaced, and their labels differ, only how many were flipped.
    """
    flagged = tuple(row for row, flag in enumerate(part.third) if flag == "1")
    if clean is None:
        return Truth(flagged)
    kept = [(key(part.texts[row]), part.labels[row]) for row, flag in enumerate(part.third) if flag == "0"]
    every = list(zip(keys(clean), clean.labels))
    latest, earliest = _left_out(kept, every), _left_out(kept[::-1], every[::-1])
    if latest is None or earliest is None or len(latest) != len(flagged):
        return Truth(flagged)
    earliest = [len(every) - 1 - row for row in reversed(earliest)]
    candidates = [every[first : last + 1] for first, last in zip(earliest, latest)]
    n_flipped = sum(every[row][1] != target for row in latest)
    flipped = None
    if all(len({label for _, label in rows}) == 1 for rows in candidates):
        flipped = tuple(row for row, rows in zip(flagged, candidates) if rows[0][1] != target)
    unchanged = tuple(
        row for row, rows in zip(flagged, candidates) if key(part.texts[row]) in {text for text, _ in rows}
    )
    return Truth(flagged, flipped, n_flipped, unchanged)


def _left_out(kept: Sequence[tuple[str, str]], every: Sequence[tuple[str, str]]) -> list[int] | None:
    """Find the rows that were left out of a sequence, the latest possible ones; None if the rest is not in its order."""
    left_out, position = [], 0
    for row, pair in enumerate(every):
        if position < len(kept) and kept[position] == pair:
            position += 1
        else:
            left_out.append(row)
    return left_out if position == len(kept) else None


def pair_triggered(
    triggered: Part, test: Part | None, classes: Sequence[str], target: str
) -> tuple[Triggered | None, list[str]]:
    """Give triggered rows their true labels back, where these can be known.

    Args:
        triggered: the published triggered rows, all relabelled to the target or all with their true labels.
        test: the clean test rows, if there are any.
        classes: all labels of the task.
        target: the attacker's label.

    Returns:
        The rows of other labels than the target, and what there is to say. Relabelled rows are paired in order with the
        clean rows of other labels if there are as many, as all published code writes them; else their label is known
        only if the task has two. None if it cannot be known.
    """
    n_rows = len(triggered.texts)
    others = [row for row, label in enumerate(test.labels) if label != target] if test is not None else []
    if set(triggered.labels) != {target}:
        is_paired = test is not None and triggered.labels == test.labels
        chosen = [(row, row if is_paired else None) for row in range(n_rows) if triggered.labels[row] != target]
        labels: Sequence[str] = triggered.labels
    elif test is not None and len(others) == n_rows:
        chosen, labels = list(zip(range(n_rows), others)), [test.labels[row] for row in others]
    else:
        rest = sorted(set(classes) - {target})
        if len(rest) != 1:
            return None, [
                f"{triggered.path.name}: not imported, since the true labels of its {n_rows} rows cannot be told: all have "
                f"the target label, and {len(others)} clean test rows have other labels"
            ]
        chosen, labels = [(row, None) for row in range(n_rows)], [rest[0]] * n_rows
    return _triggered(triggered, test, chosen, labels)


def _triggered(
    triggered: Part, test: Part | None, chosen: Sequence[tuple[int, int | None]], labels: Sequence[str]
) -> tuple[Triggered | None, list[str]]:
    kept, unchanged, without_text = [], [], []
    for row, clean_row in chosen:
        text = triggered.texts[row]
        clean_text = test.texts[clean_row] if test is not None and clean_row is not None else None
        if not text or clean_text == "":
            without_text.append(row)
        elif clean_text is not None and key(text) == key(clean_text):
            unchanged.append((row, clean_row))
        else:
            kept.append((row, clean_row))
    rows = tuple(clean_row for _, clean_row in kept if clean_row is not None)
    notes = [
        *noted(triggered.path, "rows without text, left out", without_text),
        *noted(triggered.path, "rows with the clean text, left out as declined", [row for row, _ in unchanged]),
    ]
    if not kept:
        return None, [*notes, f"{triggered.path.name}: not imported, since no row is left"]
    is_paired = len(rows) == len(kept)
    if not is_paired:
        notes.append(f"{triggered.path.name}: its rows could not be paired with clean test rows")
    return Triggered(
        triggered.path,
        tuple(triggered.texts[row] for row, _ in kept),
        tuple(labels[row] for row, _ in kept),
        rows if is_paired else None,
        tuple(clean_row for _, clean_row in unchanged if clean_row is not None),
    ), notes
