"""Measure token unlearning against its controls on one data set and attack; one JSON per cell under results/.

    python benchmarks/token_unlearning.py sst2 words --target 1 [--variants plain btu published oracle] [--attack-set k=v]

`CLEANFIT_DATA` names the folder of the data sets. Cells of one call share the plain training, which is the same model;
a cell whose file is there already is not run again. The trusted rows of the tuning controls are the data set's dev rows,
and all scores are on its test rows.
"""

import argparse
import dataclasses
import json
import os
import shutil
import sys
import time
from pathlib import Path

from provenance import provenance
from transformers.utils import logging as transformers_logging

from cleanfit import EmbeddingDrift, Inputs, PlainFineTuning, TokenUnlearning, TrainingSettings
from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.fitting import defend, prepare
from cleanfit.results import to_plain, write_json
from cleanfit.settings import configure, parse_pairs

RESULTS = Path(__file__).parent / "results" / "token_unlearning"
VARIANTS = {
    "plain": PlainFineTuning(),
    "btu": TokenUnlearning(),
    "published": TokenUnlearning.preset("published"),
    "oracle": PlainFineTuning(),
    "round3_only": TokenUnlearning(detector=EmbeddingDrift(rounds=(3,))),
    "all_rounds": TokenUnlearning(detector=EmbeddingDrift(rounds=(1, 2, 3))),
    "union": TokenUnlearning(detector=EmbeddingDrift(combine="union")),
    "dims": TokenUnlearning(scope="dims"),
    "original_row": TokenUnlearning(replacement="original"),
    "mean_row": TokenUnlearning(replacement="mean"),
}


def main() -> None:
    arguments = _arguments()
    transformers_logging.set_verbosity_error()
    data = Path(os.environ["CLEANFIT_DATA"]) / arguments.dataset
    group = f"{arguments.dataset}-{arguments.attack}-{arguments.label_mode}-{arguments.rate:g}"
    group += f"-e{arguments.epochs:g}-s{arguments.seed}"
    work = Path(arguments.work) / group
    work.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    train, dev, test = (_file(data, name) for name in ("train", "dev", "test"))
    attack = configure(ATTACKS[arguments.attack](), parse_pairs(arguments.attack_set))
    plan = PoisonPlan(arguments.target, arguments.rate, arguments.label_mode, arguments.seed)
    poisoned = poison_files(Sources(train, test), attack, plan, work / "poisoned", overwrite=True)
    manifest = json.loads(poisoned.manifest.read_text(encoding="utf-8"))
    inputs = Inputs(poisoned.train, test=test, trusted=dev, triggered=poisoned.triggered, target=arguments.target)
    settings = TrainingSettings(num_train_epochs=arguments.epochs, seed=arguments.seed)
    for name in arguments.variants:
        cell = f"{group}-{name}"
        path = RESULTS / f"{cell}.json"
        if path.exists():
            continue
        own = dataclasses.replace(inputs, oracle=poisoned.manifest, trusted=None) if name == "oracle" else inputs
        folder = work / name
        shared = work / "plain" / "trained"
        if name != "oracle" and shared.exists() and not folder.exists():
            folder.mkdir()
            shutil.copytree(shared, folder / "trained")
        started = time.perf_counter()
        result = defend(prepare(own, "minilm", settings), VARIANTS[name], settings, folder)
        audit = dict(result.audit)
        kept = {
            key: audit[key] for key in ("data", "model", "defense", "settings", "seed", "platform", "needs", "scores")
        }
        held_out = {**audit["data"]["held_out"], "source": test.name}
        kept["data"] = {**audit["data"], "source": arguments.dataset, "held_out": held_out}
        tokens = [token for token in audit["tokens"] if token["is_suspicious"]]
        names = ("text", "ranks", "n_rows", "label_counts", "replaced_share")
        write_json(
            path,
            {
                "command": " ".join(["python", *sys.argv]),
                "cell": cell,
                "attack": manifest["attack"],
                "plan": manifest["plan"],
                "definitions": manifest["definitions"],
                "effective_rate": manifest["effective_rate"],
                **kept,
                "suspicious_tokens": [{key: token[key] for key in names} for token in tokens],
                "trigger_ranks": _trigger_ranks(result.tokenizer, attack, audit["tokens"]),
                "seconds": audit["seconds"],
                "wall_seconds": round(time.perf_counter() - started, 1),
                **provenance(),
            },
        )
        print(cell, json.dumps(to_plain(result.scores)), [token["text"] for token in tokens], flush=True)
    if not arguments.keep:
        shutil.rmtree(work)


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
    parser.add_argument(
        "--variants", nargs="+", choices=sorted(VARIANTS), default=["plain", "btu", "published", "oracle"]
    )
    parser.add_argument("--work", default="runs/token_unlearning", help="what an interrupted call goes on from")
    parser.add_argument("--keep", action="store_true", help="keep the trained models there")
    return parser.parse_args()


def _file(folder: Path, name: str) -> Path:
    return next(path for path in (folder / f"{name}.tsv", folder / f"{name}.tsv.gz") if path.exists())


def _trigger_ranks(tokenizer, attack, tokens) -> dict[str, dict[str, int]]:
    """Rank of each trigger piece per round, from the listed tokens; a piece that is not listed is not there."""
    pieces = {piece for text in attack.pieces() for piece in tokenizer.tokenize(text)}
    return {token["text"]: token["ranks"] for token in tokens if token["text"] in pieces}


if __name__ == "__main__":
    main()
