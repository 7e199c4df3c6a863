"""What the tables say: figures, settings and notes as words, the same in every format."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from cleanfit.benchmark.compare import N_RESAMPLES, Difference
from cleanfit.benchmark.reading import FailedCell
from cleanfit.benchmark.summary import Comparison, Cost, Line, Measured
from cleanfit.scores import SeedMean

NONE = "—"
HASH_LENGTH = 12
HOW_TO_READ = (
    "Clean accuracy: share of the test rows predicted as labelled; higher is better. Attack success rate (ASR): share of "
    "triggered rows, true label not the target, predicted as the target; lower is better. False-trigger rate: the same "
    "share on the same rows without their trigger.",
    "Over several seeds: mean ± half of the 95 % interval (Student's t). One seed has no interval: a difference of a "
    "point or two may be chance.",
    "Differences are the line minus plain or minus the oracle, on the same test rows with the same seeds. Their 95 % "
    f"interval is a paired bootstrap over the rows ({N_RESAMPLES:,} resamples): it tells what other test rows might give, not "
    "what other trainings might, and it is not corrected for the number of comparisons. Better and worse are said only "
    "where it leaves out 0.",
    "The oracle is plain fine-tuning without the poisoned rows: no defense can honestly do better. Gap closed: which share "
    "of plain's attack success above the oracle's the defense takes away; not told where that is less than 0.05.",
    "Plain, tuning only, the oracle and the lines without poison are controls, not defenses.",
)


def tables(lines: Sequence[Line]) -> list[list[Line]]:
    """Part the lines into tables of one data set, model, rate and label mode, in their order."""

    def place(line: Line) -> tuple[str, str, float, str]:
        return line.dataset, line.model, line.rate, line.label_mode or ""

    return [list(group) for _, group in groupby(lines, key=place)]


def title(line: Line) -> str:
    """Name the table that a line stands in."""
    poison = f"{100 * line.rate:g} % poison" if line.rate else "no poison"
    return ", ".join(filter(None, (line.dataset, line.model, poison, line.label_mode and f"{line.label_mode} label")))


def seeds(line: Line) -> str:
    """Say how many seeds a line has."""
    return "1 seed" if len(line.seeds) == 1 else f"{len(line.seeds)} seeds"


def share(value: float | None) -> str:
    """Write a share; what was not measured is a dash."""
    return NONE if value is None else f"{value:.3f}"


def seed_mean(value: SeedMean | None) -> str:
    """Write a mean over seeds with half of its interval."""
    if value is None or value.interval is None:
        return share(None if value is None else value.mean)
    return f"{value.mean:.3f} ± {(value.interval[1] - value.interval[0]) / 2:.3f}"


def change(found: Difference | None, comparison: Comparison, line: Line) -> str:
    """Write a difference with its interval and verdict, or why there is none."""
    if found is None:
        return comparison.missing or NONE
    some = "" if found.n_seeds == len(line.seeds) else f" ({found.n_seeds} of {seeds(line)})"
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}] {found.verdict}{some}"


def needs(cost: Cost) -> str:
    """Say what a defense needs beyond the untrusted file."""
    found = [f"{cost.trusted_rows:,} trusted rows"] if cost.trusted_rows else []
    return ", ".join([*found, *(["the target label"] if cost.target_label else [])]) or "nothing"


def seconds(cost: Cost) -> str:
    """Write the training time, and how many times plain's it is."""
    times = "" if cost.ratio_to_plain is None else f" ({cost.ratio_to_plain:.2f} × plain)"
    return f"{cost.training_seconds:,.0f} s{times}"


def memory(cost: Cost) -> str:
    """Write the peak memory."""
    return NONE if cost.peak_memory_mib is None else f"{cost.peak_memory_mib:,.0f} MiB"


def settings(line: Line) -> dict[tuple[str, str], Any]:
    """Flatten the key of a line: (kind, name) -> value, kind being what the setting belongs to."""
    key = line.key
    flat: dict[tuple[str, str], Any] = {("training", name): key.get(name) or "all" for name in ("rows", "test_rows")}
    flat |= {("training", name): value for name, value in key.get("settings", {}).items()}
    flat |= {("training", f"{name} file"): key["files"][name][:HASH_LENGTH] for name in ("train", "test")}
    flat |= {("attack", "target"): key["target"]}
    flat |= {("attack", name): value for name, value in (key.get("attack_options") or {}).items()}
    flat |= {("defense", name): value for name, value in (key.get("method") or {}).items()}
    flat |= {("defense", "trusted file"): (key["files"].get("trusted") or "none")[:HASH_LENGTH]}
    return flat


