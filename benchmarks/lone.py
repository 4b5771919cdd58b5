# SPDX-License-Identifier: MIT
"""python -m benchmarks.lone: what a command without company pays for being a group of one.

It has a future, a place in the queue, a task and a pause after it, and gives its values to
PostgreSQL as arrays of one item. Processor time in microseconds: without HTTP, and with statements
that only give the values back. Takes half a minute.
"""

import argparse
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

import asyncpg
import psutil
import sqlalchemy as sa
import uvloop
from asyncpg.prepared_stmt import PreparedStatement

from benchmarks import cluster
from benchmarks.machine import warn_about_python
from benchmarks.processes import cpu_seconds
from service.application.commands import FailSession
from service.application.group_commit.pending import PendingCommand
from service.application.group_commit.scheduler import Scheduler, SchedulerLimits
from service.application.ports import Outcome
from service.dev.postgres import SUPERUSER
from service.domain.session import Session, SessionStatus
from service.persistence.unnest import parameters, rows_given_as

ROUNDS, CALLS = 9, 1000
LIMITS = SchedulerLimits(groups_in_flight=1, group_size_max=256, queue_max=5000, timeout=5)
ID, NOW = uuid4(), datetime.now(UTC)
COMMAND = FailSession(user_id=ID, session_id=ID, request_id="lone")
OUTCOME = Outcome(
    Session(
        user_id=ID, id=ID, status=SessionStatus.FAILED, session_date=NOW, started_at=NOW,
        ended_at=NOW, sets=(12, 10, None), rpe=7, notes="knee felt fine", version=2,
        created_at=NOW, updated_at=NOW,
    )
)  # fmt: skip

Call = Callable[[], Awaitable[object]]
Row = Sequence[tuple[str, object]]

UUID, TEXT, TIME, NUMBER = "uuid", "text", "timestamptz", "int4"
ROWS: dict[str, Row] = {
    "LOAD": [(UUID, ID), (UUID, ID), (TEXT, None), ("bool", False), (UUID, None)],
    "WRITE, the session": [
        (UUID, ID), (UUID, ID), (TEXT, "failed"), (TIME, NOW), (TIME, NOW), (TIME, NOW),
        (TEXT, "{12,10,NULL}"), ("int2", 7), (TEXT, "knee felt fine"), (NUMBER, 2), (TIME, NOW),
        (TIME, NOW),
    ],
    "WRITE, the event": [
        (UUID, ID), (UUID, ID), (UUID, ID), (NUMBER, 2), (TEXT, "session_failed"),
        (TEXT, '{"reason": "shoulder pain"}'), (TIME, NOW), (TEXT, "lone"), (TEXT, None),
        ("bytea", None), (TEXT, None), (TEXT, None),
    ],
}  # fmt: skip
"""The types and values that a command gives to these statements."""


def main() -> None:
    options = _parser().parse_args()
    warn_about_python()
    uvloop.run(_take_steps())
    with cluster.running(options.data / "postgres", {}) as postgres:
        uvloop.run(_give_values(postgres.url("postgres", SUPERUSER)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lone", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".data/benchmarks"), metavar="DIRECTORY")
    return parser


async def _take_steps() -> None:
    scheduler: Scheduler[PendingCommand] = Scheduler(_settle, LIMITS)

    async def with_a_future() -> None:
        pending = PendingCommand(command=COMMAND, event_id=ID)
        await _settle([pending])
        await pending.answer

    async def in_a_group() -> None:
        pending = PendingCommand(command=COMMAND, event_id=ID)
        scheduler.submit(pending)
        await pending.answer

    steps = {
        "a call": _answer,
        "a call and a future": with_a_future,
        "a future, the queue, a task and the pause": in_a_group,
    }
    for title, step in steps.items():
        print(f"{title}: {await _spent(step):.1f} us", flush=True)
    await scheduler.close()


async def _answer() -> Outcome:
    return OUTCOME


async def _settle(group: list[PendingCommand]) -> list[PendingCommand]:
    for pending in group:
        pending.settle(await _answer())
    return []


async def _spent(step: Call) -> float:
    """Microseconds of this process for one call, the median of the rounds."""
    rounds = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(CALLS):
            await step()
        rounds.append((time.process_time() - begun) / CALLS * 1e6)
    return median(rounds)


async def _give_values(url: str) -> None:
    connection = await asyncpg.connect(url)
    server = psutil.Process(await connection.fetchval("SELECT pg_backend_pid()"))
    for title, row in ROWS.items():
        for how, call in (await _calls(connection, row)).items():
            before = cpu_seconds(server)
            spent = await _spent(call)
            of_server = (cpu_seconds(server) - before) / ROUNDS / CALLS * 1e6
            print(f"{title}, values {how}: {spent:.1f} us, PostgreSQL {of_server:.1f} us")
    await connection.close()


async def _calls(connection: asyncpg.Connection, row: Row) -> dict[str, Call]:
    types, values = zip(*row, strict=True)
    names = [f"value{number}" for number in range(len(row))]
    table = rows_given_as("given", *(sa.Column(each, sa.Text) for each in names))
    places = [f"${number}::{each}" for number, each in enumerate(types, 1)]
    of_arrays = ", ".join(f"{each}[]" for each in places)
    plain = await connection.prepare(f"SELECT {', '.join(places)}")
    query = f"SELECT * FROM unnest({of_arrays}) WITH ORDINALITY"  # noqa: S608  of constants
    arrays = await connection.prepare(query)
    return {
        "as they are": partial(_give, plain, lambda: dict(zip(names, values, strict=True))),
        "in arrays": partial(_give, arrays, lambda: parameters(table, [values])),
    }


async def _give(statement: PreparedStatement, parameters: Callable[[], dict[str, Any]]) -> None:
    await statement.fetch(*parameters().values())


if __name__ == "__main__":
    main()
