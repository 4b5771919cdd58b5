# SPDX-License-Identifier: MIT
"""Bodies of requests: which are read, and what the answer says of the others."""

from typing import Any

import pytest
from starlette.requests import Request

from service.domain.errors import ServiceError
from service.http.body import read_json_object

MAX = 32
JSON = [("content-type", "application/json")]


async def read(body: bytes | list[bytes], headers: list[tuple[str, str]]) -> dict[str, Any]:
    chunks = [body] if isinstance(body, bytes) else body
    messages = [{"type": "http.request", "body": each, "more_body": True} for each in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})
    remaining = iter(messages)

    async def receive() -> Any:
        return next(remaining)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    request = Request({"type": "http", "method": "POST", "headers": raw}, receive)
    return await read_json_object(request, max_bytes=MAX)


async def refusal_of(body: bytes, headers: list[tuple[str, str]]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await read(body, headers)
    return caught.value


@pytest.mark.parametrize(
    "headers",
    [
        JSON,
        [("content-type", "Application/JSON; charset=utf-8")],
        [*JSON, ("content-encoding", "identity")],
        [*JSON, ("content-encoding", "Identity, identity")],
        [*JSON, ("content-encoding", "identity"), ("content-encoding", " identity ")],
        [*JSON, ("transfer-encoding", "Chunked")],
        [*JSON, ("content-length", "13")],
        [*JSON, ("content-length", str(MAX))],
    ],
    ids=str,
)
async def test_reads_an_object(headers: list[tuple[str, str]]) -> None:
    assert await read([b'{"rpe"', b": 7}"], headers) == {"rpe": 7}


@pytest.mark.parametrize("headers", [[], [("content-type", "text/plain")]], ids=str)
async def test_an_empty_body_is_an_empty_object_of_any_type(headers: list[Any]) -> None:
    assert await read(b"", headers) == {}


@pytest.mark.parametrize(
    ("headers", "header"),
    [
        ([], "Content-Type"),
        ([("content-type", "text/plain")], "Content-Type"),
        ([*JSON, ("content-encoding", "gzip")], "Content-Encoding"),
        ([*JSON, ("content-encoding", "identity, br")], "Content-Encoding"),
        ([*JSON, ("content-encoding", "identity"), ("content-encoding", "br")], "Content-Encoding"),
        ([*JSON, ("transfer-encoding", "gzip, chunked")], "Content-Encoding"),
    ],
    ids=str,
)
async def test_refuses_another_type_or_coding(headers: list[tuple[str, str]], header: str) -> None:
    refusal = await refusal_of(b"{}", headers)

    assert (refusal.code, refusal.details) == ("UNSUPPORTED_MEDIA_TYPE", {"header": header})


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b"{", "invalid_json", "The body must be JSON."),
        (b"\xff", "invalid_json", "The body must be JSON."),
        (b'{"rpe": NaN}', "invalid_json", "The body must be JSON."),
        (b'{"rpe": 7, "rpe": 8}', "invalid_json", "The body must be JSON."),
        (b"[]", "invalid_type", "The body must be an object."),
        (b"null", "invalid_type", "The body must be an object."),
    ],
    ids=str,
)
async def test_says_why_it_is_no_object(body: bytes, code: str, message: str) -> None:
    refusal = await refusal_of(body, JSON)

    assert refusal.details == {"issues": [{"path": [], "code": code, "message": message}]}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{}", [*JSON, ("content-length", str(MAX + 1))]),
        (b"{}", [*JSON, ("content-length", "2, 2")]),
        (b"{}" + b" " * (MAX - 1), JSON),
    ],
    ids=["announced", "not announced in digits", "sent"],
)
async def test_refuses_a_body_over_the_limit(body: bytes, headers: list[tuple[str, str]]) -> None:
    refusal = await refusal_of(body, headers)

    assert (refusal.code, refusal.details) == ("PAYLOAD_TOO_LARGE", {"maxBytes": MAX})
