"""Cells in, lines out: one line per combination of data, model, attack and defense, its seeds taken together."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from cleanfit.benchmark.compare import Difference, Outcomes, difference
from cleanfit.benchmark.reading import FailedCell, FinishedCell
from cleanfit.errors import DataError
from cleanfit.metrics import mean_interval
from cleanfit.scores import SeedMean

Control = Literal["plain", "tuning only", "oracle"]
CONTROLS: tuple[Control, ...] = ("plain", "tuning only", "oracle")  # in the order in which they are shown
PLAIN, _, ORACLE = CONTROLS
# A share of a gap that is hardly there would be noise divided by noise.
MIN_GAP = 0.05
# What may differ between two lines that are compared, besides the seed. That the test files are the same is checked.
NOT_IN_GROUP = ("defense", "method", "is_oracle", "is_trusted", "seed")

Bundle = dict[int, FinishedCell]  # seed -> cell, of one line


@dataclass(frozen=True)
class Comparison:
    """A line minus a control, row by row with the same seeds.

    Args:
        accuracy: difference of clean accuracy, over the test rows; None if it cannot be told.
        attack_success: difference of attack success, over the triggered rows; also None where nothing is poisoned.
        missing: why there is no difference, in words; empty if there is one.
    """

    accuracy: Difference | None = None
    attack_success: Difference | None = None
    missing: str = ""


@dataclass(frozen=True)
class Cost:
    """What a line costs, as a mean over its seeds unless it says otherwise.

    Args:
        seconds: of a whole cell.
        training_seconds: of all trainings and looks of the method.
        ratio_to_plain: of these to plain's, in the seeds that both have on the same machine kind; None if there is none.
        peak_memory_mib: the highest of any seed; None if not measured.
        trusted_rows: rows that somebody had to vouch for.
        target_label: whether the attacker's label had to be known.
        extra_passes: passes over the training rows beyond those of the training itself.
    """

    seconds: float
    training_seconds: float
    ratio_to_plain: float | None
    peak_memory_mib: float | None
    trusted_rows: int
    target_label: bool
    extra_passes: float


@dataclass(frozen=True)
class Line:
    """One combination of data, model, attack and defense, over its seeds.

    Args:
        dataset: its name.
        model: its name.
        attack: its name; None where nothing is poisoned.
        label_mode: which labels the attack takes; None where nothing is poisoned.
        rate: poisoned share of the training rows that was asked for, in [0, 1).
        defense: its label.
        control: which control it is; None for a defense.
        key: all that decides it but the seed.
        seeds: ascending.
        n_test: test rows, N.
        n_triggered: triggered rows scored, of the first seed; 0 without an attack.
        effective_rate: poisoned share that came out, mean over the seeds; None where nothing is poisoned.
        clean_accuracy: over the seeds.
        attack_success_rate: over the seeds; None without an attack, like the next one.
        false_trigger_rate: mean over the seeds.
        macro_f1: mean over the seeds.
        to_plain: the line minus plain.
        to_oracle: the line minus the oracle: the gap that is left.
        gap_closed: (plain - line) / (plain - oracle) of attack success in the seeds that all three have; None if
            plain - oracle is below 0.05.
        row_precision: of the poisoned rows that it found, mean over the seeds that have one; None if it looks for none.
        row_recall: the same.
        cost: what it took.
    """

    dataset: str
    model: str
    attack: str | None
    label_mode: str | None
    rate: float
    defense: str
    control: Control | None
    key: Mapping[str, Any]
    seeds: tuple[int, ...]
    n_test: int
    n_triggered: int
    effective_rate: float | None
    clean_accuracy: SeedMean
    attack_success_rate: SeedMean | None
    false_trigger_rate: float | None
    macro_f1: float
    to_plain: Comparison
    to_oracle: Comparison
    gap_closed: float | None
    row_precision: float | None
    row_recall: float | None
    cost: Cost


@dataclass(frozen=True)
class Measured:
    """What all finished cells ran with: every value that occurs, sorted."""

    n_cells: int
    n_dirty: int
    commits: tuple[str, ...]
    versions: Mapping[str, tuple[str, ...]]
    platforms: tuple[str, ...]
    devices: tuple[str, ...]
    n_threads: tuple[int, ...]


@dataclass(frozen=True)
class Summary:
    """All lines of a benchmark, in the order in which they are shown; the cells that failed; what it ran with."""

    lines: tuple[Line, ...]
    failures: tuple[FailedCell, ...]
    measured: Measured


def summarize(cells: Sequence[FinishedCell], failures: Sequence[FailedCell] = ()) -> Summary:
    """Take the seeds of each combination together and compare it with its controls.

    Args:
        cells: finished ones, in any order.
        failures: the others.

    Returns:
        The lines by data set, model, rate, label mode and attack, controls first in each attack. Cells that differ in
        anything but the seed are never taken together.

    Raises:
        DataError: two cells have the same key.
    """
    bundles: dict[str, Bundle] = defaultdict(dict)
    for cell in cells:
        bundle, seed = bundles[_canonical(identity(cell.key))], cell.key["seed"]
        if seed in bundle:
            raise DataError(f"The cells '{bundle[seed].name}' and '{cell.name}' have the same key. Delete one of them.")
        bundle[seed] = cell
    groups: dict[str, list[Bundle]] = defaultdict(list)
    for _, bundle in sorted(bundles.items()):
        groups[_group(_first(bundle).key)].append(dict(sorted(bundle.items())))
    lines = [_line(bundle, group) for group in groups.values() for bundle in group]
    ordered = sorted(failures, key=lambda failure: (*_place(failure.key), failure.key["seed"], failure.name))
    return Summary(tuple(sorted(lines, key=lambda line: _place(line.key))), tuple(ordered), _measured(cells))


def identity(key: Mapping[str, Any]) -> dict[str, Any]:
    """Give the key of a line: that of its cells without the seed."""
    settings = {name: value for name, value in key.get("settings", {}).items() if name != "seed"}
    return {name: value for name, value in key.items() if name != "seed"} | {"settings": settings}


def control_of(key: Mapping[str, Any]) -> Control | None:
    """Tell which control a cell or a line is, if any."""
    if key["is_oracle"]:
        return ORACLE
    return next((control for control in CONTROLS if control != ORACLE and control == key["defense"]), None)


def _place(key: Mapping[str, Any]) -> tuple[Any, ...]:
    control = control_of(key)
    rank = len(CONTROLS) if control is None else CONTROLS.index(control)
    labels = [key[name] or "" for name in ("dataset", "model", "rate", "label_mode", "attack")]
    labels[2] = float(key["rate"])
    return (*labels, rank, key["defense"], _canonical(identity(key)))


def _group(key: Mapping[str, Any]) -> str:
    rest = {name: value for name, value in identity(key).items() if name not in NOT_IN_GROUP}
    return _canonical(rest | {"files": key["files"]["train"]})


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _first(bundle: Bundle) -> FinishedCell:
    return next(iter(bundle.values()))


def _line(bundle: Bundle, group: Sequence[Bundle]) -> Line:
    cells, key = list(bundle.values()), identity(_first(bundle).key)
    plain, no_plain = _reference(PLAIN, bundle, group)
    oracle, no_oracle = _reference(ORACLE, bundle, group)
    attacked = [cell.evaluation["attack"] for cell in cells if cell.evaluation["attack"]]
    detected = [cell.evaluation["rows"] for cell in cells if cell.evaluation["rows"]]
    triggered = _first(bundle).triggered
    return Line(
        dataset=key["dataset"],
        model=key["model"],
        attack=key["attack"],
        label_mode=key["label_mode"],
        rate=float(key["rate"]),
        defense=key["defense"],
        control=control_of(key),
        key=key,
        seeds=tuple(bundle),
        n_test=len(_first(bundle).clean.rows),
        n_triggered=0 if triggered is None else len(triggered.rows),
        effective_rate=_mean(cell.facts["effective_rate"] for cell in cells),
        clean_accuracy=mean_interval([cell.evaluation["clean_accuracy"] for cell in cells]),
        attack_success_rate=mean_interval([_attack_success(cell) for cell in cells if cell.evaluation["attack"]])
        if attacked
        else None,
        false_trigger_rate=_mean(attack["false_trigger_rate"] for attack in attacked),
        macro_f1=fmean(cell.evaluation["macro_f1"] for cell in cells),
        to_plain=_comparison(bundle, plain, no_plain, PLAIN),
        to_oracle=_comparison(bundle, oracle, no_oracle, ORACLE),
        gap_closed=_gap_closed(bundle, plain, oracle),
        row_precision=_mean(rows["precision"] for rows in detected),
        row_recall=_mean(rows["recall"] for rows in detected),
        cost=_cost(bundle, bundle if control_of(key) == PLAIN else plain),
    )


def _reference(name: Control, bundle: Bundle, group: Sequence[Bundle]) -> tuple[Bundle | None, str]:
    """Find the control of a group; without one, say why in words."""
    key = _first(bundle).key
    if control_of(key) == name:
        return None, f"it is {_called(name)} itself"
    if name == ORACLE and not key["rate"]:
        return None, "nothing is poisoned: plain is its own oracle"
    found = [other for other in group if control_of(_first(other).key) == name]
    if not found:
        return None, f"no {name} cell to compare with"
    found = [other for other in found if _first(other).key["files"]["test"] == key["files"]["test"]]
    if not found:
        return None, f"{_called(name)} was scored on another test file"
    exact = [other for other in found if _first(other).key["defense"] == name] or found
    return (exact[0], "") if len(exact) == 1 else (None, f"{len(exact)} lines are called {name}")


def _called(name: Control) -> str:
    return f"the {name}" if name == ORACLE else name


def _comparison(bundle: Bundle, reference: Bundle | None, missing: str, name: Control) -> Comparison:
    if reference is None:
        return Comparison(missing=missing)
    both = [(cell, reference[seed]) for seed, cell in bundle.items() if seed in reference]
    if not both:
        return Comparison(missing=f"no seed in common with {_called(name)}")
    pairs = [(ours.clean, theirs.clean) for ours, theirs in both]
    attacks = [(ours.triggered, theirs.triggered) for ours, theirs in both if ours.triggered and theirs.triggered]
    for what, checked in (("test", pairs), ("triggered", attacks)):
        unequal = _unequal(checked)
        if unequal:
            return Comparison(missing=f"{unequal[0]} {what} rows were scored, with {_called(name)} {unequal[1]}")
    accuracy = difference(pairs, is_higher_better=True)
    attack = difference(attacks, is_higher_better=False)
    has_attack = any(cell.evaluation["attack"] for cell in bundle.values())
    return Comparison(
        accuracy, attack, f"no triggered row in common with {_called(name)}" if has_attack and not attack else ""
    )


def _unequal(pairs: Iterable[tuple[Outcomes, Outcomes]]) -> tuple[int, int] | None:
    sizes = [(len(ours.rows), len(theirs.rows)) for ours, theirs in pairs]
    return next((pair for pair in sizes if pair[0] != pair[1]), None)


def _gap_closed(bundle: Bundle, plain: Bundle | None, oracle: Bundle | None) -> float | None:
    if plain is None or oracle is None:
        return None
    trios = [
        [_attack_success(cells[seed]) for cells in (bundle, plain, oracle)]
        for seed in bundle
        if all(seed in cells and cells[seed].evaluation["attack"] for cells in (bundle, plain, oracle))
    ]
    if not trios:
        return None
    line, from_plain, from_oracle = (fmean(values) for values in zip(*trios))
    gap = from_plain - from_oracle
    return (from_plain - line) / gap if gap >= MIN_GAP else None


def _cost(bundle: Bundle, plain: Bundle | None) -> Cost:
    cells = list(bundle.values())
    both = [(cell, plain[seed]) for seed, cell in bundle.items() if plain and seed in plain]
    # Seconds of a GPU and of a CPU, of one and of eight threads, or of fp32 and of bf16, have no ratio that means anything.
    alike = [pair for pair in both if _machine(pair[0]) == _machine(pair[1])]
    ours, theirs = (sum(pair[side].cost["training_seconds"] for pair in alike) for side in (0, 1))
    memory = [cell.cost["peak_memory_mib"] for cell in cells if cell.cost["peak_memory_mib"] is not None]
    return Cost(
        seconds=fmean(cell.cost["seconds"] for cell in cells),
        training_seconds=fmean(cell.cost["training_seconds"] for cell in cells),
        ratio_to_plain=ours / theirs if theirs else None,
        peak_memory_mib=max(memory, default=None),
        trusted_rows=max(cell.needs["trusted_rows"] for cell in cells),
        target_label=any(cell.needs["target_label"] for cell in cells),
        extra_passes=fmean(cell.needs["extra_passes"] for cell in cells),
    )


def _machine(cell: FinishedCell) -> tuple[object, ...]:
    return tuple(cell.facts.get(name) for name in ("platform", "device", "n_threads", "precision"))


def _attack_success(cell: FinishedCell) -> float:
    return float(cell.evaluation["attack"]["attack_success_rate"]["mean"])


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def _measured(cells: Sequence[FinishedCell]) -> Measured:
    def every(values: Iterable[Any]) -> tuple[Any, ...]:
        return tuple(sorted(set(values) - {None}))

    facts = [cell.facts for cell in cells]
    names = sorted({name for fact in facts for name in fact["versions"]})
    return Measured(
        n_cells=len(cells),
        n_dirty=sum(bool(fact["is_dirty"]) for fact in facts),
        commits=every(fact["commit"] for fact in facts),
        versions={name: every(fact["versions"].get(name) for fact in facts) for name in names},
        platforms=every(fact["platform"] for fact in facts),
        devices=every(fact["device"] for fact in facts),
        n_threads=every(fact["n_threads"] for fact in facts),
    )
