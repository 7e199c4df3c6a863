"""Time what the default defense adds to a training on a file without poison, in one and the same run.

    CLEANFIT_DATA=... python benchmarks/auto_cost.py sst2 [--rows 1000] [--work runs/auto_cost]

Where nothing is verified, `auto` trains as plain fine-tuning does, to the bit, and looks on the way: so its cost is the
seconds of the looks over the rest of the training's. Both are taken from one run, since two runs on a shared machine differ by
more than what is measured. One JSON file per call under results/auto_cost/.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cutting import cut
from provenance import provenance

from cleanfit import Inputs, TrainingSettings, fit
from cleanfit.detectors.triggers import TriggerSearch
from cleanfit.results import write_json

RESULTS = Path(__file__).parent / "results" / "auto_cost"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset")
    parser.add_argument("--rows", type=int, help="training rows to cut to; all of them if not given")
    parser.add_argument("--learning-rate", type=float, default=2e-5)
    parser.add_argument("--work", default="runs/auto_cost")
    given = parser.parse_args()
    work = Path(given.work)
    work.mkdir(parents=True, exist_ok=True)
    train, test = cut(given.dataset, "train", given.rows, work), cut(given.dataset, "test", None, work)
    spent = {"look": 0.0, "__init__": 0.0, "read_rows": 0.0, "read_silent": 0.0}
    for name in spent:
        setattr(TriggerSearch, name, _timed(getattr(TriggerSearch, name), name, spent))
    settings = TrainingSettings(learning_rate=given.learning_rate)
    result = fit(Inputs(train, test=test), settings=settings)
    trained = result.audit["seconds"]["trained"]
    looked = sum(spent.values())
    cost = {
        "dataset": given.dataset,
        "n_train": result.audit["data"]["n_train"],
        "clean_accuracy": result.scores[-1].clean_accuracy,
        "verdict": result.findings.verdict,
        "seconds": {"training with its looks": round(trained, 1), "looks": round(looked, 1)},
        "times_plain": round((trained + looked - spent["look"]) / (trained - spent["look"]), 4),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    facts = {"command": " ".join(["python", *sys.argv]), "n_threads": torch.get_num_threads(), **provenance()}
    write_json(RESULTS / f"{given.dataset}-n{given.rows or 'all'}.json", {**cost, "seed": settings.seed, **facts})
    print(cost)


def _timed(method: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    def call(*given: Any, **named: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*given, **named)
        finally:
            spent[name] += time.perf_counter() - started

    return call


if __name__ == "__main__":
    main()
