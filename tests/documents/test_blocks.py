# SPDX-License-Identifier: MIT
"""Every block and command of the pages is run, or held against the code: by its kind or by name."""

import re

import pytest

from service.persistence.database_url import parse_database_url
from service.urls import parse_server_urls
from tests.documents import programs
from tests.documents.blocks import (
    Block,
    all_blocks,
    block,
    blocks,
    held_by_name,
    matches,
    pages,
    read,
)
from tests.documents.console import (
    Command,
    Shown,
    commands,
    commands_of,
    has_output,
    shown_in,
    spans_in,
    typed,
)
from tests.documents.logged import LogLine, differences, log_lines

BY_KIND = {"promql": "tests/documents/test_promql.py", "sql": "tests/documents/test_sql.py"}
"""The languages whose blocks are all run, and by which tests."""


def is_held_by_kind(block: Block) -> bool:
    if block.language == "console":
        return not has_output(block)
    return block.language in BY_KIND or block in _URLS or bool(log_lines(block))


_URLS = [each for each in blocks("") if re.fullmatch(r"postgresql://\S+\n", each.text)]
_URLS_OF_SENTENCES = sorted(
    {
        url
        for page in pages()
        for url in re.findall(r"`(?:[A-Z_]+=)?((?:postgresql|nats)://[^`]+)`", read(page))
    }
)


def test_every_block_is_held() -> None:
    by_name = held_by_name()
    not_held = [each for each in all_blocks() if each not in by_name and not is_held_by_kind(each)]

    assert not not_held, "\n".join(
        [
            "No test holds these blocks. Run or compare block(page, beginning) in one:",
            *(f"{each} {each.text.splitlines()[0]}" for each in not_held),
        ]
    )


@pytest.mark.parametrize(
    ("language", "text"),
    [("", "knee"), ("json", '{"knee": 1}'), ("console", "$ cd knee\nfull"), ("js", "knee()")],
)
def test_a_new_block_would_be_noticed(language: str, text: str) -> None:
    new = Block("docs/api.md", 1, language, text)

    assert not is_held_by_kind(new)
    assert new not in held_by_name()


def test_a_beginning_that_two_blocks_have_is_no_name() -> None:
    beginning = "training_relay_state == 1\n"

    with pytest.raises(AssertionError, match="2 blocks begin with"):
        block("docs/runbook.md", beginning)


def test_a_program_without_a_rule_is_refused() -> None:
    [new] = commands_of("knee --bend", "docs/api.md:1")

    with pytest.raises(AssertionError, match="no rule for knee"):
        programs.check(new)


@pytest.mark.parametrize("command", commands(), ids=str)
def test_a_command_names_what_exists_and_takes_its_arguments(command: Command) -> None:
    programs.check(command)


@pytest.mark.parametrize(
    "span",
    [
        "relay --knee",
        "python -m tests.chaos --knee",
        "curl localhost:8000/knee",
        "nats stream bend TRAINING_SESSIONS",
        "docker compose up knee",
        "promtool bend rules",
        "kill -9 && knee",
    ],
)
def test_a_wrong_command_of_a_sentence_is_refused(span: str) -> None:
    [found] = spans_in(f"Call `{span}` again.")
    with pytest.raises((AssertionError, KeyError, SystemExit)):
        for command in commands_of(found, "docs/api.md"):
            programs.check(command)


async def test_a_shell_understands_every_command() -> None:
    scripts = [each.script for block in blocks("console") for each in shown_in(block.text)]

    assert len(scripts) > 100
    assert await typed("\n".join(["not_called() {", *scripts, "}"])) == ""


@pytest.mark.parametrize("url", [*(each.text.strip() for each in _URLS), *_URLS_OF_SENTENCES])
def test_a_url_of_a_page_is_accepted(url: str) -> None:
    text = Shown(url, "").script
    without_a_file = re.sub(r"sslmode=.*", "", text)
    if text.startswith("nats"):
        assert parse_server_urls(text, "nats", "tls")
    else:
        assert parse_database_url(without_a_file).ignored == ()


@pytest.mark.parametrize(
    "line", [each for block in all_blocks() for each in log_lines(block)], ids=str
)
def test_a_line_of_a_log_has_the_fields_that_the_service_logs(line: LogLine) -> None:
    assert not differences(line)


@pytest.mark.parametrize(
    ("shown", "actual", "is_equal"),
    [("a … c", "a b c\n", True), ("a … c", "a b", False), ("a.c", "abc", False)],
)
def test_dots_stand_for_any_text(shown: str, actual: str, is_equal: bool) -> None:
    assert matches(shown, actual) is is_equal
