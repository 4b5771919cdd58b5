# SPDX-License-Identifier: MIT
"""Holds every answer that a test gets against the description of the API.

`describing` wraps the app that tests run, and `HELD` are hooks for clients of processes. What does
not conform is collected, and fails the test at its end (`conftest.py`).
"""

import re
from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any
from urllib.parse import unquote

import httpx2
import jsonschema_rs
import orjson
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.openapi.document import describe
from service.http.operations.table import OPERATIONS
from tests import leaks

PROTOCOL_HEADERS = re.compile(
    "connection|content-length|content-type|date|transfer-encoding|vary|access-control-.*"
)
"""Headers of HTTP and of CORS, which belong to no operation."""

untrue: list[str] = []
"""What did not conform since the last check."""


def assert_all_conform() -> None:
    found, untrue[:] = list(untrue), []
    assert not found, "\n".join(["Answers differ from GET /openapi.json:", *found])


class Contract:
    """The description, with validators that allow no field which is not described."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self._schemas = {"components": {"schemas": deepcopy(document["components"]["schemas"])}}
        _close(self._schemas)
        self._paths = {
            re.compile(re.sub("{[^}]+}", "[^/]+", path.replace(".", r"\."))): item
            for path, item in document["paths"].items()
        }
        shared = dict(document["paths"]["/livez"]["get"]["responses"])
        del shared["200"]
        self._of_unknown_paths = shared | {
            "404": document["components"]["responses"]["UnknownPath"]
        }
        self._of_wrong_methods = {"405": document["components"]["responses"]["MethodNotAllowed"]}
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def problems(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> Iterator[str]:
        declared = self._declared(method, path).get(str(status))
        if declared is None:
            yield "the status is not declared"
            return
        yield from self._problems_of_headers(declared.get("headers", {}), headers)
        yield from self._problems_of_body(declared, method, headers.get("content-type"), body)

    def has(self, path: str) -> bool:
        return any(pattern.fullmatch(path) for pattern in self._paths)

    def _declared(self, method: str, path: str) -> dict[str, Any]:
        """The answers by status."""
        for pattern, item in self._paths.items():
            if pattern.fullmatch(path):
                operation = item.get("get" if method == "HEAD" else method.lower())
                return operation["responses"] if operation else self._of_wrong_methods
        return self._of_unknown_paths

    def _problems_of_headers(
        self, declared: dict[str, Any], given: Mapping[str, str]
    ) -> Iterator[str]:
        components = self._document["components"]["headers"]
        by_name = {name.lower(): components[name] for name in declared}
        for name, header in by_name.items():
            if name not in given and header["required"]:
                yield f"the header {name} is missing"
            elif name in given:
                value = int(given[name]) if header["schema"]["type"] == "integer" else given[name]
                yield from self._problems_of(header["schema"], value, name)
        for name in given.keys() - by_name.keys():
            if not PROTOCOL_HEADERS.fullmatch(name):
                yield f"the header {name} is not declared"

    def _problems_of_body(
        self, declared: dict[str, Any], method: str, content_type: str | None, body: bytes
    ) -> Iterator[str]:
        content: dict[str, Any] = declared.get("content", {})
        media_type = content_type.partition(";")[0] if content_type else None
        if media_type not in (content or {None}):
            yield f"the content type {content_type} is not declared"
        elif media_type == "application/json" and method != "HEAD":
            schema = content[media_type]["schema"]
            try:
                yield from self._problems_of(schema, orjson.loads(body), "body")
            except orjson.JSONDecodeError as exc:
                yield f"the body is no JSON: {exc}"
        elif not content and body:
            yield "the body is not declared"

    def _problems_of(self, schema: dict[str, Any], value: Any, where: str) -> Iterator[str]:
        key = orjson.dumps(schema).decode()
        validator = self._validators.get(key)
        if validator is None:
            closed = deepcopy(schema)
            _close(closed)
            validator = jsonschema_rs.Draft202012Validator(
                closed | self._schemas, validate_formats=True
            )
            self._validators[key] = validator
        for error in validator.iter_errors(value):
            yield f"{where} {'/'.join(map(str, error.instance_path))}: {error.message}"


def _close(schema: Any) -> None:
    """Forbids fields that an object of this schema, or of one in it, does not name."""
    if isinstance(schema, list):
        for each in schema:
            _close(each)
    elif isinstance(schema, dict):
        if schema.get("type") == "object" and "properties" in schema:
            schema.setdefault("additionalProperties", False)
        for each in schema.values():
            _close(each)


@cache
def contract() -> Contract:
    return Contract(describe(OPERATIONS, ""))


def _hold(method: str, path: str, status: int, headers: Mapping[str, str], body: bytes) -> None:
    if method == "OPTIONS" and "access-control-allow-methods" in headers:
        return  # the answer to a preflight, which CORS describes
    problems = contract().problems(method, path, status, headers, body)
    untrue.extend(f"{method} {path} {status}: {problem}" for problem in problems)


def _below(prefix: str, path: str) -> str:
    """The path without the prefix, unless only a proxy that strips it makes sense of the path."""
    stripped = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
    return stripped if contract().has(stripped) else path


def describing(app: ASGIApp, root_path: str | None) -> ASGIApp:
    """The app, whose answers are held against the description, those to bad connections too."""
    prefix = unquote(root_path or "")

    async def held(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        start: Message = {}
        body, sent = bytearray(), bytearray()

        async def receive_and_note() -> Message:
            message = await receive()
            sent.extend(message.get("body", b""))
            if message["type"] == "http.request" and not message.get("more_body"):
                leaks.never_log_body(bytes(sent))
            return message

        async def send_and_hold(message: Message) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                if not message.get("more_body"):
                    headers = {name.decode(): value.decode() for name, value in start["headers"]}
                    path = _below(prefix, scope["path"])
                    _hold(scope["method"], path, start["status"], headers, bytes(body))
            await send(message)

        await app(scope, receive_and_note, send_and_hold)

    return held


def hold(response: httpx2.Response) -> None:
    path = unquote(response.request.url.path)
    method = response.request.method
    _hold(method, path, response.status_code, response.headers, response.content)


async def hold_response(response: httpx2.Response) -> None:
    await response.aread()
    hold(response)


async def note_body(request: httpx2.Request) -> None:
    leaks.never_log_body(await request.aread())


HELD: Mapping[str, list[Any]] = {"request": [note_body], "response": [hold_response]}
"""The hooks of a client whose answers are held against the description.

What users wrote in its requests must come into no log.
"""
