# SPDX-License-Identifier: MIT
"""Nothing that a client sends begins a line of the log, or controls the terminal that shows it."""

import asyncio
import json
from urllib.parse import urlsplit

from tests.running import TestDatabase
from tests.system.processes import a_service

FORGED = '{"event": "forged", "level": "error"}'
START = b"GET /sessions HTTP/1.1\r\n"
REQUESTS = {
    "a path with an encoded line feed": b"GET /a%0a%7B%22event%22:%22forged%22%7D HTTP/1.1\r\n",
    "a path with the sequences of a terminal": b"GET /%1b%5b2J%1b%5d0;forged%07 HTTP/1.1\r\n",
    "a query": b"GET /sessions?cursor=%0d%0a{} HTTP/1.1\r\n",
    "an unknown method": b"FORGED /sessions HTTP/1.1\r\n",
    "a request id": START + b"X-Request-Id: a\x1b[2J" + FORGED.encode() + b"\r\n",
    "a folded header": b"GET /sessions HTTP/1.1\r\nX-Request-Id: a\r\n "
    + FORGED.encode()
    + b"\r\n",
    "a trace": START + b"traceparent: " + FORGED.encode() + b"\r\n",
    "a token": START + b"Authorization: Bearer " + FORGED.encode() + b"\r\n",
    "a line that is no request": FORGED.encode() + b"\r\n",
}


async def test_a_line_of_the_log_is_one_event_whatever_clients_send(database: TestDatabase) -> None:
    async with a_service(database.api_url, log_level="debug") as (process, app):
        for request in REQUESTS.values():
            await _sent(app.url, request)
        session = await database.a_session()
        await app.fail(session, reason=f"knee\n{FORGED}\x1b[2J")
        await _sent(app.url, b"GET /livez HTTP/1.1\r\n")
        process.running.terminate()
        await process.end()

    lines = [json.loads(line) for line in process.out]
    assert process.err == []
    assert {line["event"] for line in lines} & {"forged"} == set()
    assert len([line for line in lines if line["event"] == "request"]) >= 2
    assert not [line for line in process.out if "\x1b" in line or "forged" in line.lower()]


async def _sent(url: str, request: bytes) -> None:
    """Waits until the server has answered and closed."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(request + b"Host: gym\r\nConnection: close\r\n\r\n")
    await reader.read()
    writer.close()
