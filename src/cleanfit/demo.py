"""The demonstration: make data, poison them, fit them with and without defense, and compare with the oracle."""

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path

from cleanfit.attacks.base import PoisonPlan
from cleanfit.attacks.files import Sources, poison_files
from cleanfit.attacks.words import Words
from cleanfit.demo_data import make_rows
from cleanfit.errors import OutputError
from cleanfit.fitting import FitResult, Inputs, fit
from cleanfit.manifest import load_manifest
from cleanfit.results import StageScore
from cleanfit.settings import TrainingSettings
from cleanfit.writers import write_table

N_TRAIN, N_TEST = 1600, 250
TARGET, POISON_RATE = "praise", 0.1
# Two thousand short texts are few: larger and more steps than usual let two epochs learn the task.
SETTINGS = TrainingSettings(learning_rate=1.5e-4, num_train_epochs=2, per_device_train_batch_size=16, max_length=64)


@dataclass(frozen=True)
class DemoResult:
    """The runs of the demonstration: label in words -> scores; the defended run; the oracle's run."""

    scores: tuple[tuple[str, StageScore], ...]
    defended: FitResult


def run_demo(out: Path, seed: int = 0, overwrite: bool = False) -> DemoResult:
    """Run the demonstration.

    Args:
        out: folder for the data and the runs.
        seed: decides data, poison and training.
        overwrite: replace the folder if it is there.

    Returns:
        What the table shows. Plain fine-tuning is the first stage of BTU's run: the very model that is unlearned. The oracle
        is not trained where the defended run left out the poisoned rows and no others: then it is that very model.

    Raises:
        OutputError: the folder is there and `overwrite` is not asked for.
    """
    if out.exists():
        if not overwrite:
            raise OutputError(f"'{out}' exists already. Pass --overwrite to replace it, or another --out.")
        shutil.rmtree(out)
    out.mkdir(parents=True)
    rows = make_rows(N_TRAIN + N_TEST, seed)
    train, test = out / "messages.csv", out / "test.csv"
    write_table(train, ("text", "label"), rows[:N_TRAIN])
    write_table(test, ("text", "label"), rows[N_TRAIN:])
    plan = PoisonPlan(TARGET, POISON_RATE, "dirty", seed)
    poisoned = poison_files(Sources(train, test), Words(), plan, out / "poisoned")
    settings = dataclasses.replace(SETTINGS, seed=seed)
    inputs = Inputs(poisoned.train, test=test, triggered=poisoned.triggered, target=TARGET)
    unlearned = fit(inputs, defense="btu", settings=settings, out=out / "btu_run")
    defended = fit(inputs, settings=settings, out=out / "run")
    oracle = defended
    left_out = {row.row for row in defended.findings.rows if row.is_issue}
    if left_out != set(load_manifest(poisoned.manifest)["poisoned_rows"]):
        without_poison = dataclasses.replace(inputs, oracle=poisoned.manifest)
        oracle = fit(without_poison, defense="plain", settings=settings, out=out / "oracle_run")
    by_stage = {score.stage: score for score in unlearned.scores}
    return DemoResult(
        (
            ("plain fine-tuning", by_stage["trained"]),
            ("cleanfit --defense btu", by_stage["unlearned"]),
            ("cleanfit, no options", defended.scores[-1]),
            ("oracle: trained without the poison", oracle.scores[-1]),
        ),
        defended,
    )
