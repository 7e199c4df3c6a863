"""Tell what a search for triggers found: tokens by name and phrase, the table of all that were asked, and rows with reasons."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cleanfit.detectors.findings import Drifts, describe_token
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.triggers import TriggerSearch
from cleanfit.detectors.typeset import shown
from cleanfit.results import RowFinding, TokenFinding
from cleanfit.task import Task

CUT, WITHHELD = {"cut": 1.0}, {"withheld": 1.0}  # as evidence of what was done
WITHHELD_BECAUSE = "but not accused, since hardly another label's rows are written so"
UNSEEN = "A trigger without words, openings or marks of its own, or one in very few rows would not be seen."
AUTHORS = "Labels are written in ways of their own, so that none was held against a row: a style or a syntax would not be seen."


def unseen(search: TriggerSearch) -> str:
    """Say what would not have been seen."""
    return f"{AUTHORS} {UNSEEN}" if search.has_authors else UNSEEN


def named(task: Task, each: Evidence) -> str:
    """Write a token down, and the phrase that it stands in."""
    token = f"'{task.tokenizer.convert_ids_to_tokens(each.token_id)}'"
    if each.kind in ("opens", "ends"):
        return f"{token} at the {'start' if each.kind == 'opens' else 'end'}"
    if each.setting:
        token = f"'{each.setting[1]}' set as in '{shown(each.setting)}'"
    if each.kind == "set":
        return token
    if each.kind == "alike":
        return f"what is written like rows with {token}"
    if each.kind in ("letters", "planted_letters"):
        return f"a word with letters of another alphabet (such as {token})"
    return token if len(each.pieces) == 1 else f"{token} in '{task.tokenizer.decode(list(each.pieces))}'"


def describe(search: TriggerSearch) -> tuple[TokenFinding, ...]:
    """Write down what was found: suspicious are the verified tokens; of what was cut out or withheld its word is told so."""
    none = Drifts({}, {})
    return tuple(
        replace(
            describe_token(search.task, search.seen, each.token_id, each.is_verified, each.score, none, {}),
            evidence={
                **({"turns": round(each.flips, 6)} if each.kind == "turns" else {each.kind: 1.0}),
                "denied": round(each.denial.share, 6),
                "usual": round(each.denial.own, 6),
                "wrong": round(each.denial.wrong, 6),
                **done,
            },
        )
        for part, done in (
            (search.verified, {}),
            (search.shortcuts, CUT),
            (search.withheld, WITHHELD),
            (search.honest, {}),
        )
        for each in part
        if each.kind != "alike"
    )


def told_one(task: Task, each: Evidence) -> str:
    """Say in words what a token does, and what its rows say of their label."""
    n, n_asked, does = len(each.rows), each.denial.n_rows, _does(each, task.source.label_names[each.label])
    asked = f"its {n} rows" if n_asked == n else f"{n_asked} asked of its {n} rows"
    denied = f"{each.denial.share:.0%} of {asked} look like another label (usual: {each.denial.own:.0%})"
    if not each.denial.is_known:
        denied = f"too little of the class is without it to say what its {n} rows say"
    return f"{named(task, each)} {does}, and {denied}"


def _does(each: Evidence, label: str) -> str:
    """Say what speaks against a token before its rows are asked."""
    if each.kind == "turns":
        return f"turns {each.flips:.0%} of other rows to '{label}'"
    stands = " and stands as if it had been put into its rows" if each.kind in ("misplaced", "planted") else ""
    return f"goes with '{label}'{stands}"


def _reason(task: Task, each: Evidence, does: str) -> str:
    """Say what a row holds, or is written like, and what that does."""
    if each.kind == "alike":
        return f"{named(task, each).removeprefix('what ')}, which {does}, and says what rows of other labels say"
    return f"contains {named(task, each)}, which {does}"


def rows_told(
    task: Task, verified: Sequence[Evidence], shortcuts: Sequence[Evidence] = (), withheld: Sequence[Evidence] = ()
) -> tuple[RowFinding, ...]:
    """Give a finding for each training row: flagged are those of the verified tokens, told of those cut or withheld."""
    found = [RowFinding(int(row), 0.0, False, "") for row in task.rows.with_format(None)["row_id"]]
    for each in shortcuts:
        does = _does(each, task.source.label_names[each.label])
        reason = f"kept without '{task.tokenizer.decode(list(each.pieces))}', which {does}, and which it does not need"
        for place in each.rows:
            found[place] = replace(found[place], reason=reason)
    for each in withheld:
        reason = f"withheld: {_reason(task, each, 'hardly another label has')}"
        for place in each.rows:
            found[place] = replace(found[place], reason=reason)
    for each in sorted(verified, key=lambda each: each.score):  # the strongest writes last
        does = _does(each, task.source.label_names[each.label])
        reason = _reason(task, each, does)
        if each.kind != "alike" and not each.is_planted:
            reason += " with nothing else to say for it"
        scores = np.full(len(each.rows), each.score) if each.chances is None else each.chances.round(6)
        for place, score in zip(each.rows, scores):
            found[place] = RowFinding(found[place].row, float(score), True, reason)
    return tuple(found)
