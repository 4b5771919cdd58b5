# SPDX-License-Identifier: MIT
"""python -m service try: the life of sessions, or one sentence that says why there is none."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.builders import SECRET
from tests.conftest import StartApp
from tests.running import TestDatabase
from tests.system.processes import Finished, a_public_directory, finished, free_port

SIGNED = {"SERVICE_JWT_SECRET": SECRET}
IS_IT_OPEN = "Is `make run` open in another terminal?"


async def _tried(*arguments: str, data: Path, **environment: str) -> Finished:
    return await finished("try", *arguments, "--data", str(data), environment=SIGNED | environment)


async def test_plays_a_whole_life(
    tmp_path: Path, database: TestDatabase, start_app: StartApp
) -> None:
    app = await start_app()

    played = await _tried("--url", app.url, data=tmp_path)

    assert (played.code, played.err) == (0, "")
    assert played.out.endswith("The tour is over.\n\n")
    assert await database.value("SELECT count(*) FROM sessions") == 2


async def test_ends_in_silence_if_only_its_beginning_is_read(
    tmp_path: Path, start_app: StartApp
) -> None:
    app = await start_app()
    pipe = ["sh", "-c", '"$0" -m service try "$@" | head -n 1', sys.executable]

    played = await finished(
        "--url", app.url, "--data", str(tmp_path), command=pipe, environment=SIGNED
    )

    assert (played.out, played.err) == ("1. Plan a session for tomorrow.\n".rjust(33), "")


async def test_says_that_nothing_listens(tmp_path: Path) -> None:
    port = str(free_port())

    refused = await _tried("--port", port, data=tmp_path)

    assert refused.code == 1
    assert refused.err == (
        f"http://127.0.0.1:{port} cannot be reached: Connection refused. {IS_IT_OPEN}\n"
    )


async def test_says_that_there_is_no_demo(tmp_path: Path) -> None:
    refused = await finished("try", "--data", str(tmp_path))

    assert refused.code == 2
    assert refused.err.startswith("SERVICE_JWT_SECRET is not set, and ")
    assert refused.err.endswith(f"{IS_IT_OPEN}\n")


async def test_says_that_the_secret_of_the_demo_cannot_be_read() -> None:
    with a_public_directory() as data:
        (data / "jwt-secret").mkdir()  # the tests may run as root, who can read any file
        refused = await finished("try", "--data", str(data))

    assert refused.code == 2
    assert "was the demo started by another user?" in refused.err
    assert "Traceback" not in refused.err


async def test_says_that_the_service_has_another_secret(
    tmp_path: Path, start_app: StartApp
) -> None:
    app = await start_app()

    refused = await _tried("--url", app.url, data=tmp_path, SERVICE_JWT_SECRET=SECRET[::-1])

    assert refused.code == 1
    assert refused.err == (
        f"{app.url} answered 401, where 201 was expected; SERVICE_JWT_SECRET must be the same as"
        " that of the service.\n"
    )


STRANGERS = {
    "a page that is missing": b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<p>No.",
    "a page": b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>Welcome",
    "a redirect": b"HTTP/1.1 301 Moved\r\nLocation: https://gym.example\r\n\r\n",
    "other JSON": b'HTTP/1.1 404 Not Found\r\n\r\n{"detail": "Not Found"}',
    "JSON with an id": b"HTTP/1.1 201 Created\r\nX-Request-Id: a\r\n\r\n[1, 2]",
    "our format": b'HTTP/1.1 201 Created\r\nX-Request-Id: a\r\n\r\n{"data": {}}',
    "an empty body": b"HTTP/1.1 201 Created\r\nX-Request-Id: a\r\nContent-Length: 0\r\n\r\n",
    "text that is not UTF-8": b"HTTP/1.1 200 OK\r\nX-Request-Id: a\r\n\r\n\xff\xfe",
    "a broken compression": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n<p>",
    "an SSH server": b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n",
    "silence": b"",
}


@pytest.mark.parametrize("answer", STRANGERS.values(), ids=STRANGERS)
async def test_says_that_another_program_answers(tmp_path: Path, answer: bytes) -> None:
    async with _a_stranger(answer) as port:
        refused = await _tried("--port", str(port), data=tmp_path)

    assert refused.code == 1
    assert refused.err.startswith(f"http://127.0.0.1:{port} is not this service: ")
    assert refused.err.endswith("If `make run` listens on another port: PORT=9000 make try.\n")
    assert len(refused.err.splitlines()) == 1
    assert "<p>" not in refused.out


@pytest.mark.parametrize(
    "url", ["gym", "ftp://gym", "http://", "http://gym:port", "http://coach:[whistle]@gym"]
)
async def test_refuses_a_url_that_is_none_without_quoting_it(tmp_path: Path, url: str) -> None:
    refused = await _tried("--url", url, data=tmp_path)

    assert refused.code == 2
    assert "argument --url: it must be a URL such as https://api.example.com" in refused.err
    assert "whistle" not in refused.err
    assert "Traceback" not in refused.err


@asynccontextmanager
async def _a_stranger(answer: bytes) -> AsyncIterator[int]:
    """A program that gives every connection the same answer, and closes it."""

    async def respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(respond, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
