"""Draw how the default model learns SST-2 and a trigger: one trajectory, the poison rates, and sweeps of the levers.

    CLEANFIT_DATA=... python benchmarks/stages.py [trajectory ...] [--work runs/stages]

1,000 training and 600 test rows, so that all takes an hour on one core; an interrupted call goes on where it was. What
`results/stages/` gets of each study: its JSON file, its figures, and `made.json`, which says how and with what.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from cutting import cut
from provenance import provenance

from cleanfit.results import write_json

RESULTS = Path(__file__).parent / "results" / "stages"
SIZES = {"train": 1000, "test": 600}
LOOKS = "--points 2 --rows 200"
# Study -> the command without its files. So few rows need a larger step than 2e-5.
STUDIES = {
    "trajectory": "trajectory --states pca --rows 600 --points 16 --epochs 6 --learning-rate 1e-4",
    "poison_rates": f"poison-rates --attack words --target 1 --learning-rate 1e-4 {LOOKS}",
    "epochs_rate": f"sweep --over epochs=0.5,1,3 --over learning_rate=3e-5,1e-4 {LOOKS}",
    "rank_rate": f"sweep --capacity method=lora --over size=1,16 --over learning_rate=3e-4,1e-3 {LOOKS}",
    "mid_dim": "sweep --capacity method=lora --capacity generator=tanh_net --over mid_dim=1,8 "
    f"--over learning_rate=1e-3,3e-3 {LOOKS}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", nargs="*", choices=[[], *STUDIES], default=[], help="all if none is named")
    parser.add_argument("--work", default="runs/stages", help="what an interrupted call goes on from")
    asked = parser.parse_args()
    work = Path(asked.work)
    work.mkdir(parents=True, exist_ok=True)
    files = {name: cut("sst2", name, n_rows, work) for name, n_rows in SIZES.items()}
    bad = work / "bad"
    poison = ["poison", str(files["train"]), "--attack", "words", "--target", "1", "--rate", "0.1"]
    if not bad.exists():
        _run([*poison, "--test", str(files["test"]), "--out", str(bad)])
    attacked = [str(bad / "train.tsv"), "--manifest", str(bad / "manifest.json")]
    for name, written in STUDIES.items():
        given = written.split()
        if (RESULTS / name / "made.json").exists() or (asked.studies and name not in asked.studies):
            continue
        read = [str(files["train"])] if given[0] == "poison-rates" else attacked
        command = [given[0], *read, *given[1:], "--test", str(files["test"]), "--out", str(work / name)]
        _run([*command, "--resume", "--precision", "fp32", "--seed", "0"])
        _keep(work / name, RESULTS / name, f"cleanfit {written}")


def _run(command: list[str]) -> None:
    subprocess.run([sys.executable, "-m", "cleanfit", *command], check=True)


def _keep(done: Path, kept: Path, command: str) -> None:
    """Copy a study's figures and numbers; states and models stay behind."""
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir(parents=True)
    for path in sorted([*done.glob("*.json"), *done.glob("*.png")]):
        shutil.copy(path, kept)
    write_json(kept / "made.json", {"command": command, "rows": SIZES, "seed": 0, **provenance()})


if __name__ == "__main__":
    main()
