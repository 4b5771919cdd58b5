# SPDX-License-Identifier: MIT
"""Flips single bits in the files of a stopped broker, and lets the relay find and mend the harm."""

import json
import re
import shutil
import signal
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random

from service.relay.findings import Kind
from tests.faults.brokers.blocks import Flip, flips_of_block, flips_of_file
from tests.nats_server import STREAM, NatsServer
from tests.relay.conftest import is_empty
from tests.relay.queue import many_events
from tests.running import TestDatabase, eventually
from tests.system.processes import Finished, finished, free_port, started

SINCE = "2026-01-01T00:00:00Z"
SESSIONS, EACH = 40, 3
OF_A_SMALL_FILE = 4
NUMBER = r"(\d+) (lost|foreign|doubled|out of order)\b"
FOREIGN = r"^foreign: message (\d+),"
SENTENCES = {
    "the stream TRAINING_SESSIONS is missing": "the audit says that the stream is missing",
    "no program listens on its port": "the audit says that the broker does not listen",
}


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What `relay --audit` said. `numbers`: of findings, by kind; empty if it could not compare.

    `foreign`: the sequences of the messages that are no event of the database.
    """

    code: int
    words: str
    numbers: Mapping[str, int]
    foreign: Sequence[int]

    @classmethod
    def of(cls, done: Finished) -> "Audit":
        numbers = {name: int(count) for count, name in re.findall(NUMBER, done.out)}
        foreign = [int(each) for each in re.findall(FOREIGN, done.out, flags=re.MULTILINE)]
        return cls(code=done.code, words=done.err.strip(), numbers=numbers, foreign=foreign)


@dataclass(frozen=True, kw_only=True)
class Harm:
    """What a flip did. `unreadable`: events that the stream did not give any more.

    `does_start`: False if nats-server opened no port, until the stream's directory was removed.
    `audit`: the first one, of the broker as it was after the flip. `needs_deletion`: a replay was
    refused until a foreign message was deleted. `left`: the audit after that.
    """

    field: str
    unreadable: int
    does_start: bool
    is_stream_gone: bool
    audit: Audit
    needs_deletion: bool
    left: Audit
    left_unreadable: int

    @property
    def found(self) -> str:
        """How the harm shows; empty if it does not, "–" if there is none."""
        if not self.unreadable:
            return "" if self.audit.code else "–"
        if not self.audit.code:
            return ""
        if self.audit.numbers:
            return "yes" if self.audit.numbers[Kind.LOST] == self.unreadable else ""
        said = (sentence for words, sentence in SENTENCES.items() if words in self.audit.words)
        return next(said, "")

    @property
    def is_mended(self) -> bool:
        """True if every loss was found, and every event is in the stream again."""
        left = {kind for kind, count in self.left.numbers.items() if count}
        is_whole = not self.left_unreadable and left <= {Kind.OUT_OF_ORDER}
        return bool(self.found and self.left.numbers) and is_whole


class DamagedBroker:
    """A broker whose files are copied anew for each flip."""

    def __init__(self, server: NatsServer, database: TestDatabase) -> None:
        self._server = server
        self._database = database
        self._store = server.home / "store"
        self._whole = server.home / "whole"
        self._environment = {
            "SERVICE_DATABASE_URL": database.relay_url,
            "SERVICE_NATS_URL": server.url,
        }

    async def fill(self) -> None:
        await self._server.make_stream()
        await many_events(self._database, sessions=SESSIONS, each=EACH)
        async with started("relay", environment=self._environment):
            await eventually(lambda: is_empty(self._database))
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
        try:
            return await self._mended(flip)
        finally:
            await self._server.stop()

    async def _mended(self, flip: Flip) -> Harm:
        does_start = await self._start()
        audit = await self._audit()
        if not does_start:
            await self._start_without_the_stream()
        is_gone = not await self._server.has_stream()
        unreadable = await self._unreadable()
        replay = await self._relay("--ensure-stream", "--replay", "--since", SINCE)
        if needs_deletion := replay.code != 0:
            for sequence in audit.foreign:
                await self._server.delete_message(sequence)
            await self._relay("--replay", "--since", SINCE)
        return Harm(
            field=flip.field,
            unreadable=unreadable,
            does_start=does_start,
            is_stream_gone=is_gone,
            audit=audit,
            needs_deletion=needs_deletion,
            left=await self._audit(),
            left_unreadable=await self._unreadable(),
        )

    async def _start(self) -> bool:
        """False if it opens no port; it runs nevertheless."""
        try:
            await self._server.start()
        except AssertionError:
            return False
        return True

    async def _start_without_the_stream(self) -> None:
        """As docs/recovery.md says."""
        await self._server.stop(signal.SIGKILL)
        [stream] = self._store.rglob(STREAM)
        shutil.rmtree(stream)
        await self._server.start()

    async def _audit(self) -> Audit:
        return Audit.of(await self._relay("--audit"))

    async def _relay(self, *arguments: str) -> Finished:
        return await finished("relay", *arguments, environment=self._environment)

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
