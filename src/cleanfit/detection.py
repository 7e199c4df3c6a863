"""Score what a run found, its rows.csv and tokens.csv, against the manifest of the attack on its data."""

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cleanfit.errors import DataError
from cleanfit.metrics import row_detection, token_detection
from cleanfit.scores import RowDetection, TokenDetection

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RANK_PREFIX = "rank_"


def score_findings(
    run: Path, manifest: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase"
) -> tuple[RowDetection | None, TokenDetection | None]:
    """Score the rows and the tokens that a run found.

    Args:
        run: a folder written by `cleanfit fit`.
        manifest: of the attack on the run's training file.
        tokenizer: of the run's model.

    Returns:
        Row scores, over the rows that the run was trained on (not those it held out); None if it looked for
        nothing, or if the manifest (of imported data) does not know the poisoned rows.
        Token scores; None if also no token was ranked, no row is poisoned, or the attack inserts no words.

    Raises:
        DataError: the run was fitted on another file than the manifest's, or its tables cannot be read.
    """
    _check_data(run, manifest)
    rows = _read_csv(run / "rows.csv", ("row", "score", "is_issue"))
    if not rows or manifest["poisoned_rows"] is None:
        return None, None
    poisoned = frozenset(manifest["poisoned_rows"])
    found = row_detection(
        np.array([int(row["row"]) in poisoned for row in rows]),
        np.array([row["is_issue"] == "True" for row in rows]),
        np.array([float(row["score"]) for row in rows]),
    )
    tokens = _read_csv(run / "tokens.csv", ("token_id", "is_suspicious"))
    if not (tokens and poisoned and manifest.get("pieces")):
        return found, None
    suspicious = {int(token["token_id"]) for token in tokens if token["is_suspicious"] == "True"}
    return found, token_detection(suspicious, trigger_token_ids(tokenizer, manifest["pieces"]), _ranks(tokens))


def trigger_token_ids(tokenizer: "PreTrainedTokenizerBase", pieces: Iterable[str]) -> set[int]:
    """Give the token ids that the trigger strings break into, at the start of a text and after a space.

    Args:
        tokenizer: of the model.
        pieces: the inserted strings.

    Returns:
        Ids in [0, V). Byte-level vocabularies write a word differently in the two places; both forms count, though the
        first stands in few texts. Special tokens (a word outside the vocabulary is one) and bare spaces do not count.
    """
    ids: set[int] = set()
    for piece in pieces:
        for text in (piece, f" {piece}"):
            ids.update(tokenizer(text, add_special_tokens=False)["input_ids"])
    # A SentencePiece vocabulary may write the space before a word as a piece of its own, with this sign.
    return {
        token
        for token in ids - {*tokenizer.all_special_ids}
        if str(tokenizer.decode([token])).replace("\u2581", " ").strip()
    }


def _check_data(run: Path, manifest: Mapping[str, Any]) -> None:
    try:
        data = json.loads((run / "audit.json").read_text(encoding="utf-8"))["data"]
        source, sha256 = data["source"], data["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{run / 'audit.json'}: cannot be read as the audit of a run ({error!r}).") from error
    expected = manifest["output"]
    if sha256 != expected["sha256"]:
        raise DataError(
            f"The run '{run}' was fitted on '{source}' (sha256 {sha256[:12]}...), which is not the manifest's "
            f"'{expected['name']}' ({expected['sha256'][:12]}...). Pass the manifest that stands beside the run's data."
        )


def _read_csv(path: Path, needed: tuple[str, ...]) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            rows = list(reader)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror}); expected a table written by 'cleanfit fit'."
        ) from None
    if not set(needed) <= set(reader.fieldnames or ()):
        raise DataError(f"{path}: expected the columns {', '.join(needed)}; got {', '.join(reader.fieldnames or ())}.")
    return rows


def _ranks(tokens: list[dict[str, str]]) -> dict[str, dict[int, int]]:
    """Give round name -> token id -> rank; a token that a round left out of its ranking has no rank there."""
    return {
        name.removeprefix(RANK_PREFIX): {int(token["token_id"]): int(token[name]) for token in tokens if token[name]}
        for name in tokens[0]
        if name.startswith(RANK_PREFIX)
    }
