# SPDX-License-Identifier: MIT
"""The blocks of code in the pages of the repository, and which of them tests read by name."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import chain
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    chain(ROOT.glob("*.md"), *(ROOT.glob(f"{each}/**/*.md") for each in ("docs", "deploy")))
)
_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def read(page: str) -> str:
    return (ROOT / page).read_text()


def pages() -> list[str]:
    return [str(path.relative_to(ROOT)) for path in PAGES]


@cache
def all_blocks() -> tuple[Block, ...]:
    return tuple(
        Block(page, text.count("\n", 0, found.start()) + 1, found[2], dedent(found[3]))
        for page in pages()
        for text in [read(page)]
        for found in _FENCE.finditer(text)
    )


def blocks(*languages: str) -> list[Block]:
    return [each for each in all_blocks() if each.language in languages]


def block(page: str, beginning: str) -> str:
    """The text of the block that begins so.

    A test that calls this with two literals holds the block: `test_every_block_is_held` looks for
    these calls in the sources of all tests.
    """
    return _the(page, beginning).text


def _the(page: str, beginning: str) -> Block:
    found = [each for each in all_blocks() if each.page == page and each.text.startswith(beginning)]
    assert len(found) == 1, f"{page}: {len(found)} blocks begin with {beginning}"
    return found[0]


@cache
def held_by_name() -> set[Block]:
    sources = (each.read_text() for each in (ROOT / "tests").rglob("*.py"))
    trees = (ast.parse(each) for each in sources if "block(" in each)
    calls = chain.from_iterable(map(_calls, trees))
    return {_the(page, beginning) for page, beginning in calls}


def _calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Name(id="block"),
                args=[ast.Constant(value=str(page)), ast.Constant(value=str(beginning))],
            ):
                yield page, beginning


def matches(shown: str, actual: str) -> bool:
    """True if the texts are equal, where … stands for any text."""
    pattern = ".*".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, actual.strip(), re.DOTALL) is not None
