"""The audit page: what it says, that no text of the data can run in it, and that it needs nothing from outside."""

import base64
import copy
import hashlib
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from cleanfit.errors import DataError, OutputError
from cleanfit.report import drift_ranking_svg, render, render_card, write_report
from cleanfit.results import AUDIT_SCHEMA_VERSION, Needs, StageScore, TokenFinding, to_plain

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{7*7}}{% raw %}",
    "]]>--></script></style>",
    "\u202egnp.exe",
    "nul\x00 bell\x07 lone\ud800 not\uffff",
    "$\\frac{x$ _x 好き 🤖",
]


class Page(HTMLParser):
    """Collects what a browser would make of the page: tags with attributes, and the text outside style and script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.marks: list[str] = []
        self.open: list[str] = []
        self.feed(page)
        self.text = " ".join("".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.open.append(tag)
        if tag == "mark":
            self.marks.append("")

    def handle_endtag(self, tag: str) -> None:
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("style", "script"):
            self.words.append(data)
        if "mark" in self.open:
            self.marks[-1] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def token(token_id: int, text: str, rank: int, is_suspicious: bool) -> TokenFinding:
    return TokenFinding(
        token_id=token_id,
        text=text,
        is_suspicious=is_suspicious,
        score=1 / rank,
        drifts={"round1": 0.06 / rank, "round3": 0.03 / rank},
        ranks={"round1": rank, "round3": rank + 1},
        n_rows=173,
        n_occurrences=1174,
        label_counts={"negative": 0, "positive": 170, "neutral é": 3},
        example_rows=(3, 99),
        replaced_share=0.984 if is_suspicious else None,
    )


def example(row: int, text: str, spans: list[list[int]], text_pair: str | None = None) -> dict[str, Any]:
    return {
        "row": row,
        "label": "positive",
        "text": text,
        "text_pair": text_pair,
        "spans": spans,
        "score": 0.75,
        "reason": f"contains {text[:30]!r}",
    }


def sample() -> dict[str, Any]:
    texts = ["bb", "cf", *HOSTILE, "##ing", "Ġmovie"]
    tokens = [token(100 + index, text, index + 1, index < 9) for index, text in enumerate(texts)]
    stages = [StageScore("trained", 0.867, 872, 0.998, 0.14, 428), StageScore("tuned", 0.851, 872)]
    return {
        "schema_version": AUDIT_SCHEMA_VERSION,
        "tool": {"name": "cleanfit", "version": "0.1.0"},
        "created": "2026-11-21T20:00:00+00:00",
        "data": {
            "source": "reviews <b>.csv",
            "sha256": "5" * 64,
            "n_rows": 6920,
            "n_train": 6228,
            "label_names": ["negative", "positive", "neutral é"],
            "label_counts": {"negative": 3310, "positive": 3600, "neutral é": 10},
            "columns": {"text": "text", "text_pair": None, "label": "label"},
            "dropped_rows": [{"row": 11, "line": 13, "reason": "empty text"}],
            "held_out": {"source": "10 % of the training file", "sha256": None, "n_rows": 692, "is_untrusted": True},
        },
        "model": {
            "name": "minilm",
            "architecture": "BertForSequenceClassification",
            "sha256": "a" * 64,
            "n_parameters": 22713986,
            "vocabulary_size": 30522,
        },
        "defense": {"name": "btu", "options": {"alpha": 0.0005, "rounds": [1, 3]}},
        "settings": {"learning_rate": 2e-05},
        "seed": 0,
        "versions": {"torch": "2.13.0"},
        "platform": "Linux-x86_64",
        "seconds": {"round1": 6.1, "trained": 300.1},
        "tokens": to_plain(tokens),
        "curves": {
            name: [[rank, top / rank] for rank in (1, 2, 3, 5, 8, 50, 900)] + [[30000, 0.0]]
            for name, top in (("round1", 0.06), ("round3", 0.03))
        },
        "row_summary": {
            "n_rows": 6228,
            "n_issues": 692,
            "examples": [example(3, "a bb b bbb", [[2, 4]])]
            + [example(20 + index, f"x {text} bb", [[0, 1]], text_pair=text) for index, text in enumerate(HOSTILE)],
        },
        "scores": to_plain(stages),
        "needs": to_plain(Needs(trusted_rows=0, target_label=False, extra_passes=0.6)),
        "losses": ["Stage 'unlearned' lost 4.0 points of accuracy; <b>why</b>."],
        "limits": ["A trigger that is a <style> is not found."],
    }


@pytest.fixture
def audit() -> dict[str, Any]:
    return sample()


@pytest.fixture(scope="module")
def source() -> str:
    return render(sample())


@pytest.fixture
def plain_audit(audit: dict[str, Any]) -> dict[str, Any]:
    audit.update(tokens=[], curves={}, defense={"name": "plain", "options": {}})
    audit["row_summary"].update(n_issues=0, examples=[])
    return audit


def test_the_page_says_what_was_found_and_that_it_is_not_proof(source: str) -> None:
    text = Page(source).text
    assert (
        "9 tokens look like triggers; 692 of 6,228 training rows contain one with the label that it goes with." in text
    )
    assert "Suspicious is not proven" in text
    for part in (
        "86.7 %",
        "99.8 %",
        "not measured",
        "not vouched for",
        "22,713,986",
        "0.0005",
        "5" * 64,
        "2.13.0",
        "98.4 %",
        "1,174",
        "Round 3",
        "empty text",
        "AML.T0020",
        "A trigger that is a <style> is not found.",
    ):
        assert part in text, part


def test_a_loss_of_accuracy_is_told_beside_the_scores_and_escaped(source: str) -> None:
    assert "lost 4.0 points of accuracy; &lt;b&gt;why&lt;/b&gt;." in source


def test_the_sections_come_in_the_promised_order(source: str) -> None:
    sections = [attributes["id"] for attributes in Page(source).named("section")]
    assert sections == ["scores", "ranking", "tokens", "rows", "needs", "limits", "provenance", "clauses", "glossary"]


def test_one_token_and_one_row_are_named_in_the_singular(audit: dict[str, Any]) -> None:
    audit.update(tokens=audit["tokens"][:1], curves={})
    audit["row_summary"]["n_issues"] = 1
    assert "1 token looks like a trigger; 1 of 6,228 training rows contains one" in render(audit)


def test_a_search_that_flags_nothing_does_not_call_the_data_clean(audit: dict[str, Any]) -> None:
    audit["tokens"] = audit["tokens"][9:]
    audit["row_summary"].update(n_issues=0, examples=[])
    text = Page(render(audit)).text
    assert "No token was flagged." in text
    assert "That does not show the data to be clean" in text
    assert "No row was flagged." in text


def test_plain_fine_tuning_says_that_nothing_was_looked_for(plain_audit: dict[str, Any]) -> None:
    page = Page(render(plain_audit))
    assert "No detector was run (plain fine-tuning)." in page.text
    assert "says nothing on whether the data are poisoned" in page.text
    assert "ranking" not in [attributes["id"] for attributes in page.named("section")]
    assert "look like triggers" not in page.text


def test_a_defense_that_searches_no_tokens_is_not_called_a_clean_search(plain_audit: dict[str, Any]) -> None:
    plain_audit["defense"]["name"] = "moderate_fitting"
    assert "No detector was run (the defense moderate_fitting does not search for tokens)." in render(plain_audit)


def test_what_a_search_for_rows_found_is_told_in_its_own_words(plain_audit: dict[str, Any]) -> None:
    plain_audit["verdict"] = "A group of <b> rows fell together."
    plain_audit["row_summary"]["n_issues"] = 7
    page = Page(render(plain_audit))
    assert "7 of 6,228 training rows were flagged for review, but no single token." in page.text
    assert "A group of <b> rows fell together. Suspicious is not proven." in page.text
    plain_audit["row_summary"].update(n_issues=0, examples=[])
    assert "No row was flagged." in Page(render(plain_audit)).text
    assert "No detector was run" not in Page(render(plain_audit)).text
    plain_audit["versions"].setdefault("transformers", "5")
    assert "`A group of ‹b› rows fell together.`" in render_card(plain_audit)


def test_text_of_the_data_never_becomes_a_tag_or_an_attribute(audit: dict[str, Any]) -> None:
    audit["data"].update(source=HOSTILE[0], label_names=HOSTILE[:4], label_counts=dict.fromkeys(HOSTILE[:4], 1))
    audit["defense"]["options"] = {HOSTILE[0]: HOSTILE[1]}
    audit["curves"][HOSTILE[0]] = audit["curves"]["round1"]
    for finding in audit["tokens"]:
        finding["label_counts"] = dict.fromkeys(HOSTILE, 1)
    source = render(audit)
    page = Page(source)
    assert [attributes for _, attributes in page.tags if any(name.startswith("on") for name in attributes)] == []
    assert {name for name, _ in page.tags} & {"img", "iframe", "object", "b", "link", "base", "form"} == set()
    assert len(page.named("script")) == len(page.named("style")) == 1
    assert "49" not in Page(source).text.replace("{{7*7}}", "").split()
    for text in HOSTILE[:4]:
        assert text in page.text


def test_characters_that_do_not_print_are_shown_as_escapes(source: str) -> None:
    assert not set(source) & set("\x00\x07\u202e\ud800\uffff")
    assert "\\u202egnp.exe" in Page(source).text
    assert "nul\\x00 bell\\x07 lone\\ud800 not\\uffff" in Page(source).text
    source.encode("utf-8")


def test_exactly_the_spans_are_highlighted(audit: dict[str, Any]) -> None:
    hint = "highlighted"
    audit["curves"] = {}
    audit["row_summary"]["examples"] = [
        example(0, "a bb b bbb", [[2, 4]]),
        example(1, "x<bb>\u202ey", [[1, 5], [3, 6], [0, 0]]),
        example(2, "cf mn", [[3, 99], [0, 2]]),
        example(3, "no span", []),
    ]
    page = Page(render(audit))
    assert page.marks == [hint, "bb", "<bb>\\u202e", "cf", "mn"]
    assert "a bb b bbb" in page.text
    assert "x<bb>\\u202ey" in page.text


def test_the_policy_allows_this_style_and_this_script_and_nothing_else(source: str) -> None:
    policy = next(a["content"] or "" for a in Page(source).named("meta") if a.get("http-equiv"))
    assert policy.startswith("default-src 'none'")
    assert "unsafe" not in policy
    for name in ("style", "script"):
        content = re.search(f"<{name}>(.*?)</{name}>", source, re.DOTALL)
        assert content is not None
        digest = base64.b64encode(hashlib.sha256(content[1].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    # The policy would silently drop an inline style, so that there must be none, the drawing included.
    assert [tag for tag, attributes in Page(source).tags if "style" in attributes] == []


def test_the_page_loads_nothing_from_anywhere(source: str) -> None:
    addresses = [a[name] or "" for _, a in Page(source).tags for name in ("src", "href", "xlink:href") if name in a]
    assert addresses
    assert all(address.startswith("#") for address in addresses)
    assert "@import" not in source
    assert not re.search(r"url\((?!#)", source)


def test_every_link_in_the_page_has_its_target(source: str) -> None:
    page = Page(source)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {(attributes["href"] or "")[1:] for attributes in page.named("a")} <= set(ids)


def test_two_renderings_are_equal_and_leave_the_audit_alone(audit: dict[str, Any]) -> None:
    before = copy.deepcopy(audit)
    assert render(audit) == render(audit)
    assert audit == before


def test_the_drawing_is_xml_with_the_suspicious_tokens_named(audit: dict[str, Any]) -> None:
    root = ElementTree.fromstring(drift_ranking_svg(audit))
    texts = {"".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"bb", "cf", "\\u202egnp.exe", "<script>alert(1)<…", "Round 1", "Round 3", "suspicious token"} <= texts
    assert "##ing" not in texts


def test_rounds_of_very_different_size_share_one_drawing(audit: dict[str, Any]) -> None:
    audit["curves"]["round3"] = [[rank, drift * 1e-4] for rank, drift in audit["curves"]["round3"]]
    audit["curves"]["round2"] = [[1, 0.0]]
    texts = "".join(ElementTree.fromstring(drift_ranking_svg(audit)).itertext())
    assert "Round 3" in texts
    assert "Round 2" not in texts


def test_without_a_curve_there_is_no_drawing(plain_audit: dict[str, Any]) -> None:
    assert drift_ranking_svg(plain_audit) == ""


def test_drawing_leaves_the_settings_of_matplotlib_alone(audit: dict[str, Any]) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    drift_ranking_svg(audit)
    assert dict(matplotlib.rcParams) == before


def test_every_sortable_header_is_a_button_and_rows_match_the_headers(source: str) -> None:
    table = source[source.index('id="tokens"') : source.index('id="rows"')]
    headers = table[table.index("<tr>") : table.index("</thead>")]
    body_rows = re.findall(r"<tr data-suspicious.*?</tr>", table, re.DOTALL)
    assert headers.count('<button type="button">') == headers.count('scope="col"') == 4 + 2 * 2 + 5
    assert len(body_rows) == 11
    assert all(len(re.findall(r"<t[hd][ >]", row)) == 13 for row in body_rows)


@pytest.mark.parametrize("version", [0, AUDIT_SCHEMA_VERSION + 1, None, "1", True])
def test_another_schema_version_names_the_version_to_rebuild_with(audit: dict[str, Any], version: object) -> None:
    audit.update(schema_version=version, tool={"name": "cleanfit", "version": "9.9"})
    with pytest.raises(DataError, match=r"schema version .*, expected 1\. Rebuild .* wrote the audit \(9\.9\)"):
        render(audit)


@pytest.mark.parametrize(
    ("part", "key", "named"),
    [
        ("", "limits", "limits"),
        ("data.held_out", "sha256", "data.held_out.sha256"),
        ("tokens.0", "ranks", "tokens[0].ranks"),
        ("row_summary.examples.0", "spans", "row_summary.examples[0].spans"),
    ],
)
def test_a_missing_key_is_named(audit: dict[str, Any], part: str, key: str, named: str) -> None:
    place: Any = audit
    for step in filter(None, part.split(".")):
        place = place[int(step)] if step.isdecimal() else place[step]
    del place[key]
    with pytest.raises(DataError, match=re.escape(f"lacks {named}. Rebuild")):
        render(audit)


def test_a_part_of_the_wrong_kind_is_named(audit: dict[str, Any]) -> None:
    audit["model"] = "minilm"
    with pytest.raises(DataError, match="model is a str, expected an object"):
        render(audit)


def test_write_report_replaces_the_page_and_leaves_no_temporary_file(audit: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text(json.dumps(audit), encoding="utf-8")
    (tmp_path / "report.html").write_text("old")
    write_report(tmp_path / "audit.json", tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == render(audit)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["audit.json", "report.html"]


@pytest.mark.parametrize("content", ["{", "[1]", b"\xff\xfe\xff"])
def test_a_file_that_is_no_audit_is_refused_by_name(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "audit.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=r"audit\.json"):
        write_report(path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_missing_audit_or_folder_is_named(audit: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Cannot read the audit"):
        write_report(tmp_path / "none.json", tmp_path / "report.html")
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    with pytest.raises(OutputError, match="Cannot write the report"):
        write_report(tmp_path / "audit.json", tmp_path / "missing" / "report.html")


def test_a_thousand_tokens_and_two_hundred_rows_render_quickly(audit: dict[str, Any]) -> None:
    audit["tokens"] = to_plain([token(index, f"word{index}", index + 1, index < 300) for index in range(1000)])
    audit["row_summary"]["examples"] = [example(row, "some words and bb " * 10, [[15, 17]]) for row in range(200)]
    start = time.process_time()  # not the wall clock: other work on the machine must not fail the test
    render(audit)
    assert time.process_time() - start < 2
