# SPDX-License-Identifier: MIT
"""Programs on a port that are no NATS server, or a strange one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from tests.listening import listening


@dataclass
class Program:
    """`heard`: all that clients sent to it."""

    url: str = ""
    heard: bytes = b""


@asynccontextmanager
async def a_program(
    greeting: bytes = b"", answer: bytes = b"", *, hangs_up: bool = False
) -> AsyncIterator[Program]:
    """Sends a greeting, and an answer to each line of a client."""
    program = Program()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(greeting)
            while not hangs_up and (line := await reader.readline()):
                program.heard += line
                writer.write(answer)

    async with listening(talk) as port:
        program.url = f"nats://coach:whistle%2Fgym@127.0.0.1:{port}"
        yield program
