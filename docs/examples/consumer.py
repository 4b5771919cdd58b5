# SPDX-License-Identifier: MIT
"""An example of a consumer: counts the sessions and repetitions of each user.

    CONSUMER_NATS_URL=nats://… CONSUMER_DATABASE_URL=postgresql://… python docs/examples/consumer.py

`--retry` applies the events that have failed, and ends. With CONSUMER_TRACING=true, each event
continues the trace of its request. docs/consumers.md explains it.
"""

import asyncio
import json
import logging
import os
import sys
from contextlib import ExitStack

import asyncpg
from nats.aio.msg import Msg

import inbox
from inbox import FAILURES, OUTAGES, Connection, Event
from subscription import Handle, RetryLaterError, Subscription, read

TRIES = 5
"""Deliveries of a message whose effect fails, before its event is set aside."""

TABLES = """
    CREATE TABLE IF NOT EXISTS totals (
        user_id uuid PRIMARY KEY,
        completed integer NOT NULL,
        failed integer NOT NULL,
        repetitions bigint NOT NULL CONSTRAINT totals_repetitions_check CHECK (repetitions >= 0)
    );
"""
_COUNT = """
    INSERT INTO totals VALUES ($1, $2, $3, $4)
    ON CONFLICT (user_id) DO UPDATE SET
        completed = totals.completed + excluded.completed,
        failed = totals.failed + excluded.failed,
        repetitions = totals.repetitions + excluded.repetitions
"""


async def count(connection: Connection, event: Event) -> None:
    """The effect: not idempotent by itself, so the inbox must let it happen once."""
    if event.kind == "completed":
        await connection.execute(_COUNT, event.user_id, 1, 0, event.data["totalReps"])
    elif event.kind == "failed":
        await connection.execute(_COUNT, event.user_id, 0, 1, 0)


class Consumer:
    """`retry_after`: seconds until a failed message is delivered again; doubled each time."""

    def __init__(self, pool: asyncpg.Pool, retry_after: float) -> None:
        self._pool = pool
        self._retry_after = retry_after

    async def handle(self, message: Msg) -> None:
        """Commits before the message is acknowledged."""
        event = Event.parse(message)
        tries = message.metadata.num_delivered
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                outcome = await self._receive(connection, event, tries)
        except OUTAGES as exc:
            raise RetryLaterError(f"the database is not available ({exc!r})", 1) from exc
        except FAILURES as exc:
            delay = self._retry_after * 2 ** (tries - 1)
            raise RetryLaterError(f"{event.event_id} failed ({exc!r})", delay) from exc
        _show(event, outcome)

    async def _receive(self, connection: Connection, event: Event, tries: int) -> str:
        if tries > TRIES:  # no try has come to an end: it may be this event that kills the process
            await inbox.set_aside(connection, event, f"it was delivered {tries} times")
            return "set aside"
        return await inbox.receive(connection, event, count, is_last_try=tries == TRIES)


def _show(event: Event, outcome: str) -> None:
    data = json.dumps(event.data)
    print(
        f"  {event.kind:<9}  session {event.session_id}  version {event.session_version}"
        f"  {outcome}  {data}",
        flush=True,
    )


async def main(arguments: list[str]) -> None:
    logging.basicConfig(format="  %(levelname)s: %(message)s")
    async with asyncpg.create_pool(
        os.environ["CONSUMER_DATABASE_URL"], min_size=1, max_size=1
    ) as pool:
        await pool.execute(inbox.TABLES + TABLES)
        if arguments == ["--retry"]:
            await inbox.retry(pool, count)
            return
        retry_after = float(os.environ.get("CONSUMER_RETRY_SECONDS", "1"))
        subscription = Subscription(
            nats_url=os.environ["CONSUMER_NATS_URL"],
            durable="totals",
            ack_wait=float(os.environ.get("CONSUMER_ACK_WAIT_SECONDS", "30")),
            batch=20,
        )
        with ExitStack() as stack:
            handle: Handle = Consumer(pool, retry_after).handle
            if os.environ.get("CONSUMER_TRACING") == "true":
                import tracing  # noqa: PLC0415  it needs OpenTelemetry

                handle = tracing.traced(handle, stack.enter_context(tracing.exporting()))
            await read(subscription, handle)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
