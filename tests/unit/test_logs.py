# SPDX-License-Identifier: MIT
"""Logs name the error and its place, and never quote values of a row."""

import asyncio
import json
import logging
import traceback

import pytest
import structlog

from service.bootstrap import logs

pytestmark = pytest.mark.usefixtures("logs_configured_again")

SECRET = "Failing row contains (shoulder pain)"


class RowRefused(Exception):
    sqlstate = "23514"


def refuse() -> None:
    raise RowRefused(SECRET)


def fail() -> None:
    try:
        refuse()
    except RowRefused as exc:
        raise ValueError(SECRET) from exc


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    out = capsys.readouterr().out
    assert SECRET not in out
    return [json.loads(line) for line in out.splitlines()]


def test_logs_an_exception_without_its_message(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    try:
        fail()
    except ValueError:
        structlog.get_logger("tests").exception("unhandled", request_id="a")

    [line] = lines(capsys)
    assert line["error"] == f"builtins.ValueError <- {RowRefused.__module__}.RowRefused 23514"
    assert (line["event"], line["level"], line["request_id"]) == ("unhandled", "error", "a")
    assert any("fail" in frame for frame in line["frames"])  # type: ignore[attr-defined]  # a list


def test_logs_an_exception_of_a_library_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info")
    try:
        fail()
    except ValueError:
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application")

    [line] = lines(capsys)
    assert line["event"] == "Exception in ASGI application"
    assert "ValueError" in str(line["error"])


async def test_logs_a_forgotten_task_without_the_message_of_its_exception(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("debug")
    loop = asyncio.get_running_loop()
    loop.call_exception_handler({"message": "Task failed", "future": ValueError(SECRET)})

    [line] = lines(capsys)
    assert line["event"] == "Task failed"


def test_logs_a_traceback_that_a_library_quotes_without_its_message(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info")
    quoted = ""
    try:
        fail()
    except ValueError:
        quoted = traceback.format_exc()
    logging.getLogger("uvicorn.error").error(quoted)

    [line] = lines(capsys)
    assert line["event"] == "Traceback (most recent call last):"
    assert any(frame.endswith(" refuse") for frame in line["frames"])  # type: ignore[attr-defined]  # a list


@pytest.mark.parametrize(("level", "shown"), [("info", 2), ("warning", 1), ("error", 0)])
def test_logs_the_configured_level_and_above(
    capsys: pytest.CaptureFixture[str], level: str, shown: int
) -> None:
    logs.configure(level)
    logger = structlog.get_logger("tests")
    logger.debug("d")
    logger.info("i")
    logger.warning("w")

    assert len(lines(capsys)) == shown


@pytest.mark.parametrize(
    ("route", "shown"),
    [("/sessions/{session_id}/fail", "/sessions/…/fail"), (None, "(unknown path)")],
)
def test_logs_a_request_in_one_short_line_for_people(
    capsys: pytest.CaptureFixture[str], route: str | None, shown: str
) -> None:
    logs.configure("info", for_people=True)

    structlog.get_logger("tests").info(
        "request", method="POST", route=route, status=409, duration_ms=1.23, request_id="a"
    )

    assert capsys.readouterr().out == f"  POST {shown} 409 1 ms\n"


def test_logs_other_events_with_their_details_for_people(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.configure("info", for_people=True)

    structlog.get_logger("tests").warning("key set not fetched", error="ConnectError")

    out = capsys.readouterr().out
    assert "key set not fetched" in out
    assert "error=ConnectError" in out
