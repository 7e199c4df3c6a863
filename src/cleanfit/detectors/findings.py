"""Turn drifts and a decision into findings that a person can read: tokens with evidence, rows with reasons."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cleanfit.detectors.occurrences import Occurrences
from cleanfit.results import Findings, RowFinding, TokenFinding
from cleanfit.task import Task

N_EXAMPLE_ROWS = 3
# Curve points: every one of the first ranks, then about a hundred more, evenly on the logarithmic axis of the plot.
N_FIRST_RANKS, N_TAIL_POINTS = 100, 100


@dataclass(frozen=True)
class Drifts:
    """What the rounds measured.

    Args:
        moved: round name -> (V,) L2 distance that each row moved.
        ranked: round name -> (V,) what the round is ranked by, higher first; NaN for tokens left out of it.
    """

    moved: Mapping[str, np.ndarray]
    ranked: Mapping[str, np.ndarray]


def describe(task: Task, seen: Occurrences, drifts: Drifts, suspicious: frozenset[int], n_runners_up: int) -> Findings:
    """Put together the findings of a drift detector.

    Args:
        task: for the tokenizer and the label names.
        seen: where tokens occur.
        drifts: what the rounds measured.
        suspicious: the decision.
        n_runners_up: how many tokens behind the suspicious ones are listed too.

    Returns:
        Findings with tokens ordered by score: the mean, over the kinds of round, of the share of that round's first.
    """
    scores = _scores(drifts.ranked)
    ranks = {name: _ranks(values) for name, values in drifts.ranked.items()}
    order = np.argsort(-scores, kind="stable")
    runners_up = [int(i) for i in order if int(i) not in suspicious and scores[i] > 0][:n_runners_up]
    listed = sorted(suspicious, key=lambda i: -scores[i]) + runners_up
    tokens = tuple(describe_token(task, seen, i, i in suspicious, float(scores[i]), drifts, ranks) for i in listed)
    curves = {name: _curve(moved[~np.isnan(drifts.ranked[name])]) for name, moved in drifts.moved.items()}
    return Findings("drift", tokens, _rows(task, seen, scores, tokens), curves)


def _scores(ranked: Mapping[str, np.ndarray]) -> np.ndarray:
    """(V,) in [0, 1]; rounds 1 and 2 count as one kind, since round 2 leaves round 1's tokens out."""
    shares = {name: np.nan_to_num(values) / max(np.nanmax(values), 1e-12) for name, values in ranked.items()}
    bags = [shares[name] for name in ("round1", "round2") if name in shares]
    kinds = ([np.maximum.reduce(bags)] if bags else []) + ([shares["round3"]] if "round3" in shares else [])
    return np.asarray(np.mean(kinds, axis=0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """(V,) ranks from 1; 0 for the excluded tokens."""
    order = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")
    ranks = np.empty(len(values), dtype=np.int64)
    ranks[order] = np.arange(1, len(values) + 1)
    return np.where(np.isnan(values), 0, ranks)


def describe_token(
    task: Task,
    seen: Occurrences,
    token_id: int,
    is_suspicious: bool,
    score: float,
    drifts: Drifts,
    ranks: Mapping[str, np.ndarray],
) -> TokenFinding:
    """Write down one token with where it occurs; `drifts` and `ranks` are empty where no round measured any."""
    rows = seen.rows_with(token_id)
    counts = np.bincount(seen.labels[rows], minlength=task.n_classes)
    counted = [name for name in ranks if ranks[name][token_id] > 0]
    return TokenFinding(
        token_id=token_id,
        text=str(task.tokenizer.convert_ids_to_tokens(token_id)),
        is_suspicious=is_suspicious,
        score=score,
        drifts={name: float(drifts.moved[name][token_id]) for name in counted},
        ranks={name: int(ranks[name][token_id]) for name in counted},
        n_rows=len(rows),
        n_occurrences=int(seen.n_occurrences[token_id]),
        label_counts={label: int(n) for label, n in zip(task.source.label_names, counts)},
        example_rows=tuple(int(seen.row_ids[row]) for row in rows[:N_EXAMPLE_ROWS]),
    )


def _rows(
    task: Task, seen: Occurrences, scores: np.ndarray, tokens: tuple[TokenFinding, ...]
) -> tuple[RowFinding, ...]:
    """Score each row by its most suspicious token; say which rows to review, and why.

    A row is an issue if it holds a suspicious token that points at its label: the share of that label among the token's rows
    lies at least halfway between the label's share of all rows and 1. A comma that drifted points at no row.
    """
    best = np.zeros(len(seen.labels))
    np.maximum.at(best, seen.row_index, scores[seen.token_ids])
    reasons: dict[int, str] = {}
    for token in reversed([token for token in tokens if token.is_suspicious]):  # the strongest writes last
        label = max(token.label_counts, key=lambda name: token.label_counts[name])
        share = token.label_counts[label] / max(token.n_rows, 1)
        index = task.source.label_names.index(label)
        if share < (1 + np.mean(seen.labels == index)) / 2:
            continue
        rows = seen.rows_with(token.token_id)
        for row in rows[seen.labels[rows] == index]:
            reasons[int(row)] = (
                f"contains '{token.text}', whose embedding moved far; "
                f"{share:.0%} of its {token.n_rows} rows have label '{label}'"
            )
    return tuple(
        RowFinding(int(row_id), round(float(score), 6), index in reasons, reasons.get(index, ""))
        for index, (row_id, score) in enumerate(zip(seen.row_ids, best))
    )


def _curve(moved: np.ndarray) -> tuple[tuple[int, float], ...]:
    ordered = np.sort(moved)[::-1]
    tail = np.geomspace(N_FIRST_RANKS, max(len(ordered), N_FIRST_RANKS), N_TAIL_POINTS).round().astype(int)
    ranks = [rank for rank in np.union1d(np.arange(1, N_FIRST_RANKS + 1), tail) if rank <= len(ordered)]
    return tuple((int(rank), float(ordered[rank - 1])) for rank in ranks)
