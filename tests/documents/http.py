# SPDX-License-Identifier: MIT
"""Requests and answers as pages show them."""

import json
import re
from dataclasses import dataclass
from typing import Any

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z")
_CURSOR = re.compile(r"[\w-]{32}")
_SORTS = (_UUID, _TIME, _CURSOR)
"""Texts that differ from one run to another."""


@dataclass(frozen=True)
class Message:
    """A request or an answer. `start`: the words of its first line; names are in lower case."""

    start: list[str]
    headers: dict[str, str]
    body: Any


def parse(text: str) -> Message:
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    start, *lines = head.splitlines()
    pairs = (each.split(": ", 1) for each in lines)
    return Message(
        start.split(" "),
        {name.lower(): value for name, value in pairs},
        json.loads(body) if body.strip() else None,
    )


def is_same(shown: Any, actual: Any) -> bool:
    """True if they are equal but for ids and times. A shown … stands for any text."""
    if isinstance(shown, str) and "…" in shown:
        return True
    if type(shown) is not type(actual):
        return False
    if isinstance(shown, dict):
        return shown.keys() == actual.keys() and all(
            is_same(value, actual[name]) for name, value in shown.items()
        )
    if isinstance(shown, list):
        return len(shown) == len(actual) and all(map(is_same, shown, actual))
    return bool(shown == actual) or (
        isinstance(shown, str)
        and any(sort.fullmatch(shown) and sort.fullmatch(actual) for sort in _SORTS)
    )


def assert_same(shown: Message, actual: Message) -> None:
    """The actual answer may have more headers."""
    assert shown.start == actual.start
    assert shown.headers.keys() <= actual.headers.keys()
    for name, value in shown.headers.items():
        assert _masked(value) == _masked(actual.headers[name]), name
    assert is_same(shown.body, actual.body), f"{shown.body}\n{actual.body}"


def _masked(text: str) -> str:
    return _UUID.sub("ID", text)
