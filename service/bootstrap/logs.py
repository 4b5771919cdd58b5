# SPDX-License-Identifier: MIT
"""Structured logs: JSON for machines, colours for people. No text of a user is logged."""

import logging
import re
import sys
import traceback
from collections.abc import MutableMapping, Sequence
from typing import Any

import structlog

from service.bootstrap.poolers import PoolerDoubt

_FRAME = re.compile(r'^ *File "(.+)", line (\d+), in (.+)$', re.MULTILINE)


def configure(level: str, *, for_people: bool = False) -> None:
    """Sends the logs of the service and of its libraries to standard output."""
    renderer: structlog.typing.Processor = (
        _RendererForPeople() if for_people else structlog.processors.JSONRenderer()
    )
    enrich: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        omit_exception_message,
    ]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*enrich, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*enrich, omit_exception_text],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.basicConfig(level=max(number, logging.INFO), handlers=[handler], force=True)
    for chatty in ("httpx2", "httpcore2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def warn_of_ignored(names: Sequence[str]) -> None:
    """Parameters of SERVICE_DATABASE_URL, and variables of libpq, that have no effect."""
    if names:
        structlog.get_logger("service.settings").warning(
            "without effect", setting="SERVICE_DATABASE_URL", names=list(names)
        )


def warn_of_pooler(doubt: PoolerDoubt | None) -> None:
    if doubt:
        structlog.get_logger("service.settings").warning(
            doubt.event, setting="SERVICE_DATABASE_TRANSACTION_POOLER", reason=doubt.reason
        )


class _RendererForPeople:
    """Renders a request as `POST /sessions/…/fail 409 1 ms`, other events with their details."""

    def __init__(self) -> None:
        self._others = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())

    def __call__(
        self, logger: structlog.typing.WrappedLogger, method: str, event: structlog.typing.EventDict
    ) -> str:
        if event["event"] != "request":
            return self._others(logger, method, event)
        path = re.sub(r"\{\w+\}", "…", event["route"] or "(unknown path)")
        return f"  {event['method']} {path} {event['status']} {event['duration_ms']:.0f} ms"


def omit_exception_message(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replaces an exception by its type and frames: a database's message may quote a row."""
    exc_info = event.pop("exc_info", None)
    if exc_info is True:
        exc_info = sys.exc_info()
    exc = exc_info[1] if isinstance(exc_info, tuple) else exc_info
    if not isinstance(exc, BaseException):
        return event
    event["error"] = " <- ".join(_kind(each) for each in _chain(exc))
    frames = traceback.extract_tb(exc.__traceback__)
    event["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return event


def omit_exception_text(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Cuts a library's message after its first line; of a traceback, the frames are left.

    Behind the first line, asyncio describes a task with its exception, and uvicorn quotes the
    traceback of an application that does not start.
    """
    first, _, rest = str(event["event"]).strip().partition("\n")
    event["event"] = first
    if frames := _FRAME.findall(rest):
        event["frames"] = [f"{file}:{line} {function}" for file, line, function in frames]
    return event


def _chain(exc: BaseException) -> list[BaseException]:
    cause = exc.__cause__ or exc.__context__
    return [exc, *_chain(cause)] if cause else [exc]


def _kind(exc: BaseException) -> str:
    sqlstate = getattr(exc, "sqlstate", None)
    return f"{type(exc).__module__}.{type(exc).__qualname__}" + (f" {sqlstate}" if sqlstate else "")
