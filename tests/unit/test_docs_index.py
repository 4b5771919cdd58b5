# SPDX-License-Identifier: MIT
"""docs/README.md: each page is for a reader."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(DOCS / "decisions").glob("*.md")])
_LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def test_every_page_is_in_the_index() -> None:
    named = {path for path, _ in _links(DOCS / "README.md")}

    pages = {path.name for path in DOCS.iterdir() if path.suffix in {".md", ".yaml"}}
    assert pages - {"README.md"} <= named


def test_every_decision_is_in_its_index() -> None:
    named = {path for path, _ in _links(DOCS / "decisions" / "README.md")}

    assert {path.name for path in (DOCS / "decisions").glob("*.md")} - {"README.md"} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    broken = [
        f"{path}#{anchor}" if anchor else path
        for path, anchor in _links(page)
        if not _leads_somewhere((page.parent / path) if path else page, anchor)
    ]

    assert not broken


def _links(page: Path) -> list[tuple[str, str]]:
    return _LINK.findall(_FENCE.sub("", page.read_text()))


def _leads_somewhere(target: Path, anchor: str) -> bool:
    if not target.exists():
        return False
    return not anchor or target.suffix != ".md" or anchor in _anchors(target)


def _anchors(page: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = _HEADING.findall(_FENCE.sub("", page.read_text()))
    return {re.sub(r"[^\w\- ]", "", each.lower()).strip().replace(" ", "-") for each in headings}
