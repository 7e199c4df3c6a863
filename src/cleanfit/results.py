"""What a run found and measured: plain dataclasses that go to disk and come back the same."""

import dataclasses
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

AUDIT_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class TokenFinding:
    """One vocabulary entry that a detector scored.

    Args:
        token_id: its id in the tokenizer, in [0, V).
        text: the piece as the tokenizer writes it (``##ing``, ``Ġcf``).
        is_suspicious: the decision; the scores stand beside it.
        score: higher = more suspicious; comparable within one run only.
        drifts: round name -> distance in L2 that its embedding row moved.
        ranks: round name -> rank among the ranked vocabulary, 1 = first.
        n_rows: rows of the training data that contain it.
        n_occurrences: how often it occurs in the training data.
        label_counts: label -> rows with that label that contain it.
        example_rows: up to three row numbers (zero-based) that contain it.
        replaced_share: share in [0, 1] of its H dimensions that unlearning replaced; None if nothing was.
        evidence: what was asked -> share in [0, 1], where tokens were verified one by one.
    """

    token_id: int
    text: str
    is_suspicious: bool
    score: float
    drifts: Mapping[str, float]
    ranks: Mapping[str, int]
    n_rows: int
    n_occurrences: int
    label_counts: Mapping[str, int]
    example_rows: tuple[int, ...] = ()
    replaced_share: float | None = None
    evidence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RowFinding:
    """One training row: its number (zero-based), a score in [0, 1], the decision, and the reason in words."""

    row: int
    score: float
    is_issue: bool
    reason: str


@dataclass(frozen=True)
class Findings:
    """All that a detector found.

    Args:
        detector: its name on the command line; empty when nothing was looked for.
        tokens: the suspicious tokens and the runners-up behind them, most suspicious first.
        rows: one finding per training row, in row order.
        curves: round name -> (rank, drift) points over the whole vocabulary, for the ranking plot.
        verdict: what was found and how sure that is, in words, where tokens and rows do not say it.
    """

    detector: str = ""
    tokens: tuple[TokenFinding, ...] = ()
    rows: tuple[RowFinding, ...] = ()
    curves: Mapping[str, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    verdict: str = ""

    @property
    def suspicious(self) -> tuple[TokenFinding, ...]:
        """The tokens that the detector decided on."""
        return tuple(token for token in self.tokens if token.is_suspicious)


@dataclass(frozen=True)
class StageScore:
    """How the model did right after one stage of a run; scores of different stages are never mixed.

    Args:
        stage: ``"trained"``, ``"unlearned"`` or ``"tuned"``.
        clean_accuracy: share of the N held-out rows predicted as labelled, in [0, 1].
        n_rows: N.
        attack_success_rate: share of triggered rows, true label not the target, predicted as the target; None if not measured.
        false_trigger_rate: the same share on the rows without their trigger; None if not measured.
        n_triggered: how many triggered rows were scored.
    """

    stage: str
    clean_accuracy: float
    n_rows: int
    attack_success_rate: float | None = None
    false_trigger_rate: float | None = None
    n_triggered: int = 0


@dataclass(frozen=True)
class Needs:
    """What a defense needed beyond the untrusted file: a result without this cannot be compared.

    Args:
        trusted_rows: rows that somebody vouches for.
        target_label: whether the attacker's label had to be known.
        extra_passes: passes of the full model over the training rows beyond those of the training itself.
    """

    trusted_rows: int = 0
    target_label: bool = False
    extra_passes: float = 0.0


def evidence_names(of_tokens: Iterable[Mapping[str, float]]) -> list[str]:
    """Name each kind of evidence that any token has, once, in the order in which they come."""
    return list(dict.fromkeys(name for evidence in of_tokens for name in evidence))


def to_plain(value: Any) -> Any:
    """Turn a (nested) dataclass into what JSON can hold; tuples become lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def token_from_plain(plain: Mapping[str, Any]) -> TokenFinding:
    """Rebuild a `TokenFinding` from `to_plain`'s output; keys that it does not know are left out."""
    known = {f.name: plain[f.name] for f in dataclasses.fields(TokenFinding) if f.name in plain}
    return TokenFinding(**{**known, "example_rows": tuple(known.get("example_rows", ()))})


def short_hash(value: Any) -> str:
    """Name a value, plain as `to_plain` gives it, by 16 hexadecimal digits of its sha256."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented UTF-8 JSON to a temporary name beside `path`, then rename it: never a half file."""
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(to_plain(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)
