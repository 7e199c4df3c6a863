"""Measure what an attack does to plain fine-tuning, with its baselines; one JSON per attack under results/attacks/.

    python benchmarks/attacks.py sst2 words --target 1 [--rate 0.1 --label-mode dirty --attack-set column=synbkd --name synbkd]

`CLEANFIT_DATA` names the folder of the data sets. Each call poisons the training file, fits plain and the oracle (its
reference), and evaluates both on the test file. What stands under --work is taken from there, so that a broken call goes on.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from provenance import provenance

from cleanfit import Inputs, TrainingSettings, fit
from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.evaluate import evaluate
from cleanfit.results import to_plain, write_json
from cleanfit.run_folder import RunFolder
from cleanfit.settings import configure, parse_pairs

RESULTS = Path(__file__).parent / "results" / "attacks"


def main() -> None:
    given = _arguments()
    data = Path(os.environ["CLEANFIT_DATA"]) / given.dataset
    train, test = (next(data.glob(f"{name}.tsv*")) for name in ("train", "test"))
    name = given.name or given.attack
    cell = f"{given.dataset}-{name}-{given.label_mode}-{given.rate:g}-e{given.epochs:g}-s{given.seed}"
    work = Path(given.work) / cell
    attack = configure(ATTACKS[given.attack](), parse_pairs(given.attack_set))
    plan = PoisonPlan(given.target, given.rate, given.label_mode, given.seed)
    if not work.exists():
        poison_files(Sources(train, test), attack, plan, work)
    manifest = json.loads((work / "manifest.json").read_text(encoding="utf-8"))
    if manifest["plan"] != to_plain(plan) or manifest["attack"] != {"name": attack.name, **to_plain(attack)}:
        raise SystemExit(f"{work} holds another attack or plan; pass another --work.")
    settings = TrainingSettings(num_train_epochs=given.epochs, seed=given.seed)
    poisoned = work / f"train{''.join(train.suffixes)}"
    for run, oracle in (("plain", None), ("oracle", work / "manifest.json")):
        if not (work / run).exists():
            folder = RunFolder(work / run, resume=(work / f"{run}.partial").exists())
            fit(Inputs(poisoned, test=test, oracle=oracle), defense="plain", settings=settings, out=folder)
    scores = {
        run: to_plain(
            evaluate(
                str(work / run),
                test,
                manifest=work / "manifest.json",
                reference=str(work / "oracle") if run == "plain" else None,
                settings=settings,
            )
        )
        for run in ("plain", "oracle")
    }
    for score in scores.values():
        score["model"] = Path(score["model"]).name
        if score["reference"]:
            score["reference"]["model"] = Path(score["reference"]["model"]).name
    audit = json.loads((work / "plain" / "audit.json").read_text(encoding="utf-8"))
    counts = ("n_asked", "n_poisoned", "n_flipped", "n_declined", "effective_rate", "effective_flip_rate")
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(
        RESULTS / f"{cell}.json",
        {
            "command": " ".join(["python", *sys.argv]),
            "cell": cell,
            "dataset": given.dataset,
            "attack": manifest["attack"],
            "plan": manifest["plan"],
            "definitions": manifest["definitions"],
            **{key: manifest[key] for key in counts},
            "train_sha256": manifest["output"]["sha256"],
            "test": {key: manifest["test"]["input"][key] for key in ("name", "sha256", "n_rows")},
            "model": audit["model"],
            "settings": audit["settings"],
            "seconds": audit["seconds"],
            "scores": scores,
            **provenance(),
        },
    )
    print(
        cell, {run: (score["clean_accuracy"], score["attack"]["attack_success_rate"]) for run, score in scores.items()}
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=("sst2", "hsol", "agnews", "olid"))
    parser.add_argument("attack", choices=sorted(ATTACKS))
    parser.add_argument("--target", required=True)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--label-mode", default="dirty")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--attack-set", nargs="*", default=[])
    parser.add_argument("--name", help="of the attack in the result's file name, where its options matter")
    parser.add_argument("--work", default="runs/attacks", help="what an interrupted call goes on from")
    return parser.parse_args()


if __name__ == "__main__":
    main()
