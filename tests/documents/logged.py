# SPDX-License-Identifier: MIT
"""Lines of the log in a page, and what the source of the service logs."""

import ast
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from service.http.token_refusals import TokenRefusal
from tests.documents.blocks import ROOT, Block

OF_EVERY_LINE = {"event", "level", "timestamp"}


@dataclass(frozen=True)
class LogLine:
    place: str
    fields: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.place} {self.fields['event']}"


@dataclass(frozen=True)
class LogCall:
    """`others`: words of a mapping that is logged besides."""

    level: str
    fields: set[str]
    others: set[str]


def log_lines(block: Block) -> list[LogLine]:
    """Those of a block that has nothing else."""
    if block.language != "json":
        return []
    values = list(_values(block.text))
    is_log = all(isinstance(each.get("event"), str) for each in values)
    return [LogLine(str(block), each) for each in values] if is_log else []


def _values(text: str) -> Iterator[Any]:
    while text.strip():
        value, end = json.JSONDecoder().raw_decode(text.lstrip())
        text = text.lstrip()[end:]
        yield value


def differences(line: LogLine) -> list[str]:
    calls = _calls().get(line.fields["event"], [])
    return [] if any(_fits(line.fields, each) for each in calls) else [f"no call logs {line}"]


def _fits(shown: dict[str, Any], call: LogCall) -> bool:
    fields = shown.keys() - OF_EVERY_LINE
    is_level = call.level in {"write", shown.get("level", call.level)}
    return call.fields <= fields <= call.fields | call.others and is_level and _is_refusal(shown)


def _is_refusal(shown: dict[str, Any]) -> bool:
    if shown["event"] != "tokens refused":
        return True
    return bool(TokenRefusal[shown["reason"].upper()].value == shown["meaning"])


@cache
def _calls() -> dict[str, list[LogCall]]:
    found: dict[str, list[LogCall]] = {}
    for path in (ROOT / "service").rglob("*.py"):
        tree = ast.parse(path.read_text())
        words = {
            each.value
            for each in ast.walk(tree)
            if isinstance(each, ast.Constant) and isinstance(each.value, str)
        }
        for node in ast.walk(tree):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=level) | ast.Name(id=level),
                    args=[ast.Constant(value=str(event))],
                    keywords=keywords,
                ):
                    named = {each.arg for each in keywords if each.arg}
                    others = words if len(named) < len(keywords) else set()
                    found.setdefault(event, []).append(LogCall(level, named, others))
    return found
