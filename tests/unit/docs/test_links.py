"""Links between the files of the documentation, and its shape."""

import re
from datetime import date
from pathlib import Path

import pytest

from tests.documents import DOCS, README, ROOT, pages, prose

LINK = re.compile(r"\]\(([^()\s]+)\)")
DECISIONS = sorted((DOCS / "decisions").glob("2*.md"))


def anchors(page: Path) -> set[str]:
    """Those that GitHub and the site give to the headings."""
    headings = re.findall(r"^#{1,6} (.+)$", prose(page), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_its_heading(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.is_file(), link
        assert target.is_relative_to(ROOT), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_the_readme_leads_to_every_page_of_the_folder_docs() -> None:
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall(prose(README)) if "://" not in link}
    written = {page for page in DOCS.glob("*.md") if "```{include}" not in page.read_text()}
    assert written <= linked


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_a_decision_says_when_what_why_and_what_was_given_up(decision: Path) -> None:
    lines = decision.read_text().splitlines()
    day = decision.name[:10]
    assert date.fromisoformat(day) and lines[0].startswith("# ") and lines[2] == day
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Decision", "## Why", "## What we gave up"]
