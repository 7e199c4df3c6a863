"""Backdoor Token Unlearning: find the tokens whose embeddings drift, and overwrite their aberrant dimensions."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor

from cleanfit.defenses.base import Defended, Defense, tune
from cleanfit.defenses.plain import PlainFineTuning
from cleanfit.detectors.drift import EmbeddingDrift
from cleanfit.errors import SettingsError
from cleanfit.models import neutral_row, trained_rows, word_embeddings
from cleanfit.results import Findings, Needs
from cleanfit.settings import check_choices, lookup
from cleanfit.task import Task

Replacement = Literal["pad", "original", "mean", "zero"]
Scope = Literal["dims", "row"]
Threshold = Literal["fro_over_vocab", "mean_abs_seen", "row_median"]


@dataclass(frozen=True)
class TokenUnlearning:
    """Find suspicious tokens, train with any defense, overwrite these tokens' rows, then tune on trusted rows if given.

    Args:
        base: how the model itself is trained.
        detector: finds the tokens, on models of its own.
        replacement: what takes the place of a trained value: the ``pad`` token's pretrained row (published), the token's
            ``original`` pretrained row, the ``mean`` pretrained row, or ``zero``.
        scope: overwrite the aberrant ``dims`` of a token (published) or its whole ``row``.
        threshold: a dimension is aberrant if it moved more than this: ``fro_over_vocab``, the Frobenius norm of all
            changes over V (published: so small that nearly all dimensions are); ``mean_abs_seen``, the mean absolute
            change of the rows that moved; ``row_median``, the median absolute change of the token's own row.

    Source: BTU, AAAI 2025. Deviations from its code: the threshold is computed once (there it grows with every edit), a
    dimension that did not move keeps its value (there it becomes 0), the tuning has a fresh optimizer, and the model is
    measured after each stage (there "with BTU" includes the tuning). The defaults are those that did best on SST-2's dev
    rows, see docs/methods/btu.md; `preset("published")` gives the paper's.
    """

    name: ClassVar[str] = "btu"
    base: Defense = field(default_factory=PlainFineTuning)
    detector: EmbeddingDrift = field(default_factory=EmbeddingDrift)
    replacement: Replacement = "pad"
    scope: Scope = "row"
    threshold: Threshold = "fro_over_vocab"

    def __post_init__(self) -> None:
        check_choices(self)

    @classmethod
    def preset(cls, name: str) -> "TokenUnlearning":
        """Give the settings of the paper (``published``), as its code has them where they are not plain bugs.

        Raises:
            SettingsError: there is no preset of that name.
        """
        detector = EmbeddingDrift(
            rounds=(1, 2, 3),
            alpha=5e-4,
            combine="union",
            bag_moves="embeddings",
            bag_learning_rate=2e-5,
            bag_batch_size=256,
            bag_epochs=1.0,
            bag_min_steps=1,
            full_batch_size=64,
            full_epochs=1.0,
            full_min_steps=1,
        )
        presets = {"published": cls(detector=detector, scope="dims", threshold="fro_over_vocab")}
        return lookup("preset of btu", name, presets)

    def fit(self, task: Task) -> Defended:
        """Detect, train, unlearn, tune; stages ``trained``, ``unlearned`` and, with trusted rows, ``tuned``."""
        findings = self.detector.score(task)
        defended = self.base.fit(task.without_trusted())
        model = defended.model
        token_ids = [token.token_id for token in findings.suspicious]
        before = word_embeddings(task.load_model())
        after, shares = unlearn(before, word_embeddings(model), token_ids, neutral_row(before, task.tokenizer), self)
        with torch.no_grad():
            trained_rows(model).copy_(after)
        task.on_stage("unlearned", model)
        needs = Needs(
            trusted_rows=tune(task, model),
            extra_passes=defended.needs.extra_passes + self.detector.passes(len(task.rows)),
        )
        return Defended(model, _with_shares(findings, dict(zip(token_ids, shares))), needs)


def unlearn(
    pretrained: Tensor, trained: Tensor, token_ids: Sequence[int], neutral: Tensor, how: TokenUnlearning
) -> tuple[Tensor, list[float]]:
    """Overwrite the aberrant dimensions of some tokens.

    Args:
        pretrained: (V, H) word embeddings before training.
        trained: (V, H) word embeddings after it; not changed.
        token_ids: the S suspicious tokens; their order does not matter.
        neutral: (H,) the row that stands for "no token".
        how: replacement, scope and threshold.

    Returns:
        (V, H) new embeddings, all other rows bit for bit the trained ones, and per token the share of its dimensions that
        was overwritten, in [0, 1].

    Source: BTU, AAAI 2025, fine-grained unlearning.
    """
    if pretrained.shape != trained.shape:
        raise SettingsError(f"The base defense changed the embeddings from {pretrained.shape} to {trained.shape}.")
    if not token_ids:
        return trained.clone(), []
    index = torch.as_tensor(token_ids)
    change = (trained - pretrained).abs()  # (V, H)
    aberrant = (
        change[index] > _limit(change, index, how.threshold)
        if how.scope == "dims"
        else torch.ones_like(change[index], dtype=torch.bool)
    )
    source = {
        "pad": neutral,
        "original": pretrained[index],
        "mean": pretrained.mean(dim=0),
        "zero": torch.zeros_like(neutral),
    }[how.replacement]
    unlearned = trained.clone()
    unlearned[index] = torch.where(aberrant, source, trained[index])
    return unlearned, aberrant.float().mean(dim=1).tolist()


def _limit(change: Tensor, index: Tensor, threshold: Threshold) -> Tensor:
    """Give what a dimension must move to be aberrant: one number, or (S, 1) of them."""
    if threshold == "fro_over_vocab":
        return change.square().sum().sqrt() / len(change)
    if threshold == "mean_abs_seen":
        return change[change.any(dim=1)].mean()
    return change[index].median(dim=1, keepdim=True).values


def _with_shares(findings: Findings, shares: dict[int, float]) -> Findings:
    tokens = (dataclasses.replace(token, replaced_share=shares.get(token.token_id)) for token in findings.tokens)
    return dataclasses.replace(findings, tokens=tuple(tokens))
