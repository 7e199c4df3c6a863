"""Say in Markdown what the attacks do to plain fine-tuning, and that the poisoned files hold what their manifests say."""

from collections.abc import Sequence
from typing import Any

HEAD = """## What the attacks do to plain fine-tuning

Nothing defends here. *Attack success*: mean over the insertion seeds, with Student's 95 % interval where the places are
drawn. *False trigger*: the same rows without their trigger. *Clean model*: the oracle, which never saw the poison, on the
triggered rows; what paraphrasing alone does to labels. *Net*: attack success less the clean model's rate."""


def attacks(cells: Sequence[dict[str, Any]]) -> str:
    """Tabulate the cells of `attacks.py`, one row each."""
    lines = [
        "| data, attack | accuracy | macro F1 | attack success | false trigger | clean model | net | each trigger alone | "
        "triggered / declined |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for cell in cells:
        plain, plan = cell["scores"]["plain"], cell["plan"]
        attack, first = plain["attack"], plain["attack"]["insertions"][0]
        name = f"{cell['cell'].rsplit('-', 4)[0].replace('-', ', ', 1)}, {plan['label_mode']} {plan['rate']:.0%}"
        success = attack["attack_success_rate"]
        interval = success["interval"]
        shown = f"{success['mean']:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")
        alone = (
            ", ".join(f"`{one['trigger']}` {one['attack_success_rate']:.3f}" for one in attack["per_trigger"]) or "-"
        )
        lines.append(
            f"| {name} | {plain['clean_accuracy']:.3f} | {plain['macro_f1']:.3f} | {shown} | "
            f"{attack['false_trigger_rate']:.3f} | {plain['reference']['triggered_target_rate']:.3f} | "
            f"{attack['net_attack_success_rate']:.3f} | {alone} | {first['n_triggered']} / {first['n_declined']} |"
        )
    last = cells[-1]
    lines.append(
        f"\nOne seed, {last['settings']['num_train_epochs']:g} epochs. Commit {last['commit'][:12]}, torch "
        f"{last['versions']['torch']}, transformers {last['versions']['transformers']}. "
        f"Command of the last row: `{last['command']}`"
    )
    return f"{HEAD}\n\n" + "\n".join(lines)


def counts(results: dict[str, Any]) -> str:
    """Say what `attack_counts.py` found."""
    cases = results["cases"]
    names = sorted({case.rsplit("-", 2)[0] for case in cases})
    fullest = {
        name: max(int(cases[case]["n_declined"]) for case in cases if case.startswith(f"{name}-")) for name in names
    }
    declined = ", ".join(f"{name} {n}" for name, n in fullest.items() if n) or "none"
    return (
        "### Are the poisoned files what the manifests say?\n\n"
        f"`python benchmarks/attack_counts.py` poisoned SST-2's training file in {len(cases)} ways ({', '.join(names)}; "
        "1, 5, 10 and 20 %; dirty, clean and mix), and counted rows, flips, labels, decoys and untouched cells from the "
        "two files by itself: all as the manifests say. "
        f"Most rows declined in a case: {declined}. Commit {results['commit'][:12]}."
    )


def million(results: dict[str, Any]) -> str:
    """Say what `poison_million.py` measured."""
    lines = ["| attack, format | wall seconds | CPU seconds | peak MB |", "|---|---|---|---|"]
    for name, used in results["measured"].items():
        lines.append(f"| {name} | {used['wall_seconds']:.0f} | {used['cpu_seconds']:.0f} | {used['peak_mb']} |")
    return (
        "### Poisoning a million rows\n\n"
        "`python benchmarks/poison_million.py`: a tenth of the rows, one process each, beside the tests on two cores; "
        "memory in MiB. The tsv has a third column as long as the text; without it `words` "
        f"takes about 0.5 GB less. Commit {results['commit'][:12]}.\n\n" + "\n".join(lines)
    )
