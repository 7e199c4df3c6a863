"""Look for groups of rows and for tokens, verify what was found, and train again without the rows that teach a trigger."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from cleanfit.defenses.base import Defended, tune
from cleanfit.defenses.moderate_fitting import ModerateFitting
from cleanfit.detectors.occurrences import Occurrences
from cleanfit.detectors.triggers import Evidence, TriggerTokens, describe
from cleanfit.results import Findings, Needs, RowFinding
from cleanfit.settings import check
from cleanfit.task import Task


@dataclass(frozen=True)
class Auto:
    """Train as usual, verify what looks like a trigger, and if something is one, train again without its rows.

    Args:
        base: the training, watched for groups of rows that lie apart; its ``stop`` stays ``watch``.
        triggers: verifies tokens on the model as it is then.

    Source: ours; see docs/methods/auto.md. Where nothing is verified the model is plain fine-tuning's, to the bit. Tokens
    come before groups: a group seldom holds every row of four triggers, and what is left of them is too weak to be found.
    """

    name: ClassVar[str] = "auto"
    base: ModerateFitting = field(default_factory=ModerateFitting)
    triggers: TriggerTokens = field(default_factory=TriggerTokens)

    def __post_init__(self) -> None:
        check(self.base, "stop", self.base.stop == "watch", "watch: the others do not look for rows")

    def fit(self, task: Task) -> Defended:
        """Train, verify, train again; stages ``trained`` and, with trusted rows, ``tuned``."""
        vocabulary_size = len(task.tokenizer)  # images have none, and are refused before anything is trained
        task = self.base.adjusted(task)
        module, watcher = self.base.watched(task)
        evidence = self.triggers.find(task, module, task.rows)
        verified = [each for each in evidence if each.is_verified]
        left_out = np.unique(np.concatenate([each.rows for each in verified])) if verified else np.array([], dtype=int)
        kept = np.setdiff1d(np.arange(len(task.rows)), left_out)
        rest = replace(task, rows=task.rows.select(kept)) if verified else task
        # The looks, and a pass for the frozen features; what the hosts cost does not grow with the rows.
        passes = watcher.passes + 1 / 3
        if verified or watcher.groups:
            model, groups, more = self.base.without_groups(rest, module, watcher)
            passes += self.base.share_done(watcher) * task.settings.num_train_epochs + more * len(kept) / len(task.rows)
        else:
            model, groups = module.merged(), Findings(verdict=watcher.verdict())
        task.on_stage("trained", model)
        findings = Findings(
            self.name,
            tokens=describe(task, Occurrences.of(task.rows, vocabulary_size), evidence),
            rows=_rows(task, kept, groups.rows, verified),
            verdict=" ".join(filter(None, (told(task, evidence), groups.verdict))),
        )
        return Defended(model, findings, Needs(trusted_rows=tune(task, model), extra_passes=round(passes, 3)))


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
    task: Task, kept: np.ndarray, groups: tuple[RowFinding, ...], verified: list[Evidence]
) -> tuple[RowFinding, ...]:
    """Give a finding for each training row: those of the groups among the kept rows, and those of the verified tokens."""
    found = [RowFinding(int(row), 0.0, False, "") for row in task.rows.with_format(None)["row_id"]]
    for place, row in zip(kept, groups):
        found[place] = row
    for each in reversed(verified):  # the strongest writes last
        token = task.tokenizer.convert_ids_to_tokens(each.token_id)
        reason = (
            f"contains '{token}', which turns {each.flips:.0%} of the rows of other labels to "
            f"'{task.source.label_names[each.label]}' with nothing else to say for it"
        )
        score = round(min(each.flips, each.denied or 0.0), 6)
        for place in each.rows:
            found[place] = RowFinding(found[place].row, score, True, reason)
    return tuple(found)
