"""Scan honest and poisoned files of one data set with each detector, and count what it finds; one JSON file a call.

    CLEANFIT_DATA=... python benchmarks/scanning.py hsol [--rows 1000] [--seeds 0 1] [--work runs/scanning]

For each detector and file: suspicious tokens, rows to review, how many of these are poisoned (precision), how many of the
poisoned ones are among them (recall), and seconds. What is found in the honest file is false. Drift, which trains, is run on
the honest file and on those with 10 % of wrong labels.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cutting import cut
from moderate_fitting import ATTACK_OPTIONS, TARGETS
from provenance import provenance

from cleanfit import TrainingSettings, scan
from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.detectors import DETECTORS
from cleanfit.errors import CleanfitError
from cleanfit.manifest import load_manifest
from cleanfit.results import write_json
from cleanfit.settings import configure

RESULTS = Path(__file__).parent / "results" / "scanning"
COMPARED = ("dirty", 0.1)
PLANS = (("dirty", 0.01), ("dirty", 0.05), COMPARED, ("dirty", 0.2), ("mix", 0.1), ("clean", 0.1))


def scanned(path: Path, poisoned: set[int], seed: int, names: Sequence[str] = tuple(DETECTORS)) -> list[dict[str, Any]]:
    """Scan one file with each of some detectors."""
    found = []
    for name in names:
        started = time.perf_counter()
        findings = scan(path, detector=DETECTORS[name](), settings=TrainingSettings(seed=seed, max_length=128))
        seconds = time.perf_counter() - started
        rows = {row.row for row in findings.rows if row.is_issue}
        found.append(
            {
                "detector": name,
                "n_tokens": len(findings.suspicious),
                "n_rows": len(rows),
                "precision": round(len(rows & poisoned) / len(rows), 4) if rows and poisoned else None,
                "recall": round(len(rows & poisoned) / len(poisoned), 4) if poisoned else None,
                "seconds": round(seconds, 1),
            }
        )
        print(path, found[-1], flush=True)
    return found


def cells(dataset: str, n_rows: int | None, seed: int, work: Path) -> list[dict[str, Any]]:
    """Poison a data set in every way that it can be, and scan each file."""
    train, target = cut(dataset, "train", n_rows, work), TARGETS[dataset]
    result = [
        {"attack": None, "label_mode": None, "rate": 0.0, "seed": seed, **one} for one in scanned(train, set(), seed)
    ]
    for attack in ("words", "sentence", *ATTACK_OPTIONS):
        name, options = ATTACK_OPTIONS.get(attack, (attack, {}))
        for mode, rate in PLANS:
            folder = work / f"{attack}-{mode}-{rate}-{seed}"
            try:
                files = poison_files(
                    Sources(train), configure(ATTACKS[name](), options), PoisonPlan(target, rate, mode, seed), folder,
                    overwrite=True,
                )  # fmt: skip
            except CleanfitError as error:  # no paraphrases of this data set's rows
                print(folder.name, error, flush=True)
                continue
            names = tuple(DETECTORS) if (mode, rate) == COMPARED else ("reading",)
            told = {"attack": attack, "label_mode": mode, "rate": rate, "seed": seed}
            poisoned = set(load_manifest(files.manifest)["poisoned_rows"])
            result += [{**told, **one} for one in scanned(files.train, poisoned, seed, names)]
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=sorted(TARGETS))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--work", default="runs/scanning")
    given = parser.parse_args()
    work = Path(given.work) / given.dataset
    work.mkdir(parents=True, exist_ok=True)
    found = [one for seed in given.seeds for one in cells(given.dataset, given.rows, seed, work)]
    RESULTS.mkdir(parents=True, exist_ok=True)
    facts = {"command": " ".join(["python", *sys.argv]), "rows": given.rows, **provenance()}
    write_json(RESULTS / f"{given.dataset}-n{given.rows}.json", {"dataset": given.dataset, "cells": found, **facts})


if __name__ == "__main__":
    main()
