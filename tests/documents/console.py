# SPDX-License-Identifier: MIT
"""Reads blocks of commands as a shell does."""

import asyncio
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from tests.documents.blocks import Block, all_blocks, pages, read

PLACEHOLDER = re.compile(r"<([A-Za-z ]+)>")
ASSIGNMENT = re.compile(r"([A-Z_a-z]+)=(.*)", re.DOTALL)
SEPARATORS = {"&&", "||", "|", ";", "(", ")", "\n"}
OF_THE_SERVICE = ("check", "erase", "migrate", "prune", "relay")
"""Commands that a sentence calls by their name alone: `relay --audit`."""

_IN_SENTENCES = "curl docker kill make nats npx openssl pg_dump promtool ps sudo ulimit uvx"
_PROGRAM = rf"""
    (?:python3?\ -m|training-sessions|\.venv/bin/\S+|{_IN_SENTENCES.replace(" ", "|")})\ [^`]+
    | (?:{"|".join(OF_THE_SERVICE)})\ (?:--|serve|relay)[^`]*
"""
_SPAN = re.compile(rf"(?<!`)`((?:[A-Z_]+=\S+\ )*(?:{_PROGRAM}))`", re.VERBOSE)
_FENCE = re.compile(r"^( *)```.*?^\1```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Shown:
    """A line that is typed, and what the page shows as its output."""

    typed: str
    output: str

    @property
    def script(self) -> str:
        """As a shell takes it, with a word in place of each placeholder."""
        return PLACEHOLDER.sub(lambda found: found[1].replace(" ", "-"), self.typed).replace(
            "…", "x"
        )


@dataclass(frozen=True)
class Command:
    place: str
    variables: dict[str, str]
    words: list[str]

    @property
    def is_of_a_sentence(self) -> bool:
        return ":" not in self.place

    def __str__(self) -> str:
        return f"{self.place} {shlex.join(self.words)[:60]}"


@cache
def shown_in(text: str) -> tuple[Shown, ...]:
    found: list[Shown] = []
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        count = next(
            number for number in range(1, len(lines) + 1) if _is_whole("".join(lines[:number]))
        )
        found.append(Shown("".join(lines[:count]).rstrip(), "".join(lines[count:])))
    return tuple(found)


def _is_whole(typed: str) -> bool:
    """False if a shell would wait for more: for a quote, for `done`, for the rest of a line."""
    try:
        words = _words(Shown(typed, "").script)
    except ValueError:  # no closing quotation
        return False
    return not typed.endswith("\\\n") and words.count("for") == words.count("done")


def has_output(block: Block) -> bool:
    return any(each.output.strip() for each in shown_in(block.text))


def commands() -> list[Command]:
    """Those of blocks, and those that stand within a sentence."""
    of_blocks = (
        command
        for block in all_blocks()
        if block.language == "console"
        for shown in shown_in(block.text)
        for command in commands_of(shown.script, str(block))
    )
    return [*of_blocks, *_of_sentences()]


def _of_sentences() -> Iterator[Command]:
    for page in pages():
        for span in spans_in(read(page)):
            yield from commands_of(Shown(span, "").script, page)


def spans_in(text: str) -> list[str]:
    """The commands within the sentences of a page, each once."""
    sentences = re.sub(r"\s*\n\s*", " ", _FENCE.sub("", text))
    return list(dict.fromkeys(_SPAN.findall(sentences)))


def commands_of(script: str, place: str) -> Iterator[Command]:
    words: list[str] = []
    for word in [*_words(script), ";"]:
        if word not in SEPARATORS:
            words.append(word)
        elif words:
            yield _command(words, place)
            words = []


def _words(script: str) -> list[str]:
    joined = script.replace("\\\n", " ")
    lexer = shlex.shlex(joined, posix=True, punctuation_chars="();|&\n")
    lexer.whitespace = " "
    lexer.whitespace_split = True
    return list(lexer)


def _command(words: list[str], place: str) -> Command:
    variables: dict[str, str] = {}
    rest = [*words]
    while rest and (found := ASSIGNMENT.fullmatch(rest[0])):
        variables[found[1]] = found[2]
        rest.pop(0)
    return Command(place, variables, rest)


async def typed(script: str) -> str:
    """What the script prints in a shell."""
    bash = await asyncio.create_subprocess_exec(
        *("bash", "-c", f"set -euo pipefail\n{script}"), stdout=asyncio.subprocess.PIPE
    )
    output, _ = await bash.communicate()
    assert bash.returncode == 0, script
    return output.decode()
