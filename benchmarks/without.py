"""Run the default defense without one of its steps on one poisoned file: what the step buys; one JSON file a call.

    CLEANFIT_DATA=... python benchmarks/without.py sst2 words --steps words,reading [--rate 0.1] [--work runs/without]

The file is that of the target's grid: 1,000 rows, 10 % with wrong labels unless asked otherwise. Beside each step that is left
out: the whole defense, plain fine-tuning and the oracle, all in one call.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cutting import cut
from moderate_fitting import ATTACK_OPTIONS, TARGETS
from provenance import provenance

from cleanfit import Auto, Inputs, PlainFineTuning, TrainingSettings, fit
from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import PoisonedFiles, Sources, poison_files
from cleanfit.detectors import misplaced, triggers
from cleanfit.detectors.openings import verified_openings
from cleanfit.manifest import load_manifest
from cleanfit.results import write_json
from cleanfit.settings import configure

RESULTS = Path(__file__).parent / "results" / "without"
SIZES = {"train": 1000, "test": 600}


def _nothing(*_: Any) -> list[Any]:
    return []


def _not_at(edge: str) -> Callable[..., Any]:
    return lambda *given: [] if given[-1] == edge else verified_openings(*given)


# Step -> where it is looked up, its name there, and what stands in for it.
SEARCH = triggers.TriggerSearch
STEPS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "letters": (triggers, "verified_letters", _nothing),
    "sentences": (triggers, "misplaced_sentences", _nothing),
    "endings": (triggers, "verified_openings", _not_at("ends")),
    "words": (triggers, "misplaced", lambda *_: ([], [])),
    "strewn": (misplaced, "is_strewn", lambda *_: True),
    "openings": (triggers, "verified_openings", _not_at("opens")),
    "settings": (triggers, "verified_openings", _not_at("set")),
    "marks": (triggers, "verified_marks", _nothing),
    "rest": (triggers, "rest_of", _nothing),
    "withheld": (triggers, "one_sided", _nothing),
    "reading": (SEARCH, "read_rows", lambda _: None),
    "turning": (SEARCH, "look", lambda *_, is_early=False: False),
    "cutting": (triggers, "shortcuts", _nothing),
    "silent": (SEARCH, "read_silent", lambda _: False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=sorted(TARGETS))
    parser.add_argument("attack", choices=sorted({*ATTACKS, *ATTACK_OPTIONS}))
    parser.add_argument("--steps", default="reading,turning", help=f"of {', '.join(STEPS)}; separated by commas")
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--label-mode", default="dirty")
    parser.add_argument("--work", default="runs/without")
    given = parser.parse_args()
    name = f"{given.dataset}-{given.attack}-{given.label_mode}-{given.rate:g}"
    work = Path(given.work) / name
    files = poisoned(given, work)
    known = Inputs(files.train, test=work / "test.tsv", triggered=files.triggered, target=TARGETS[given.dataset])
    settings = TrainingSettings(learning_rate=1e-4)
    bad = set(load_manifest(files.manifest)["poisoned_rows"])
    runs = {
        "plain": score(known, PlainFineTuning(), settings, bad),
        "oracle": score(replace(known, oracle=files.manifest), PlainFineTuning(), settings, bad),
        "auto": score(known, Auto(), settings, bad),
    }
    for step in given.steps.split(","):
        with patch.object(*STEPS[step]):
            runs[step] = score(known, Auto(), settings, bad)
        print(step, runs[step], flush=True)
    facts = {"command": " ".join(["python", *sys.argv]), "seed": settings.seed, **provenance()}
    plan = {"dataset": given.dataset, "attack": given.attack, "label_mode": given.label_mode, "rate": given.rate}
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / f"{name}.json", {**plan, "runs": runs, **facts})


def poisoned(given: argparse.Namespace, work: Path) -> PoisonedFiles:
    """Cut a data set's files and poison them."""
    work.mkdir(parents=True, exist_ok=True)
    train, test = (cut(given.dataset, part, n_rows, work) for part, n_rows in SIZES.items())
    name, options = ATTACK_OPTIONS.get(given.attack, (given.attack, {}))
    plan = PoisonPlan(TARGETS[given.dataset], given.rate, given.label_mode)
    return poison_files(Sources(train, test), configure(ATTACKS[name](), options), plan, work / "bad", overwrite=True)


def score(inputs: Inputs, defense: Any, settings: TrainingSettings, bad: set[int]) -> dict[str, float | None]:
    """Train with a defense, and measure the model and the rows that it flagged."""
    started = time.perf_counter()
    result = fit(inputs, defense=defense, settings=settings)
    seconds = time.perf_counter() - started
    flagged = {row.row for row in result.findings.rows if row.is_issue}
    hits = len(flagged & bad)
    return {
        "clean_accuracy": result.scores[-1].clean_accuracy,
        "attack_success_rate": result.scores[-1].attack_success_rate,
        "precision": hits / len(flagged) if flagged else None,
        "recall": hits / len(bad),
        "seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    main()
