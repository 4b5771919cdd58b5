# SPDX-License-Identifier: MIT
"""Flips single bits in the files of a stopped broker, and lets the relay find and mend the harm."""

import json
import re
import shutil
import signal
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from pydantic import SecretStr

from service.bootstrap import relay as relaying
from service.bootstrap.settings import RelaySettings
from service.relay.errors import BrokerUnavailable
from service.relay.findings import Finding, Kind
from tests.faults.brokers.blocks import Flip, flips_of_block, flips_of_file
from tests.nats_server import STREAM, NatsServer
from tests.relay.conftest import is_empty
from tests.relay.queue import many_events
from tests.running import TestDatabase, eventually
from tests.system.processes import free_port, started

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
SESSIONS, EACH = 40, 3
OF_A_SMALL_FILE = 4
TRIES = 6000


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What a flip did. `unreadable`: events that the stream did not give any more.

    `does_start`: False if nats-server did not, until the stream's directory was removed.
    `is_found`: the first audit named every loss. `left`: kinds of findings after the replay.
    """

    field: str
    unreadable: int
    does_start: bool
    is_stream_gone: bool
    is_conflict: bool
    is_found: bool
    left: tuple[str, ...]
    left_unreadable: int

    @property
    def is_mended(self) -> bool:
        """True if every loss was found, and every event is in the stream again."""
        is_whole = not self.left_unreadable and set(self.left) <= {str(Kind.OUT_OF_ORDER)}
        return self.is_found and is_whole


class DamagedBroker:
    """A broker whose files are copied anew for each flip."""

    def __init__(self, server: NatsServer, database: TestDatabase) -> None:
        self._server = server
        self._database = database
        self._store = server.home / "store"
        self._whole = server.home / "whole"
        self._settings = RelaySettings(
            database_url=SecretStr(database.relay_url), nats_url=SecretStr(server.url)
        )

    async def fill(self) -> None:
        await self._server.make_stream()
        await many_events(self._database, sessions=SESSIONS, each=EACH)
        environment = {
            "SERVICE_DATABASE_URL": self._database.relay_url,
            "SERVICE_NATS_URL": self._server.url,
        }
        async with started("relay", environment=environment):
            await eventually(lambda: is_empty(self._database), tries=TRIES)
        await self._server.stop()
        self._store.rename(self._whole)

    def flips(self, seed: int) -> Iterator[Flip]:
        random = Random(seed)  # noqa: S311  no secret
        for path in sorted(self._whole.rglob("*")):
            file = str(path.relative_to(self._whole))
            if path.suffix == ".blk":
                yield from flips_of_block(file, path.read_bytes(), random)
            elif path.is_file() and STREAM in file:
                yield from flips_of_file(file, path.stat().st_size, OF_A_SMALL_FILE, random)

    async def harm(self, flip: Flip) -> Harm:
        shutil.rmtree(self._store, ignore_errors=True)
        shutil.copytree(self._whole, self._store)
        flip.make(self._store)
        does_start = await self._start()
        try:
            return await self._mend(flip, does_start=does_start)
        finally:
            await self._server.stop()

    async def _start(self) -> bool:
        """False if it does not start with these files; the stream's are removed then."""
        try:
            await self._server.start()
        except AssertionError:
            await self._server.stop(signal.SIGKILL)
            [stream] = self._store.rglob(STREAM)
            shutil.rmtree(stream)
            await self._server.start()
            return False
        return True

    async def _mend(self, flip: Flip, *, does_start: bool) -> Harm:
        is_gone = not await self._server.has_stream()
        unreadable = await self._unreadable()
        found = await self._audit()
        replayed = await relaying.publish_history(self._settings, SINCE, ensure_stream=True)
        if replayed.conflicts:
            await self._delete_foreign(found)
            await relaying.publish_history(self._settings, SINCE)
        left = await self._audit()
        lost = sum(each.kind == Kind.LOST for each in found)
        return Harm(
            field=flip.field,
            unreadable=unreadable,
            does_start=does_start,
            is_stream_gone=is_gone,
            is_conflict=replayed.conflicts > 0,
            is_found=is_gone or lost == unreadable,
            left=tuple(sorted({str(each.kind) for each in left})),
            left_unreadable=await self._unreadable(),
        )

    async def _audit(self) -> list[Finding]:
        found: list[Finding] = []
        try:
            await relaying.audit_stream(self._settings, SINCE, found.append)
        except BrokerUnavailable:
            return []
        return found

    async def _delete_foreign(self, found: list[Finding]) -> None:
        """As the runbook says of conflicts."""
        for each in found:
            if each.kind == Kind.FOREIGN and (message := re.match(r"message (\d+)", each.text)):
                await self._server.delete_message(int(message[1]))

    async def _unreadable(self) -> int:
        """Events of the database that no message of the stream has as they are."""
        events = {str(row["id"]) for row in await self._database.fetch("SELECT id FROM events")}
        if not await self._server.has_stream():
            return len(events)
        return len(events - {each async for each in _readable(self._server)})


async def _readable(server: NatsServer) -> AsyncIterator[str]:
    """The ids of the events that the stream gives one by one, without the relay's code."""
    async with server.client() as client:
        last = (await client.jetstream().stream_info(STREAM)).state.last_seq
        for sequence in range(1, last + 1):
            subject, query = f"$JS.API.STREAM.MSG.GET.{STREAM}", json.dumps({"seq": sequence})
            answer = json.loads((await client.request(subject, query.encode(), timeout=10)).data)
            if message := answer.get("message"):
                headers = b64decode(message.get("hdrs", "")).decode(errors="replace")
                payload = b64decode(message.get("data", ""))
                found = re.search(r"\r\nce-id: (.*)\r\n", headers)
                if found and headers.endswith("\r\n\r\n") and payload.startswith(b"{"):
                    yield found[1]


@asynccontextmanager
async def a_damaged_broker(database: TestDatabase, place: Path) -> AsyncIterator[DamagedBroker]:
    server = NatsServer(place, free_port(), sync="always")
    await server.start()
    try:
        broker = DamagedBroker(server, database)
        await broker.fill()
        yield broker
    finally:
        await server.stop()
