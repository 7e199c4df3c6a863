"""What the rows themselves give away: triggers that are verified without a model that was trained on them."""

from dataclasses import dataclass
from typing import ClassVar

from cleanfit.detectors.telling import WITHHELD_BECAUSE, describe, rows_told, told_one, unseen
from cleanfit.detectors.triggers import TriggerSearch, TriggerTokens
from cleanfit.results import Findings
from cleanfit.settings import check
from cleanfit.task import Task

UNTRAINED = "Nothing was trained: `cleanfit fit` also asks which tokens turn the rows of a model."


@dataclass(frozen=True)
class Reading:
    """Verify what stands where it does not belong, opens or marks rows, or goes with a label, and whose rows deny the label.

    Args:
        n_suspects: tokens per class that are looked at, those that go with the class furthest beyond chance, >= 1.
        min_rows: rows with the class that a token must be in, >= 2.
        min_wrong: share of its rows that must seem to be of another class, in (0, 1].

    Source: ours, the steps of `--defense auto` that need no training; see docs/methods/auto.md.
    """

    name: ClassVar[str] = "reading"
    n_suspects: int = 100
    min_rows: int = 5
    min_wrong: float = 1 / 3

    def __post_init__(self) -> None:
        check(self, "n_suspects", self.n_suspects >= 1, "at least 1")
        check(self, "min_rows", self.min_rows >= 2, "at least 2")
        check(self, "min_wrong", 0 < self.min_wrong <= 1, "more than 0, up to 1")

    def score(self, task: Task) -> Findings:
        """Read the rows with the untouched model, and ask of what looks planted whether its rows speak for their label.

        Args:
            task: its N rows are read; no model is trained but linear ones on the untouched model's features.

        Returns:
            The findings: verified tokens with their evidence, a finding per row, and the verdict in words.
        """
        settings = TriggerTokens(n_suspects=self.n_suspects, min_rows=self.min_rows, min_wrong=self.min_wrong)
        search = TriggerSearch(task, settings)
        search.read_rows()
        while search.read_silent():  # what others taught their rows is gone then
            pass
        found = "; ".join(told_one(task, each) for each in search.verified)
        verdict = f"Verified triggers: {found}." if found else "No trigger was verified."
        if withheld := "; ".join(told_one(task, each) for each in search.withheld):
            verdict += f" Left out by `cleanfit fit` {WITHHELD_BECAUSE}: {withheld}."
        tokens, rows = describe(search), rows_told(task, search.verified)
        return Findings(self.name, tokens, rows, verdict=f"{verdict} {UNTRAINED} {unseen(search)}")
