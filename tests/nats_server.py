# SPDX-License-Identifier: MIT
"""A real nats-server: from PATH, or from the development dependencies."""

import asyncio
import json
import shutil
import signal
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DiscardPolicy, StreamConfig
from nats.js.errors import NotFoundError

from tests.freezing import freeze
from tests.running import eventually
from tests.system.processes import PATIENCE_SECONDS, free_port

STREAM = "TRAINING_SESSIONS"
SUBJECTS = "training.session.v1.>"
WINDOW_SECONDS = 120


@dataclass(frozen=True)
class Stored:
    """A message as the stream holds it."""

    subject: str
    headers: dict[str, str]
    payload: dict[str, Any]

    @property
    def id(self) -> str:
        return self.headers["ce-id"]


@dataclass
class NatsServer:
    """Keeps its port and its data when it is stopped and started.

    `patience_seconds`: how long the tests' own requests wait for JetStream.
    """

    home: Path
    port: int
    settings: str = ""
    sync: str | None = None
    host: str = "127.0.0.1"
    has_jetstream: bool = True
    patience_seconds: float = PATIENCE_SECONDS
    _process: Process | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return self.url_with("")

    def url_with(self, login: str, *, scheme: str = "nats", host: str | None = None) -> str:
        """`login`: as it stands before the `@`, percent-encoded."""
        host = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{scheme}://{login}{'@' if login else ''}{host}:{self.port}"

    async def start(self) -> None:
        self._configure()
        self._process = await asyncio.create_subprocess_exec(
            binary(), "-c", str(self._config), stdout=DEVNULL, stderr=DEVNULL
        )
        await eventually(self._answers)

    def reload(self, settings: str) -> None:
        """Changes the settings of the running server."""
        self.settings = settings
        self._configure()
        assert self._process
        self._process.send_signal(signal.SIGHUP)

    @property
    def _config(self) -> Path:
        return self.home / "nats.conf"

    def _configure(self) -> None:
        sync = f", sync_interval: {self.sync}" if self.sync else ""  # unknown before 2.10
        store = f'jetstream {{ store_dir: "{self.home}/store"{sync} }}'
        self._config.write_text(
            f'host: "{self.host}"\nport: {self.port}\n'
            f"{store if self.has_jetstream else ''}\n{self.settings}\n"
        )

    @property
    def pid(self) -> int:
        assert self._process
        return self._process.pid

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process and self._process.returncode is None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            await self._process.wait()

    async def freeze(self) -> None:
        assert self._process
        await freeze(self._process.pid)

    def thaw(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        client = await nats.connect(self.url)
        try:
            yield client
        finally:
            await client.close()

    def _jetstream(self, client: Client) -> JetStreamContext:
        return client.jetstream(timeout=self.patience_seconds)

    async def make_stream(self, **overrides: Any) -> None:
        facts: dict[str, Any] = {
            "name": STREAM,
            "subjects": [SUBJECTS],
            "storage": "file",
            "discard": DiscardPolicy.NEW,
            "duplicate_window": WINDOW_SECONDS,
            "allow_atomic": True,
        }
        async with self.client() as client:
            await self._jetstream(client).add_stream(StreamConfig(**facts | overrides))

    async def update_stream(self, **changes: Any) -> None:
        async with self.client() as client:
            config = (await self._jetstream(client).stream_info(STREAM)).config
            await self._jetstream(client).update_stream(config.evolve(**changes))

    async def delete_stream(self) -> None:
        async with self.client() as client:
            await self._jetstream(client).delete_stream(STREAM)

    async def has_stream(self) -> bool:
        async with self.client() as client:
            try:
                await self._jetstream(client).stream_info(STREAM)
            except NotFoundError:
                return False
            return True

    async def purge_stream(self) -> None:
        async with self.client() as client:
            await self._jetstream(client).purge_stream(STREAM)

    async def delete_message(self, sequence: int) -> None:
        async with self.client() as client:
            await self._jetstream(client).delete_msg(STREAM, sequence)

    async def publish(
        self, subject: str, payload: bytes = b"", headers: dict[str, str] | None = None
    ) -> int:
        """Publishes as another program; returns the sequence of the stored message."""
        async with self.client() as client:
            return (await self._jetstream(client).publish(subject, payload, headers=headers)).seq

    async def config(self) -> StreamConfig:
        async with self.client() as client:
            return (await self._jetstream(client).stream_info(STREAM)).config

    async def count(self) -> int:
        async with self.client() as client:
            return (await self._jetstream(client).stream_info(STREAM)).state.messages

    async def has_acknowledged(self, durable: str) -> bool:
        """True if this consumer was sent every message of the stream, and has settled each.

        The broker's count of pending messages may still be 0 when the consumer is new.
        """
        async with self.client() as client:
            jetstream = self._jetstream(client)
            try:
                settled = (await jetstream.consumer_info(STREAM, durable)).ack_floor
            except NotFoundError:
                return False
            last = (await jetstream.stream_info(STREAM)).state.last_seq
            return settled is not None and settled.stream_seq >= last

    async def has_consumer(self, durable: str) -> bool:
        async with self.client() as client:
            try:
                await self._jetstream(client).consumer_info(STREAM, durable)
            except NotFoundError:
                return False
            return True

    async def stored(self) -> list[Stored]:
        """All events of the stream, in its order."""
        return [
            Stored(message.subject, dict(message.headers or {}), json.loads(message.data))
            for message in await self.messages()
        ]

    async def ids(self) -> list[str | None]:
        """The id of the event in each message; None in a message that is no event."""
        return [(message.headers or {}).get("ce-id") for message in await self.messages()]

    async def messages(self) -> list[Msg]:
        """All messages of the stream, in its order."""
        async with self.client() as client:
            jetstream = self._jetstream(client)
            left = (await jetstream.stream_info(STREAM)).state.messages
            reader = await jetstream.pull_subscribe(
                SUBJECTS, stream=STREAM, config=ConsumerConfig(ack_policy=AckPolicy.NONE)
            )
            found: list[Msg] = []
            while left > len(found):
                found += await reader.fetch(
                    min(left - len(found), 1000), timeout=self.patience_seconds
                )
            return found

    async def _answers(self) -> bool:
        assert self._process
        assert self._process.returncode is None, "nats-server has ended"
        with suppress(OSError):
            _, writer = await asyncio.open_connection(self.host, self.port)
            writer.close()
            return True
        return False


@asynccontextmanager
async def a_nats_server(settings: str = "", **facts: Any) -> AsyncIterator[NatsServer]:
    with tempfile.TemporaryDirectory(prefix="nats-") as home:
        server = NatsServer(Path(home), free_port(), settings, **facts)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


def binary() -> str:
    return shutil.which("nats-server") or str(Path(sys.executable).with_name("nats-server"))
