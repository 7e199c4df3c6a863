"""Tell what a search for triggers found: a token by its name and phrase, and the table of all that were asked."""

from dataclasses import replace

from cleanfit.detectors.findings import Drifts, describe_token
from cleanfit.detectors.suspects import Evidence
from cleanfit.detectors.triggers import TriggerSearch
from cleanfit.results import TokenFinding
from cleanfit.task import Task


def named(task: Task, each: Evidence) -> str:
    """Write a token down, and the phrase that it stands in."""
    token = f"'{task.tokenizer.convert_ids_to_tokens(each.token_id)}'"
    if each.kind in ("opens", "alike"):
        return f"{token} at the start" if each.kind == "opens" else f"what is written like rows with {token}"
    return token if len(each.pieces) == 1 else f"{token} in '{task.tokenizer.decode(list(each.pieces))}'"


def describe(search: TriggerSearch) -> tuple[TokenFinding, ...]:
    """Write down what was found: suspicious are the verified tokens; of sentences that were cut out their word is told so."""
    none = Drifts({}, {})
    return tuple(
        replace(
            describe_token(search.task, search.seen, each.token_id, each.is_verified, each.score, none, {}),
            evidence={
                **({"turns": round(each.flips, 6)} if each.kind == "turns" else {each.kind: 1.0}),
                "denied": round(each.denial.share, 6),
                "usual": round(each.denial.own, 6),
                "wrong": round(each.denial.wrong, 6),
                **({"cut": 1.0} if is_cut else {}),
            },
        )
        for part, is_cut in ((search.verified, False), (search.shortcuts, True), (search.honest, False))
        for each in part
        if each.kind != "alike"
    )
