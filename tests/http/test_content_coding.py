# SPDX-License-Identifier: MIT
"""Bodies with a content coding: refused as such by every command, before they are parsed."""

import asyncio
import gzip
import json
import zlib
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from tests.builders import a_session, a_token, bearer
from tests.http.responses import JSON, error_of
from tests.running import App, TestDatabase

REASON = json.dumps({"reason": "shoulder pain"}).encode()

CODED: dict[str, tuple[list[str], bytes]] = {
    "gzip": (["gzip"], gzip.compress(REASON)),
    "upper case": (["GZIP"], gzip.compress(REASON)),
    "x-gzip": (["x-gzip"], gzip.compress(REASON)),
    "deflate": (["deflate"], zlib.compress(REASON)),
    "br": (["br"], b"\x0b\x0e\x80"),
    "zstd": (["zstd"], b"\x28\xb5\x2f\xfd"),
    "aws-chunked": (["aws-chunked"], REASON),
    "unknown": (["squeezed"], REASON),
    "gzip that is none": (["gzip"], REASON),
    "list": (["deflate, gzip"], gzip.compress(zlib.compress(REASON))),
    "list with identity": (["identity, gzip"], gzip.compress(REASON)),
    "two headers": (["identity", "gzip"], gzip.compress(REASON)),
    "gzip of nothing": (["gzip"], gzip.compress(b"")),
    "chunked": (["chunked"], REASON),
}


def with_encodings(encodings: list[str]) -> Any:
    return [("Content-Type", "application/json"), *(("Content-Encoding", e) for e in encodings)]


@pytest.mark.parametrize(("encodings", "content"), CODED.values(), ids=CODED)
async def test_returns_415_with_accept_encoding_for_a_coded_body(
    app: App, database: TestDatabase, encodings: list[str], content: bytes
) -> None:
    session = await database.a_session()

    response = await app.client.post(
        f"/sessions/{session.id}/fail",
        content=content,
        headers=[*bearer(a_token(session.user_id)).items(), *with_encodings(encodings)],
    )

    error = error_of(response)
    assert (response.status_code, error["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert response.headers["Accept-Encoding"] == "identity"
    assert error["details"] == {"header": "Content-Encoding"}
    assert "Content-Encoding" in error["message"]
    assert await database.events() == []


@pytest.mark.parametrize("path", ["", "/{}/start", "/{}/complete", "/{}/fail"])
async def test_every_command_refuses_a_coded_body(app: App, path: str) -> None:
    response = await app.call(
        uuid4(),
        "POST",
        "/sessions" + path.format(uuid4()),
        content=gzip.compress(b"{}"),
        headers=JSON | {"Content-Encoding": "gzip"},
    )

    assert (response.status_code, response.headers["Accept-Encoding"]) == (415, "identity")


async def test_names_the_coding_of_a_body_without_a_media_type(app: App) -> None:
    response = await app.fail(a_session(), content=b"x", headers={"Content-Encoding": "gzip"})

    assert error_of(response)["details"] == {"header": "Content-Encoding"}


async def test_returns_415_for_a_transfer_coding_besides_chunked(app: App) -> None:
    """Through a bare connection: the HTTP client of the tests does not send it."""
    content = gzip.compress(REASON)
    head = (
        f"POST /sessions/{uuid4()}/fail HTTP/1.1\r\nHost: gym\r\nConnection: close\r\n"
        f"Authorization: Bearer {a_token()}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    )
    url = httpx2.URL(app.url)
    reader, writer = await asyncio.open_connection(url.host, url.port)

    writer.write(head.encode() + b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content))
    answer = await reader.read()
    writer.close()

    assert answer.startswith(b"HTTP/1.1 415 ")
    assert b"accept-encoding: identity" in answer


@pytest.mark.parametrize("encoding", ["identity", "IDENTITY", "identity, identity", "", ","])
async def test_takes_a_body_with_the_identity_coding(
    app: App, database: TestDatabase, encoding: str
) -> None:
    session = await database.a_session()

    headers = JSON | {"Content-Encoding": encoding}
    response = await app.fail(session, content=REASON, headers=headers)

    assert response.status_code == 200
    [event] = await database.events(session)
    assert event["event_data"] == {"reason": "shoulder pain"}


async def test_ignores_the_coding_of_an_absent_body(app: App, database: TestDatabase) -> None:
    session = await database.a_session()

    assert (await app.fail(session, headers={"Content-Encoding": "gzip"})).status_code == 200
    assert (await app.get(session, {"Content-Encoding": "gzip"})).status_code == 200
