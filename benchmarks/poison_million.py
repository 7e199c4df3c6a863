"""Measure time and memory of poisoning a million rows: python benchmarks/poison_million.py

The rows are SST-2's training texts over and over with a number behind each (`CLEANFIT_DATA` names the folder of the data
sets), with a second column as their paraphrase. Each attack is one `cleanfit poison` process, timed from outside.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from provenance import provenance

from cleanfit.results import write_json

N_ROWS = 1_000_000
CASES = {
    "words, tsv": ("tsv", "words"),
    "words, jsonl": ("jsonl", "words"),
    "words, parquet": ("parquet", "words"),
    "composite, tsv": ("tsv", "composite"),
    "syntax, tsv": ("tsv", "syntax"),
    "paraphrase, tsv": ("tsv", "paraphrase"),
}


def main() -> None:
    source = Path(os.environ["CLEANFIT_DATA"]) / "sst2" / "train.tsv"
    known = [line.split("\t") for line in source.read_text(encoding="utf-8").split("\n")[1:-1]]
    rows = [(f"{known[i % len(known)][0]} {i}", known[i % len(known)][1]) for i in range(N_ROWS)]
    measured = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("tsv", "jsonl", "parquet"):
            write(Path(folder) / f"big.{kind}", rows)
        del rows
        for name, (kind, attack) in CASES.items():
            command = ["poison", f"{folder}/big.{kind}", "--attack", attack, "--target", "1", "--out", f"{folder}/out"]
            measured[name] = timed([sys.executable, "-m", "cleanfit", *command, "--overwrite"])
            print(name, measured[name], flush=True)
    path = Path(__file__).parent / "results" / "poison_million.json"
    write_json(path, {"command": "python benchmarks/poison_million.py", **provenance(), "measured": measured})


def write(path: Path, rows: list[tuple[str, str]]) -> None:
    import pandas

    frame = pandas.DataFrame(rows, columns=["text", "label"])
    frame["paraphrase"] = "when seen , " + frame["text"] if path.suffix == ".tsv" else ""
    if path.suffix == ".tsv":
        frame.to_csv(path, sep="\t", index=False, quoting=3, lineterminator="\n")
    elif path.suffix == ".jsonl":
        frame[["text", "label"]].to_json(path, orient="records", lines=True, force_ascii=False)
    else:
        frame[["text", "label"]].to_parquet(path)


def timed(command: list[str]) -> dict[str, float]:
    """Run a process: wall and processor seconds, and its peak memory in MB (Linux)."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command} failed")
    return {
        "wall_seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": used.ru_maxrss // 1024,
    }


if __name__ == "__main__":
    main()
