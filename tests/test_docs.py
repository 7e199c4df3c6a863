"""The documents say what the committed results say, and link to pages that are there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def test_the_benchmark_page_is_what_its_results_give() -> None:
    done = subprocess.run([sys.executable, ROOT / "benchmarks" / "table.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_figure_of_the_readmes_table_stands_on_the_benchmark_page() -> None:
    table = (
        (ROOT / "README.md").read_text(encoding="utf-8").partition("## Does it work?")[2].partition("The oracle is")[0]
    )
    pairs = re.findall(r"(\d\.\d{3}) / (\d\.\d{3})", table)
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    assert len(pairs) == 14
    written = ("| {} | {} |", "| {} / {} |")
    assert [pair for pair in pairs if not any(form.format(*pair) in page for form in written)] == []


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("http") and not (page.parent / link).exists()] == []
