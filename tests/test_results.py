"""What goes to disk comes back the same, and never by halves."""

import dataclasses
import json
from pathlib import Path

import pytest

from cleanfit.results import Findings, RowFinding, StageScore, TokenFinding, to_plain, token_from_plain, write_json

TOKEN = TokenFinding(
    token_id=7,
    text="Ġcf",
    is_suspicious=True,
    score=0.75,
    drifts={"round1": 0.125, "round3": 0.1},
    ranks={"round1": 1, "round3": 2},
    n_rows=10,
    n_occurrences=12,
    label_counts={"neg": 0, "pos": 10},
    example_rows=(3, 5),
    replaced_share=0.5,
)


@pytest.mark.parametrize("token", [TOKEN, dataclasses.replace(TOKEN, example_rows=(), replaced_share=None)])
def test_a_token_finding_survives_json(token: TokenFinding) -> None:
    assert token_from_plain(json.loads(json.dumps(to_plain(token)))) == token


def test_a_later_versions_extra_keys_are_left_out() -> None:
    assert token_from_plain({**to_plain(TOKEN), "colour": "red"}) == TOKEN


def test_an_earlier_versions_missing_optional_keys_get_their_defaults() -> None:
    plain = {k: v for k, v in to_plain(TOKEN).items() if k not in ("example_rows", "replaced_share")}
    assert token_from_plain(plain) == dataclasses.replace(TOKEN, example_rows=(), replaced_share=None)


def test_nested_findings_become_plain_lists_and_dictionaries() -> None:
    findings = Findings("drift", (TOKEN,), (RowFinding(3, 0.5, True, "why"),), {"round1": ((1, 0.5), (2, 0.25))})
    plain = to_plain(findings)
    assert plain["rows"] == [{"row": 3, "score": 0.5, "is_issue": True, "reason": "why"}]
    assert plain["curves"] == {"round1": [[1, 0.5], [2, 0.25]]}
    assert plain["tokens"][0]["example_rows"] == [3, 5]
    assert json.loads(json.dumps(plain)) == plain


def test_keys_that_are_numbers_become_text() -> None:
    assert to_plain({1: (2, 3)}) == {"1": [2, 3]}


def test_the_suspicious_tokens_are_those_that_were_decided_on() -> None:
    other = dataclasses.replace(TOKEN, token_id=8, is_suspicious=False)
    assert Findings(tokens=(other, TOKEN)).suspicious == (TOKEN,)


def test_json_is_written_readably_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    write_json(path, StageScore("trained – ü", 0.5, 10))
    text = path.read_text(encoding="utf-8")
    assert json.loads(text)["stage"] == "trained – ü"
    assert "ü" in text
    assert text.endswith("}\n")
    assert list(tmp_path.iterdir()) == [path]


def test_a_value_that_json_cannot_hold_leaves_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "score.json"
    write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        write_json(path, {"a": object()})
    assert json.loads(path.read_text(encoding="utf-8")) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_half_way_leaves_the_old_file_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "score.json"
    write_json(path, {"a": 1})

    def fill_the_disk(self: Path, text: str, encoding: str) -> None:
        with self.open("w", encoding=encoding) as stream:
            stream.write(text[:3])
        raise OSError("No space left on device")

    monkeypatch.setattr(Path, "write_text", fill_the_disk)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"a": 2})
    assert json.loads(path.read_bytes()) == {"a": 1}
