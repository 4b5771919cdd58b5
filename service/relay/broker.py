# SPDX-License-Identifier: MIT
"""Publishes events to the stream, and finds out whose message it is that the stream has already."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from service.application.outbox import OutboxEvent
from service.relay.connection import Connection
from service.relay.errors import BrokerUnavailable, EventConflict, EventRefused, StreamMissing
from service.relay.link import Link
from service.relay.messages import SUBJECT, SUBJECTS, Message, build_message
from service.relay.responsiveness import has_no_responder
from service.relay.stored import StoredMessage, find_difference
from service.relay.stream_api import (
    StreamApi,
    error_code,
    error_text,
    parse_answer,
)

_EXPECT_NO_MESSAGE = "Nats-Expected-Last-Subject-Sequence: 0\r\n"
"""Stores a message only if its subject has none, so that a late duplicate is refused too."""

_EXPECT_IMPOSSIBLE = f"Nats-Expected-Last-Subject-Sequence: {2**63 - 1}\r\n"
_PROBE_SUBJECT = SUBJECT.replace("*", "check")

_WRONG_LAST_SEQUENCE = 10071
_MESSAGE_TOO_LARGE = 10054

TRIES = 3
"""A message that an operator deletes while the relay compares it makes room for the event."""


@dataclass(frozen=True, slots=True)
class Collision:
    """The stream has a message with the subject or with the id of an event, and did not store it.

    `sequence`: of the message with its id; None if a message has its subject.
    """

    sequence: int | None


class Broker:
    """`is_atomic`: the stream is known to accept atomic batches."""

    def __init__(self, connection: Connection, *, stream: str, source: str) -> None:
        self.is_atomic = False
        self.stream = StreamApi(connection, stream)
        self._connection = connection
        self._source = source

    def require_connection(self) -> None:
        """Raises BrokerUnavailable."""
        self._connection.require()

    async def wait_until_connected(self) -> None:
        """Waits until every server was tried once. Raises BrokerUnavailable."""
        await self._connection.wait_until_connected()

    async def require_permission(self) -> None:
        """Raises BrokerUnavailable if the login may not publish events.

        Sends a message that no stream stores, since its subject would need an impossible sequence.
        """
        link = self._connection.require()
        probe = Message(_PROBE_SUBJECT, f"NATS/1.0\r\n{_EXPECT_IMPOSSIBLE}\r\n".encode(), b"")
        reply = link.new_reply()
        ack = await self._ask(link, probe.publish_command(reply=reply), reply, probe.subject)
        if error_code(ack) != _WRONG_LAST_SEQUENCE:
            raise BrokerUnavailable("its stream does not heed the sequence that a message expects")

    async def publish(self, event: OutboxEvent) -> bool:
        """True if the stream had the event already.

        Raises EventConflict if it has another message in its place, EventRefused, and
        BrokerUnavailable.
        """
        message = self.message(event)
        for _ in range(TRIES):
            collision = await self._send(message)
            if collision is None:
                return False
            if await self._is_stored(message, collision):
                return True
            # The broker may remember the id of a message that was deleted.
            message = self.message(event, with_id=False)
        raise BrokerUnavailable(
            "its stream refuses an event because of a message that is not there"
        )

    async def find(self, event: OutboxEvent) -> tuple[StoredMessage | None, str | None]:
        """Its message and None, or else the last one of its subject and how that differs.

        Raises BrokerUnavailable.
        """
        message = self.message(event)
        found = await self._find(message)
        return found, find_difference(found, message) if found else None

    async def publish_atomically(self, events: Sequence[OutboxEvent]) -> bool:
        """True if the stream stored all events in this order; else it stored none.

        It stores none if it has one of them, refuses one, or accepts no atomic batches.
        Raises BrokerUnavailable.
        """
        link = self._connection.require()
        if not self.is_atomic:
            return False
        batch, reply = uuid4().hex, link.new_reply()
        commands = []
        for number, event in enumerate(events, start=1):
            is_last = number == len(events)
            sent = self.message(event, _batch_headers(batch, number, is_last=is_last))
            if sent.size > link.max_payload:
                return False
            commands.append(sent.publish_command(reply=reply if is_last else ""))
        ack = await self._ask(link, b"".join(commands), reply, sent.subject)
        # A server without atomic batches acknowledges the last message alone.
        return (ack.get("batch"), ack.get("count")) == (batch, len(events))

    def message(self, event: OutboxEvent, more: str = "", *, with_id: bool = True) -> Message:
        """`more`: further header lines, each with its line end."""
        id_header = f"Nats-Msg-Id: {event.id!s}\r\n" if with_id else ""
        return build_message(event, self._source, f"{_EXPECT_NO_MESSAGE}{id_header}{more}")

    async def _send(self, message: Message) -> Collision | None:
        """None if the stream stored the message."""
        link = self._connection.require()
        if message.size > link.max_payload:
            raise EventRefused(f"it has {message.size} bytes, more than the broker accepts")
        reply = link.new_reply()
        command = message.publish_command(reply=reply)
        return self._find_collision(await self._ask(link, command, reply, message.subject))

    async def _is_stored(self, message: Message, collision: Collision) -> bool:
        """False if the message that collided was deleted. Raises EventConflict."""
        if collision.sequence is None:
            key, found = "subject", await self._find(message)
        else:
            key, found = "Nats-Msg-Id", await self.stream.message(collision.sequence)
        if found is None:
            return False
        if difference := find_difference(found, message):
            raise EventConflict(
                f"message {found.sequence} of the stream has its {key} and {difference}",
                subject=found.subject,
                sequence=found.sequence,
            )
        return True

    async def _find(self, message: Message) -> StoredMessage | None:
        """The event's own message, or else the last one of its subject."""
        last = await self.stream.last_message(message.subject)
        if last is None or find_difference(last, message) is None:
            return last
        # The event was stored only if its subject had no message, so it can only be the first.
        first = await self.stream.next_message(message.subject, 1)
        return first if first and find_difference(first, message) is None else last

    async def _ask(self, link: Link, commands: bytes, reply: str, subject: str) -> dict[str, Any]:
        """Raises BrokerUnavailable if the answer is not one of this stream."""
        answer = await link.request(commands, reply, subject=subject, permission=SUBJECTS)
        if has_no_responder(answer):
            raise StreamMissing(self.stream.name)
        ack = parse_answer(answer)
        if "error" not in ack and ack.get("stream") != self.stream.name:
            other = self._connection.quote(str(ack.get("stream")))
            raise BrokerUnavailable(f"the stream {other} stored the event, not {self.stream.name}")
        return ack

    def _find_collision(self, ack: dict[str, Any]) -> Collision | None:
        """Raises EventRefused and BrokerUnavailable."""
        if "error" not in ack:
            return Collision(ack["seq"]) if ack.get("duplicate") else None
        code = error_code(ack)
        if code == _WRONG_LAST_SEQUENCE:
            return Collision(None)
        if code == _MESSAGE_TOO_LARGE:
            raise EventRefused("it is larger than the stream allows")
        raise BrokerUnavailable(f"the stream refuses: {self._connection.quote(error_text(ack))}")


def _batch_headers(batch: str, number: int, *, is_last: bool) -> str:
    commit = "Nats-Batch-Commit: 1\r\n" if is_last else ""
    return f"Nats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {number}\r\n{commit}"
