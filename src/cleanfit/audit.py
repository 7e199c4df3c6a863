"""Build the audit of a run: one dictionary that holds all that the report, the model card and a reviewer need."""

import datetime
import itertools
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from cleanfit.results import AUDIT_SCHEMA_VERSION, Findings, Needs, StageScore, to_plain
from cleanfit.settings import TrainingSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from cleanfit.data import LabeledData
    from cleanfit.models import ModelSource
    from cleanfit.task import Task

N_EXAMPLE_ROWS = 50
RECORDED_PACKAGES = (
    "accelerate",
    "cleanfit",
    "datasets",
    "numpy",
    "safetensors",
    "tokenizers",
    "torch",
    "transformers",
)

LIMITS = (
    "A clean result does not prove that the data are clean: only tokens that occur in the training file were ranked.",
    "Triggers without words of their own (a syntax, a style) show only through their marker words, if at all.",
    "The pretrained model is trusted: a backdoor that it already carried is not looked for.",
    "A suspicious token need not be a trigger: words that honestly go with one label drift too.",
    "Attack success can only be measured with triggered test rows; without them it is not known.",
)

ORACLE = (
    "This run is an oracle, no defense: the {} training rows that the attack touched were left out by its manifest, "
    "which nobody has outside of research."
)

# Beyond this drop of accuracy the audit says so: the noise of a few hundred held-out rows is smaller.
NOTABLE_LOSS = 0.03


@dataclass(frozen=True)
class HeldOut:
    """The rows that the scores are measured on: how many, whence, and whether they may be poisoned too."""

    source: str
    sha256: str
    n_rows: int
    is_untrusted: bool


@dataclass(frozen=True)
class RunFacts:
    """What a run was, before its outcome: the inputs of `build_audit` that a caller already holds."""

    data: "LabeledData"
    held_out: HeldOut
    defense_name: str
    defense: Any
    settings: TrainingSettings
    n_left_out: int | None = None  # rows that an oracle left out by ground truth; None: no oracle


def build_audit(
    facts: RunFacts, task: "Task", findings: Findings, scores: Sequence[StageScore], needs: Needs
) -> dict[str, Any]:
    """Build the audit of a finished run.

    Args:
        facts: what was run on what.
        task: the task that ran; its rows are the training rows.
        findings: what the detector found.
        scores: one per stage, in order.
        needs: what the defense needed.

    Returns:
        What goes into audit.json, all of it JSON; schema version `AUDIT_SCHEMA_VERSION`.
    """
    names = task.source.label_names
    oracle = "" if facts.n_left_out is None else ORACLE.format(facts.n_left_out)
    counts = np.bincount(facts.data.rows["label"], minlength=len(names))
    return {
        "schema_version": AUDIT_SCHEMA_VERSION,
        "tool": {"name": "cleanfit", "version": version("cleanfit")},
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "data": {
            "source": facts.data.source,
            "sha256": facts.data.sha256,
            "n_rows": len(facts.data.rows),
            "n_train": len(task.rows),
            "label_names": list(names),
            "label_counts": {name: int(n) for name, n in zip(names, counts)},
            "columns": to_plain(facts.data.columns),
            "dropped_rows": to_plain(facts.data.dropped),
            "held_out": to_plain(facts.held_out),
        },
        "model": _model_facts(task.source, task.tokenizer, task),
        "defense": {"name": facts.defense_name, "options": to_plain(facts.defense)},
        "settings": to_plain(facts.settings),
        "seed": facts.settings.seed,
        "versions": versions(),
        "platform": platform.platform(),
        "seconds": {stage: round(seconds, 2) for stage, seconds in task.seconds.items()},
        "tokens": to_plain(findings.tokens),
        "curves": to_plain(findings.curves),
        "verdict": findings.verdict,
        "row_summary": _row_summary(task, findings),
        "scores": to_plain(tuple(scores)),
        "needs": to_plain(needs),
        "losses": losses(scores, facts.held_out),
        "oracle": None if facts.n_left_out is None else {"n_left_out": facts.n_left_out},
        "limits": [line for line in (oracle, task.source.warning, *LIMITS) if line],
    }


def losses(scores: Sequence[StageScore], held_out: HeldOut) -> list[str]:
    """Say in words where a stage lost more than `NOTABLE_LOSS` of the clean accuracy of the stage before it."""
    told = []
    for before, after in itertools.pairwise(scores):
        lost = before.clean_accuracy - after.clean_accuracy
        if lost > NOTABLE_LOSS:
            why = (
                "honest words were probably erased: look at the tokens, and name the honest ones with --set ignore=..."
            )
            if held_out.is_untrusted:
                why = f"the held-out rows are untrusted: losing the poisoned ones among them is right, more means that {why}"
            told.append(f"Stage '{after.stage}' lost {100 * lost:.1f} points of accuracy; {why}.")
    return told


def versions() -> dict[str, str]:
    """Give the versions of Python and of the packages that decide a result."""
    return {"python": platform.python_version(), **{name: version(name) for name in RECORDED_PACKAGES}}


def _model_facts(source: "ModelSource", tokenizer: "PreTrainedTokenizerBase", task: "Task") -> dict[str, Any]:
    model = task.load_model()
    return {
        "name": source.name,
        "architecture": type(model).__name__,
        "sha256": source.sha256,
        "n_parameters": model.num_parameters(),
        "vocabulary_size": len(tokenizer),
    }


def _row_summary(task: "Task", findings: Findings) -> dict[str, Any]:
    """Summarize the rows, with the texts of the most suspicious ones and where the suspicious tokens stand in them."""
    issues = [i for i, row in enumerate(findings.rows) if row.is_issue]
    first = sorted(issues, key=lambda i: -findings.rows[i].score)[:N_EXAMPLE_ROWS]
    suspicious = {token.token_id for token in findings.suspicious}
    examples = []
    for index in first:
        row, found = task.rows[index], findings.rows[index]
        examples.append(
            {
                "row": found.row,
                "label": task.source.label_names[row["label"]],
                "text": row["text"],
                "text_pair": row.get("text_pair"),
                "spans": _spans(task.tokenizer, row["text"], suspicious, task.settings.max_length),
                "score": found.score,
                "reason": found.reason,
            }
        )
    return {"n_rows": len(task.rows), "n_issues": len(issues), "examples": examples}


def _spans(
    tokenizer: "PreTrainedTokenizerBase", text: str, token_ids: set[int], max_length: int
) -> list[tuple[int, int]]:
    """Find the characters of a text that became suspicious tokens; a slow tokenizer cannot tell and gives none."""
    if not tokenizer.is_fast:
        return []
    encoded = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    pairs = zip(encoded["input_ids"], encoded["offset_mapping"])
    return [(start, end) for token, (start, end) in pairs if token in token_ids and end > start]
