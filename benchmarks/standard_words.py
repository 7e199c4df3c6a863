"""Say in words what a benchmark's cells show, failures first, with one small table per data set."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from cleanfit.benchmark import Line, read_cells, summarize
from cleanfit.benchmark.wording import seeds

# What we promise: within a point of the oracle's accuracy, within three points of its attack success; at rate 0, plain's.
ACCURACY_LOSS, SUCCESS_LEFT, CLEAN_LOSS = 0.01, 0.03, 0.005
USUAL_RATE = 0.1
LEARNED = 0.05  # plain's attack success above the oracle's, below which there is nothing to defend against


def standard(folder: Path, title: str) -> str:
    """Write the section of one folder of cells."""
    summary = summarize(*read_cells(folder))
    lines = summary.lines
    first = lines[0].key
    rows = "all" if first["rows"] is None else f"{first['rows']:,}"
    settings = first["settings"]
    parts = [
        f"## {title}",
        f"{rows} training rows, {lines[0].n_test:,} test rows, {seeds(lines[0])}, "
        f"{settings['num_train_epochs']:g} epochs at {settings['learning_rate']:g}, `{lines[0].model}`. Every line with "
        f"intervals, paired verdicts, row detection and cost: [table.md](../benchmarks/results/{folder.name}/table.md) "
        "(`.csv`, `.json` and a sortable `.html` beside it), made by "
        f"`cleanfit table benchmarks/results/{folder.name}`.",
        *(f"**{name}.** {_words(name, own)}" for name, own in _by_defense(lines).items()),
    ]
    if summary.failures:
        parts.append(f"{len(summary.failures)} cells failed; table.md lists them with their errors.")
    for dataset in dict.fromkeys(line.dataset for line in lines):
        parts.append(_table(dataset, [line for line in lines if line.dataset == dataset]))
    return "\n\n".join(parts)


def _by_defense(lines: Sequence[Line]) -> dict[str, list[Line]]:
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        if line.control != "oracle" and line.defense != "plain":
            found[line.defense].append(line)
    return dict(sorted(found.items(), key=lambda item: item[0] == "tuning only"))


def _words(name: str, lines: Sequence[Line]) -> str:
    poisoned = [line for line in lines if line.attack and line.to_oracle.attack_success]
    learned = [line for line in poisoned if _plain_gap(line) >= LEARNED]
    left = [line for line in learned if line.to_oracle.attack_success.mean > SUCCESS_LEFT]
    harmed = [line for line in poisoned if line.to_oracle.accuracy.mean < -ACCURACY_LOSS]
    clean = [line for line in lines if not line.attack and line.to_plain.accuracy]
    lost = [line for line in clean if line.to_plain.accuracy.mean < -CLEAN_LOSS]
    said = []
    if left:
        told = ", ".join(f"{_where(line)} ({line.attack_success_rate.mean:.3f})" for line in left)
        said.append(
            f"Leaves attack success more than 3 points above the oracle's in {len(left)} of {len(learned)} cells: {told}."
        )
    if harmed:
        told = ", ".join(f"{_where(line)} ({line.to_oracle.accuracy.mean:+.3f}, {_proof(line)})" for line in harmed)
        said.append(f"Accuracy more than a point below the oracle's in {len(harmed)} of {len(poisoned)}: {told}.")
    if lost:
        told = ", ".join(f"{line.dataset} ({line.to_plain.accuracy.mean:+.3f})" for line in lost)
        said.append(f"Without poison it loses accuracy on {told}.")
    elif clean:
        said.append(f"Without poison it loses no accuracy ({', '.join(line.dataset for line in clean)}).")
    good = [line for line in learned if line not in left and line not in harmed]
    if good:
        said.append(f"As good as the oracle in {len(good)} of {len(learned)}: {', '.join(map(_where, good))}.")
    ratios = [line.cost.ratio_to_plain for line in lines if line.cost.ratio_to_plain is not None]
    if ratios:
        said.append(
            f"Costs {median(ratios):.1f} times plain's training (median; {min(ratios):.1f} to {max(ratios):.1f})."
        )
    return " ".join(said) or "No control has been run beside it in this grid."


def _plain_gap(line: Line) -> float:
    """Plain's attack success less the oracle's."""
    to_plain = line.to_plain.attack_success
    return line.to_oracle.attack_success.mean - (to_plain.mean if to_plain else 0.0)


def _proof(line: Line) -> str:
    return line.to_oracle.accuracy.verdict


def _where(line: Line) -> str:
    return f"{line.dataset} {_attack(line)}"


def _attack(line: Line) -> str:
    """Name an attack; dirty labels at 10 % go without saying."""
    if line.attack is None:
        return "no poison"
    mode = "" if line.label_mode == "dirty" else f" {line.label_mode}"
    return f"{line.attack}{mode}" + ("" if line.rate == USUAL_RATE else f" {line.rate:.0%}")


def _table(dataset: str, lines: Sequence[Line]) -> str:
    attacks = list(dict.fromkeys(map(_attack, lines)))
    cells = {(line.defense, _attack(line)): line for line in lines}
    rows = [f"| {dataset}: accuracy / attack success | {' | '.join(attacks)} |", "|---" * (len(attacks) + 1) + "|"]
    for defense in dict.fromkeys(line.defense for line in lines):
        rows.append(f"| {defense} | {' | '.join(_cell(cells.get((defense, attack))) for attack in attacks)} |")
    return "\n".join(rows)


def _cell(line: Line | None) -> str:
    if line is None:
        return "-"
    success = line.attack_success_rate
    return f"{line.clean_accuracy.mean:.3f}" + (f" / {success.mean:.3f}" if success else "")