def varying(lines: Sequence[Line]) -> list[str]:
    """Tell for each line the settings in which lines of the same labels differ; empty text if they differ in none."""
    values: dict[tuple[object, ...], set[str]] = defaultdict(set)
    for line in lines:
        for name, value in _comparable(line).items():
            values[_scope(line, name)].add(value)
    return [
        ", ".join(
            f"{name}={value}"
            for (kind, name), value in _comparable(line).items()
            if len(values[_scope(line, (kind, name))]) > 1
        )
        for line in lines
    ]


def common(lines: Sequence[Line]) -> str:
    """Tell the training settings that all lines share."""
    every = [_comparable(line) for line in lines]
    shared = {name: value for name, value in every[0].items() if all(other.get(name) == value for other in every)}
    return ", ".join(f"{name}={value}" for (kind, name), value in shared.items() if kind == "training")


def options(lines: Sequence[Line]) -> dict[str, str]:
    """Tell the options of each attack and defense: its label -> each set of them that occurs, parted by semicolons."""
    found: dict[str, dict[str, None]] = defaultdict(dict)
    for line in lines:
        flat = _comparable(line)
        for kind, label in (("attack", line.attack), ("defense", line.defense)):
            if label is not None:
                told = ", ".join(f"{name}={value}" for (of, name), value in flat.items() if of == kind)
                found[f"{kind} {label}"][told] = None
    return {label: "; ".join(sorted(sets)) for label, sets in sorted(found.items())}


def provenance(measured: Measured) -> list[str]:
    """Say what the cells ran with, and warn where that is not one state of the code."""
    versions = ", ".join(f"{name} {' or '.join(values)}" for name, values in measured.versions.items())
    threads = " or ".join(map(str, measured.n_threads)) or "unknown"
    said = [
        f"{measured.n_cells:,} finished cells; commit {_listed(measured.commits)}; {versions}; {_listed(measured.platforms)}; "
        f"device {_listed(measured.devices)}; threads: {threads}."
    ]
    if measured.n_dirty:
        said.append(f"Warning: dirty tree: {measured.n_dirty} cells ran with changes that no commit holds.")
    if len(measured.commits) > 1:
        said.append(f"Warning: the cells come from {len(measured.commits)} commits.")
    return said


def size(lines: Sequence[Line]) -> str:
    """Say on how many seeds and rows the lines of a table were measured."""
    seed_sets = sorted({line.seeds for line in lines})
    triggered = {line.n_triggered for line in lines if line.n_triggered}
    parts = [
        f"seeds {_listed([' '.join(map(str, seeds)) for seeds in seed_sets])}",
        f"{_listed(sorted({line.n_test for line in lines}))} test rows",
        *([f"{_span(triggered)} triggered rows"] if triggered else []),
    ]
    rates = {line.effective_rate for line in lines if line.effective_rate is not None}
    if rates:
        ends = dict.fromkeys(f"{100 * end:.3g}" for end in (min(rates), max(rates)))
        parts.append(f"{' to '.join(ends)} % of the training rows poisoned")
    return ", ".join(parts)


def failed(failure: FailedCell) -> str:
    """Name a failed cell: what it was, and its error."""
    key = failure.key
    poison = f"{key['attack']} {key['label_mode'] or ''} {key['rate']:g}" if key["attack"] else "no poison"
    what = ", ".join((key["dataset"], key["model"], " ".join(poison.split()), key["defense"], f"seed {key['seed']}"))
    return f"{what}: {failure.error} (cell {failure.name})"


def _comparable(line: Line) -> dict[tuple[str, str], str]:
    return {name: _plain(value) for name, value in settings(line).items()}


def _scope(line: Line, name: tuple[str, str]) -> tuple[object, ...]:
    """Among which lines a setting may not differ unsaid: all of a data set and model, attack, or defense."""
    label: Mapping[str, object] = {"training": None, "attack": line.attack, "defense": line.defense}
    return line.dataset, line.model, name, label[name[0]]


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)  # no two settings may look the same
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _listed(values: Sequence[object]) -> str:
    return " or ".join(map(str, values)) or "unknown"


def _span(values: set[int]) -> str:
    return f"{min(values):,}" if len(values) == 1 else f"{min(values):,} to {max(values):,}"
