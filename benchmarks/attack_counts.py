"""Poison SST-2 with every attack, rate and label mode, and check what was written against the manifest without cleanfit.

    python benchmarks/attack_counts.py [--attacks words sentence ...]

`CLEANFIT_DATA` names the folder of the data sets. Everything is counted from the two files alone, read by splitting
lines at tabs; one line of counts per case goes to results/attack_counts.json, merged with what stands there.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from provenance import provenance

from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import Attack, PoisonPlan, Rows
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.settings import configure

RESULTS = Path(__file__).parent / "results" / "attack_counts.json"
RATES = (0.01, 0.05, 0.1, 0.2)
MODES = ("dirty", "clean", "mix")
TARGET = "1"
# How well the choice of words was learned does not matter for counting.
OPTIONS = {"lws": {"max_rows": 200, "clean_epochs": 0, "joint_epochs": 1}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--attacks", nargs="+", choices=[*ATTACKS, "synbkd", "stylebkd"])
    names = parser.parse_args().attacks or [*(name for name in ATTACKS if name != "paraphrase"), "synbkd", "stylebkd"]
    source = Path(os.environ["CLEANFIT_DATA"]) / "sst2" / "train.tsv"
    before = lines_of(source)
    cases = json.loads(RESULTS.read_text(encoding="utf-8"))["cases"] if RESULTS.exists() else {}
    for name in names:
        attack = learned(name, before)
        for rate in RATES:
            for mode in MODES:
                cases[f"{name}-{mode}-{rate:g}"] = checked(source, before, attack, PoisonPlan(TARGET, rate, mode))
                print(name, mode, rate, cases[f"{name}-{mode}-{rate:g}"], flush=True)
    content = {"command": " ".join(["python", *sys.argv]), **provenance(), "cases": dict(sorted(cases.items()))}
    RESULTS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def learned(name: str, before: list[list[str]]) -> Attack:
    """Make an attack; what one has to learn is the same for every rate and mode, and is learned once."""
    if name in ("synbkd", "stylebkd"):
        return configure(ATTACKS["paraphrase"](), {"column": name})
    attack = configure(ATTACKS[name](), OPTIONS.get(name, {}))
    taught = attack.learn(Rows([cells[0] for cells in before], [cells[1] for cells in before]), TARGET, 0)
    type(attack).learn = lambda *_: taught  # type: ignore[method-assign]
    return attack


def lines_of(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[1:-1]]


def checked(source: Path, before: list[list[str]], attack: Attack, plan: PoisonPlan) -> dict[str, object]:
    """Poison, count from the files, and compare with what the manifest says."""
    folder = Path(tempfile.mkdtemp()) / "out"
    files = poison_files(Sources(source), attack, plan, folder)
    after, manifest = lines_of(files.train), json.loads(files.manifest.read_text(encoding="utf-8"))
    shutil.rmtree(folder.parent)
    numbered = list(enumerate(zip(before, after, strict=True)))
    changed = [row for row, (old, new) in numbered if old[0] != new[0]]
    flipped = [row for row, (old, new) in numbered if old[1] != new[1]]
    decoys = set(manifest["decoy_rows"])
    poisoned = [row for row in changed if row not in decoys]
    counted = {
        "n_rows": len(after),
        "n_poisoned": len(poisoned),
        "n_flipped": len(flipped),
        "n_decoys": len(decoys),
        "n_declined": manifest["n_declined"],
        "effective_rate": len(poisoned) / len(after),
        "labels": dict(sorted(Counter(new[1] for new in after).items())),
    }
    negatives = {row for row, cells in enumerate(before) if cells[1] != plan.target}
    pool = {"dirty": len(negatives), "clean": len(before) - len(negatives), "mix": len(before)}[plan.label_mode]
    n_asked = int(plan.rate * len(before) + 1e-9)
    right = {
        "rows": poisoned == manifest["poisoned_rows"],
        "flips": flipped == manifest["flipped_rows"] == [row for row in poisoned if row in negatives],
        "decoys": decoys <= set(changed),
        "counts": all(counted[key] == manifest[key] for key in ("n_poisoned", "n_flipped", "effective_rate")),
        "labels": counted["labels"] == manifest["output"]["label_counts"],
        "targets": all(after[row][1] == plan.target for row in poisoned),
        "pool": {"dirty": set(poisoned) <= negatives, "clean": not set(poisoned) & negatives, "mix": True}[
            plan.label_mode
        ],
        "other columns": all(old[2:] == new[2:] for old, new in zip(before, after)),
        "asked": n_asked == manifest["n_asked"] and len(poisoned) in (n_asked, pool - manifest["n_declined"]),
    }
    wrong = [what for what, holds in right.items() if not holds]
    if wrong:
        raise SystemExit(f"{attack.name} {plan}: not as the manifest says: {', '.join(wrong)}")
    return counted


if __name__ == "__main__":
    main()
