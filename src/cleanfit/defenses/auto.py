"""Look for groups of rows and for tokens, verify what was found, and train again without the rows that teach a trigger."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from cleanfit.defenses.base import Defended, Defense, tune
from cleanfit.defenses.moderate_fitting import ModerateFitting
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.triggers import Evidence, TriggerTokens, describe
from cleanfit.results import Findings, RowFinding
from cleanfit.task import Task


@dataclass(frozen=True)
class Auto:
    """Train as usual, verify what looks like a trigger, and if something is one, train again without its rows.

    Args:
        base: the training; the default also leaves out groups of rows that lie apart and that the others contradict.
        triggers: verifies tokens on the model that `base` gives.

    Source: ours; see docs/methods/auto.md. Where nothing is verified the model is the one of `base`, which in turn is plain
    fine-tuning's, to the bit, where no group was left out.
    """

    name: ClassVar[str] = "auto"
    base: Defense = field(default_factory=ModerateFitting)
    triggers: TriggerTokens = field(default_factory=TriggerTokens)

    def fit(self, task: Task) -> Defended:
        """Train, verify, train again; stages ``trained``, ``cleaned`` if tokens were verified, and ``tuned``."""
        defended = self.base.fit(task.without_trusted())
        model, needs = defended.model, defended.needs
        kept = np.flatnonzero(
            [not row.is_issue for row in defended.findings.rows] or np.ones(len(task.rows), dtype=bool)
        )
        rows = task.rows.select(kept)
        evidence = self.triggers.find(task, model, rows)
        verified = [each for each in evidence if each.is_verified]
        passes = needs.extra_passes + 1 / 3  # the frozen features; what the hosts cost does not grow with the rows
        if verified:
            left_out = np.unique(np.concatenate([each.rows for each in verified]))
            rest = rows.select(np.setdiff1d(np.arange(len(rows)), left_out))
            model = task.load_model()
            task.train("cleaned", model, rest)
            task.on_stage("cleaned", model)
            passes += task.settings.num_train_epochs * len(rest) / len(task.rows)
        seen = Occurrences.of(rows, len(task.tokenizer))
        findings = Findings(
            self.name,
            tokens=describe(task, seen, evidence),
            rows=_rows(task, kept, defended.findings.rows, verified),
            verdict=" ".join(filter(None, (defended.findings.verdict, told(task, evidence)))),
        )
        trusted = tune(task, model)
        return Defended(model, findings, replace(needs, trusted_rows=trusted, extra_passes=round(passes, 3)))


def told(task: Task, evidence: list[Evidence]) -> str:
    """Say in words what each token does that turns rows, and whether it was taken for a trigger."""
    if not evidence:
        return "No token turned rows of other labels, so none was taken for a trigger."
    names = task.source.label_names

    def one(each: Evidence) -> str:
        token = task.tokenizer.convert_ids_to_tokens(each.token_id)
        return (
            f"'{token}' turns {each.flips:.0%} of other rows to '{names[each.label]}', and {each.denied or 0:.0%} of its "
            f"{len(each.rows)} rows look like another label"
        )

    verified = "; ".join(one(each) for each in evidence if each.is_verified)
    honest = "; ".join(one(each) for each in evidence if not each.is_verified)
    parts = [
        f"Verified triggers, whose rows were left out: {verified}." if verified else "No trigger token was verified.",
        f"Left alone, since their rows have a reason for their label: {honest}." if honest else "",
    ]
    return " ".join(filter(None, parts))


def _rows(
    task: Task, kept: np.ndarray, before: tuple[RowFinding, ...], verified: list[Evidence]
) -> tuple[RowFinding, ...]:
    """Give a finding for each training row: those of the base, and those of the verified tokens."""
    found = list(before) or [RowFinding(int(row), 0.0, False, "") for row in task.rows.with_format(None)["row_id"]]
    for each in reversed(verified):  # the strongest writes last
        token = task.tokenizer.convert_ids_to_tokens(each.token_id)
        reason = (
            f"contains '{token}', which turns {each.flips:.0%} of the rows of other labels to "
            f"'{task.source.label_names[each.label]}' with nothing else to say for it"
        )
        for place in kept[each.rows]:
            score = round(min(each.flips, each.denied or 0.0), 6)
            found[place] = RowFinding(found[place].row, score, True, reason)
    return tuple(found)
