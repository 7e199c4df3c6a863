"""Measure Moderate-fitting against plain and oracle on one data set and attack; one JSON per cell under results/.

    python benchmarks/moderate_fitting.py sst2 words [--rate 0.1 --rows 3000 --variants moderate plain oracle]

`CLEANFIT_DATA` names the folder of the data sets. `--rows` cuts the training file to its first rows in a seeded shuffle,
the test file to at most 2,000 likewise. A cell whose file is there already is not run again, and an interrupted one goes on.
"""

import argparse
import dataclasses
import os
import shutil
import sys
import time
from pathlib import Path

from cutting import cut
from provenance import provenance
from transformers.utils import logging as transformers_logging

from cleanfit import Inputs, PlainFineTuning, TrainingSettings
from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.capacity import Capacity
from cleanfit.defenses import ModerateFitting
from cleanfit.fitting import defend, prepare
from cleanfit.manifest import load_manifest
from cleanfit.results import write_json
from cleanfit.settings import configure

RESULTS = Path(__file__).parent / "results" / "moderate_fitting"
TARGETS = {"sst2": "1", "hsol": "1", "agnews": "0", "olid": "1"}
ATTACK_OPTIONS = {"synbkd": ("paraphrase", {"column": "synbkd"}), "stylebkd": ("paraphrase", {"column": "stylebkd"})}
N_TEST = 2000
VARIANTS = {
    "moderate": ModerateFitting(),
    "plain": PlainFineTuning(),
    "oracle": PlainFineTuning(),
    "plateau": ModerateFitting(stop="plateau"),
    "published_lora": ModerateFitting.preset("published"),
    "published_adapter": ModerateFitting.preset("published_adapter"),
    "published_prefix": ModerateFitting.preset("published_prefix"),
    "lora_rank1": ModerateFitting(Capacity(method="lora", size=1), learning_rate=3e-4, epochs=1.0, stop="end"),
    "lower_rate": ModerateFitting(learning_rate=5e-6, stop="end"),
    "half_epoch": ModerateFitting(epochs=0.5, stop="end"),
    "one_epoch": ModerateFitting(epochs=1.0, stop="end"),
}


def main() -> None:
    given = _arguments()
    transformers_logging.set_verbosity_error()
    group = f"{given.dataset}-{given.attack}-{given.label_mode}-{given.rate:g}-n{given.rows or 'all'}"
    group += f"-e{given.epochs:g}-s{given.seed}"
    work = Path(given.work) / group
    work.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    sources = _sources(given, work)
    target = TARGETS[given.dataset]
    name, options = ATTACK_OPTIONS.get(given.attack, (given.attack, {}))
    attack = configure(ATTACKS[name](), options)
    plan = PoisonPlan(target, given.rate, given.label_mode, given.seed)
    poisoned = poison_files(sources, attack, plan, work / "poisoned", overwrite=True)
    manifest = load_manifest(poisoned.manifest)
    settings = TrainingSettings(num_train_epochs=given.epochs, seed=given.seed)
    inputs = Inputs(poisoned.train, test=sources.test, triggered=poisoned.triggered, target=target)
    for variant in given.variants:
        path = RESULTS / f"{group}-{variant}.json"
        if path.exists():
            continue
        folder = work / variant
        own = dataclasses.replace(inputs, oracle=poisoned.manifest) if variant == "oracle" else inputs
        if variant == "plain" and _ran_through(work / "moderate") and not folder.exists():
            shutil.copytree(work / "moderate" / "trained", folder / "trained")  # the same training, to the bit
        started = time.perf_counter()
        result = defend(prepare(own, "minilm", settings), VARIANTS[variant], settings, folder)
        audit = dict(result.audit)
        kept = {key: audit[key] for key in ("model", "defense", "settings", "seed", "platform", "needs", "scores")}
        found = {row.row for row in result.findings.rows if row.is_issue}
        write_json(
            path,
            {
                "command": " ".join(["python", *sys.argv]),
                "cell": path.stem,
                "dataset": given.dataset,
                "attack": given.attack,
                "plan": manifest["plan"],
                "effective_rate": manifest["effective_rate"],
                "n_train": audit["data"]["n_train"],
                "n_test": audit["data"]["held_out"]["n_rows"],
                "hashes": {"train": manifest["output"]["sha256"], "test": audit["data"]["held_out"]["sha256"]},
                **kept,
                "verdict": result.findings.verdict,
                "rows": _detection(found, set(manifest["poisoned_rows"])),
                "seconds": audit["seconds"],
                "wall_seconds": round(time.perf_counter() - started, 1),
                **provenance(),
            },
        )
        print(path.stem, [(s.stage, s.clean_accuracy, s.attack_success_rate) for s in result.scores], flush=True)
        print("   ", result.findings.verdict, _detection(found, set(manifest["poisoned_rows"])), flush=True)


def _sources(given: argparse.Namespace, work: Path) -> Sources:
    """Cut the files, and take the pool of paraphrases where the training file itself has none."""
    train, test = cut(given.dataset, "train", given.rows, work), cut(given.dataset, "test", N_TEST, work)
    pool = Path(os.environ["CLEANFIT_DATA"]) / given.dataset / "synbkd_pool.tsv.gz"
    needs_pool = given.dataset == "agnews" and given.attack == "synbkd"
    return Sources(train, test, pool=pool if needs_pool else None)


def _ran_through(folder: Path) -> bool:
    return (folder / "trained").exists() and not (folder / "without-1").exists()


def _detection(found: set[int], poisoned: set[int]) -> dict[str, float | int]:
    hits = len(found & poisoned)
    return {
        "n_flagged": len(found),
        "n_poisoned": len(poisoned),
        "precision": hits / len(found) if found else 0.0,
        "recall": hits / len(poisoned) if poisoned else 0.0,
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=sorted(TARGETS))
    parser.add_argument("attack", choices=sorted({*ATTACKS, *ATTACK_OPTIONS}))
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--label-mode", default="dirty")
    parser.add_argument("--rows", type=int, help="training rows to cut to; all of them if not given")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--variants", nargs="+", choices=sorted(VARIANTS), default=["moderate", "plain", "oracle"])
    parser.add_argument("--work", default="runs/moderate_fitting", help="what an interrupted call goes on from")
    return parser.parse_args()


if __name__ == "__main__":
    main()
