# SPDX-License-Identifier: MIT
"""What a check found: printed as a table or as JSON, with an exit status for pipelines."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum


class Result(StrEnum):
    OK = "ok"
    WARNING = "warning"
    NOT_OK = "not ok"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """`check`: what was looked at. `text`, `advice`: for people; the advice may be empty."""

    check: str
    result: Result
    text: str
    advice: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check=check, result=Result.OK, text=text)


def warning(check: str, text: str, advice: str) -> Finding:
    return Finding(check=check, result=Result.WARNING, text=text, advice=advice)


def not_ok(check: str, text: str, advice: str) -> Finding:
    return Finding(check=check, result=Result.NOT_OK, text=text, advice=advice)


def worst(findings: Iterable[Finding]) -> Result:
    order = list(Result)
    return max((each.result for each in findings), key=order.index, default=Result.OK)


def exit_status(findings: Iterable[Finding]) -> int:
    """1 if something is not ok; a warning is no failure."""
    return int(worst(findings) is Result.NOT_OK)


def as_json(findings: Sequence[Finding]) -> str:
    """docs/check.schema.json describes it."""
    report = {"result": worst(findings), "findings": [asdict(each) for each in findings]}
    return json.dumps(report, indent=2, ensure_ascii=False)


def as_table(findings: Sequence[Finding]) -> str:
    width = max(len(each.check) for each in findings)
    lines: list[str] = []
    for each in findings:
        lines.append(f"{each.result:<7}  {each.check:<{width}}  {_printable(each.text)}")
        if each.advice:
            lines.append(f"{'':<7}  {'':<{width}}  -> {_printable(each.advice)}")
    return "\n".join(lines)


def _printable(text: str) -> str:
    """A key set or a server may name things in characters that a terminal obeys."""
    return "".join(each if each.isprintable() else "?" for each in text)
