"""Run the demonstration once and keep what it shows and how long it takes.

    python benchmarks/demo.py [--out runs/demo]

Writes results/demo/demo.json; nothing else should run on the machine, or the seconds mean little.
"""

import argparse
import os
import time
from pathlib import Path

import torch
from provenance import provenance

from cleanfit.demo import N_TEST, N_TRAIN, run_demo
from cleanfit.results import write_json

RESULTS = Path(__file__).parent / "results" / "demo"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="runs/demo")
    out = Path(parser.parse_args().out)
    started = time.perf_counter()
    shown = run_demo(out, overwrite=True)
    seconds = time.perf_counter() - started
    RESULTS.mkdir(parents=True, exist_ok=True)
    found = {
        "rows": {"train": N_TRAIN, "test": N_TEST},
        "scores": {name: [score.clean_accuracy, score.attack_success_rate] for name, score in shown.scores},
        "verdict": shown.defended.findings.verdict,
        "n_left_out": sum(row.is_issue for row in shown.defended.findings.rows),
        "seconds": round(seconds, 1),
        "machine": {"n_threads": torch.get_num_threads(), "load_after": round(os.getloadavg()[0], 2)},
    }
    write_json(RESULTS / "demo.json", {**found, "command": "python benchmarks/demo.py", "seed": 0, **provenance()})
    print(found)


if __name__ == "__main__":
    main()
