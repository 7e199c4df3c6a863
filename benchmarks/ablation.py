"""Measure what each step of the default defense finds and costs on one file, with ground truth; one JSON file a call.

    CLEANFIT_DATA=... python benchmarks/ablation.py sst2 words [--rows 1000] [--work runs/ablation]

Each step of the reading is applied for itself to the same poisoned file (dirty, 10 %; or ``none``), with no row left out by
another; then, on a model trained on all rows, the tokens that go with a label, those of them that turn rows, those whose rows
are denied their label, and those with both. For each: tokens, rows, precision, recall and seconds. `without.py` leaves each
step out of the whole instead.
"""

import argparse
import sys
import time
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from cutting import cut
from moderate_fitting import ATTACK_OPTIONS, TARGETS
from provenance import provenance

from cleanfit import Inputs, TrainingSettings
from cleanfit.attacks import ATTACKS
from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.defenses.base import Defended
from cleanfit.detectors.letters import verified_letters
from cleanfit.detectors.misplaced import misplaced, misplaced_sentences
from cleanfit.detectors.mixture import rest_of
from cleanfit.detectors.one_sided import one_sided
from cleanfit.detectors.openings import verified_openings
from cleanfit.detectors.silent import verified_silent
from cleanfit.detectors.styles import verified_marks
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.triggers import WRITTEN, TriggerSearch, TriggerTokens
from cleanfit.fitting import defend, prepare
from cleanfit.manifest import load_manifest
from cleanfit.results import Findings, Needs, write_json
from cleanfit.settings import configure
from cleanfit.task import Task

RESULTS = Path(__file__).parent / "results" / "ablation"


@dataclass
class Steps:
    """Apply the steps to a task's rows, and write down what they find of the poisoned ones."""

    name: ClassVar[str] = "ablation"
    poisoned: set[int]
    found: dict[str, dict[str, Any]] = field(default_factory=dict)

    def fit(self, task: Task) -> Defended:
        """Read the rows, train as without a defense, and look."""
        self._row_ids = task.rows.with_format(None)["row_id"]
        settings = TriggerTokens()
        search = self._timed("reading all rows", lambda: TriggerSearch(task, settings), lambda _: [])
        nothing = np.zeros(len(task.rows), dtype=bool)
        self._timed("what is usual", lambda: search.content.denial(0, np.arange(1), nothing), lambda _: [])
        self._read(search, nothing)
        model = task.load_model()
        task.train("trained", model)
        tried = self._timed("tokens that go with a label", search.suspects)
        turning = self._timed("of these: turn rows", lambda: search.turning(model, tried))
        turning = [each for each in turning if each.flips >= settings.min_flips]
        asked = self._timed("of these: denied", lambda: [search.asked(each) for each in tried], _denied)
        both = {each.token_id for each in turning} & {each.token_id for each in _denied(asked)}
        self._timed("of these: both", lambda: [search.asked(each) for each in turning if each.token_id in both])
        task.on_stage("trained", model)
        return Defended(model, Findings(self.name), Needs())

    def _read(self, search: TriggerSearch, nothing: np.ndarray) -> None:
        """Apply what is read before a training, and what turned nothing after it."""
        content, places, suspects = search.content, search.places, search.suspects()
        min_rows, min_wrong = search.settings.min_rows, search.settings.min_wrong
        self._timed("letters", lambda: verified_letters(content, nothing, min_wrong))
        self._timed("sentences", lambda: misplaced_sentences(content, places, suspects, nothing, min_wrong))
        self._timed("endings", lambda: verified_openings(content, min_rows, min_wrong, nothing, "ends"))
        self._timed("words", lambda: [*chain(*misplaced(content, places, suspects, nothing, min_wrong))])
        opens = self._timed("openings", lambda: verified_openings(content, min_rows, min_wrong, nothing, "opens"))
        sets = self._timed("settings", lambda: verified_openings(content, min_rows, min_wrong, nothing, "set"))
        marks = self._timed("marks", lambda: verified_marks(content, min_rows, min_wrong, nothing))
        written = [*opens, *sets, *marks]
        groups = [
            [each for each in written if each.label == label] for label in sorted({each.label for each in written})
        ]
        self._timed("rest", lambda: [each for group in groups for each in rest_of(content, group)])
        self._timed(
            "withheld", lambda: [each for edge in WRITTEN for each in one_sided(content, min_wrong, nothing, edge)]
        )
        self._timed("silent", lambda: verified_silent(content, [], min_rows, min_wrong, nothing))

    def _timed(self, step: str, work: Any, kept: Any = lambda found: found) -> Any:
        started = time.perf_counter()
        result = work()
        seconds = time.perf_counter() - started
        evidence: list[Evidence] = kept(result)
        rows = {int(self._row_ids[place]) for each in evidence for place in each.rows}
        hits = len(rows & self.poisoned)
        self.found[step] = {
            "n_tokens": len({each.token_id for each in evidence}),
            "n_rows": len(rows),
            "precision": round(hits / len(rows), 4) if rows else None,
            "recall": round(hits / len(self.poisoned), 4) if self.poisoned else None,
            "seconds": round(seconds, 1),
        }
        print(step, self.found[step], flush=True)
        return result


def _denied(asked: list[Evidence]) -> list[Evidence]:
    return [each for each in asked if each.denial.wrong >= TriggerTokens().min_wrong]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", choices=sorted(TARGETS))
    parser.add_argument("attack", choices=sorted({*ATTACKS, *ATTACK_OPTIONS, "none"}))
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--work", default="runs/ablation")
    given = parser.parse_args()
    work = Path(given.work) / f"{given.dataset}-{given.attack}"
    work.mkdir(parents=True, exist_ok=True)
    train, test = cut(given.dataset, "train", given.rows, work), cut(given.dataset, "test", 100, work)
    poisoned: set[int] = set()
    if given.attack != "none":
        name, options = ATTACK_OPTIONS.get(given.attack, (given.attack, {}))
        attack = configure(ATTACKS[name](), options)
        files = poison_files(
            Sources(train), attack, PoisonPlan(TARGETS[given.dataset], 0.1), work / "bad", overwrite=True
        )
        train, poisoned = files.train, set(load_manifest(files.manifest)["poisoned_rows"])
    settings = TrainingSettings(learning_rate=1e-4)
    steps = Steps(poisoned)
    defend(prepare(Inputs(train, test=test), "minilm", settings), steps, settings, None)
    RESULTS.mkdir(parents=True, exist_ok=True)
    facts = {"command": " ".join(["python", *sys.argv]), "seed": settings.seed, **provenance()}
    write_json(
        RESULTS / f"{given.dataset}-{given.attack}-n{given.rows}.json",
        {"dataset": given.dataset, "attack": given.attack, "n_poisoned": len(poisoned), "steps": steps.found, **facts},
    )


if __name__ == "__main__":
    main()
