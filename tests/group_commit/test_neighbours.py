# SPDX-License-Identifier: MIT
"""A command that waits or fails does not disturb the other commands of its group."""

import asyncio
import re
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.exc import DBAPIError

from service.application.command import Command
from service.application.commands import CompleteSession, FailSession, PlanSession, StartSession
from service.application.errors import TooManyRequests
from service.application.ports import Outcome
from service.domain.errors import SessionNotFound
from service.domain.session import Session, SessionStatus
from service.domain.text import Reason
from tests.builders import a_command, a_session
from tests.documents.blocks import block
from tests.group_commit.driving import Seen, group_commit
from tests.group_commit.proxy import a_proxy
from tests.running import App, TestDatabase, eventually

POISON = "poison"


async def sessions_of(database: TestDatabase, number: int) -> list[Session]:
    sessions = [a_session() for _ in range(number)]
    await database.insert(*sessions)
    return sessions


async def lock(database: TestDatabase, *sessions: Session) -> None:
    """Locks rows in the open transaction of the test's connection."""
    ids = [session.id for session in sessions]
    await database.execute("SELECT FROM sessions WHERE id = ANY ($1) FOR UPDATE", ids)


async def count_from_here(seen: Seen) -> None:
    """When the slot is idle, which has waited for more commands in some turns of the loop."""
    for _ in range(4):  # in the first one, the driver logs the last statement
        await asyncio.sleep(0)
    seen.statements.clear()


def kinds(seen: Seen) -> list[str]:
    """The first words of all statements. A refused command adds BEGIN and a SELECT."""
    return sorted(each.split()[0] for each in seen.statements if each != "ROLLBACK;")


@pytest.mark.parametrize("size", [1, 10, 250])
async def test_a_group_of_changes_takes_four_statements_whatever_its_size(
    database: TestDatabase, size: int
) -> None:
    """BEGIN, LOAD, WRITE, COMMIT."""
    first, *sessions = await sessions_of(database, size + 1)
    seen = Seen()
    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        await commands.execute(a_command(first, idempotency_key="k"))  # opens the connection
        await count_from_here(seen)
        blocker = asyncio.create_task(commands.execute(a_command()))
        group = [commands.execute(a_command(each, idempotency_key="k")) for each in sessions]
        await asyncio.gather(*group, blocker, return_exceptions=True)
        await asyncio.sleep(0)

    assert [each.size for each in seen.groups] == [1, 1, size]
    assert kinds(seen) == ["BEGIN;", "BEGIN;", "COMMIT;", "SELECT", "SELECT", "WITH"]


@pytest.mark.parametrize("size", [1, 10, 50])
async def test_locks_of_users_add_one_statement_whatever_the_size_of_the_group(
    database: TestDatabase, size: int
) -> None:
    """Every kind of command is in the group."""
    planned = [a_session(status=SessionStatus.PLANNED) for _ in range(size)]
    running = [a_session() for _ in range(2 * size + 1)]
    await database.insert(*planned, *running)
    seen = Seen()

    def every_kind() -> list[Command]:
        return [
            a_command(planned.pop(), StartSession),
            a_command(running.pop(), CompleteSession),
            a_command(running.pop(), FailSession),
            a_command(kind=PlanSession),
            a_command(kind=PlanSession, start_now=True),
        ]

    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        await commands.execute(a_command(running.pop()))  # opens the connection
        await count_from_here(seen)
        group = [command for _ in range(size) for command in every_kind()]
        group[0] = replace(group[0], idempotency_key="k")
        blocker = asyncio.create_task(commands.execute(a_command()))
        outcomes = asyncio.gather(*(commands.execute(each) for each in group))
        await asyncio.gather(blocker, return_exceptions=True)
        assert all(isinstance(each, Outcome) for each in await outcomes)
        await asyncio.sleep(0)

    assert [each.size for each in seen.groups] == [1, 1, 5 * size]
    assert kinds(seen) == ["BEGIN;", "BEGIN;", "COMMIT;", "SELECT", "SELECT", "SELECT", "WITH"]


async def test_a_group_takes_four_round_trips_and_five_with_locks_of_users(
    database: TestDatabase,
) -> None:
    running = await sessions_of(database, 3)
    planned = [a_session(status=SessionStatus.PLANNED) for _ in range(2)]
    await database.insert(*planned)
    trips = []

    async with a_proxy(database.api_url) as proxy, group_commit(proxy.url) as commands:
        await commands.execute(a_command(running.pop()))  # opens the connection
        await commands.execute(a_command(planned.pop(), StartSession))
        for command in (a_command(running.pop()), a_command(planned.pop(), StartSession)):
            before = proxy.sent
            await commands.execute(command)
            trips.append(proxy.sent - before)

    assert trips == [4, 5]


async def test_the_statements_of_a_group_are_those_of_the_decision(
    database: TestDatabase,
) -> None:
    [opening] = await sessions_of(database, 1)
    session = await database.a_session(status=SessionStatus.PLANNED)
    seen = Seen()
    async with group_commit(database.api_url, seen=seen) as commands:
        await commands.execute(a_command(opening))
        await count_from_here(seen)
        await commands.execute(a_command(session, StartSession))
        await asyncio.sleep(0)

    shown = block("docs/decisions/sqlalchemy-executes-the-unit-of-work.md", "BEGIN; ").splitlines()
    sent = [" ".join(each.split()) for each in seen.statements]
    assert len(shown) == len(sent)
    for line in shown:
        parts = re.split(" ?… ?|, …", line.partition("  ")[0])
        pattern = ".*".join(map(re.escape, parts)) + ".*"
        assert [bool(re.fullmatch(pattern, each)) for each in sent].count(True) == 1, (line, sent)


async def test_locked_rows_delay_no_other_command(database: TestDatabase) -> None:
    """More rows are locked than there are slots and connections."""
    locked = await sessions_of(database, 12)
    free = await sessions_of(database, 100)
    async with group_commit(database.api_url) as commands:
        async with database.connection.transaction():
            await lock(database, *locked)
            waiting = [asyncio.create_task(commands.execute(a_command(each))) for each in locked]
            done = await asyncio.gather(*(commands.execute(a_command(each)) for each in free))
            assert not any(task.done() for task in waiting)

        assert all(isinstance(each, Outcome) for each in [*done, *await asyncio.gather(*waiting)])
    assert len(await database.events()) == 112


async def test_a_command_that_the_database_refuses_is_refused_alone(
    database: TestDatabase,
) -> None:
    await database.execute(f"""
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.event_data ->> 'reason' = '{POISON}' THEN RAISE 'no'; END IF; RETURN NEW;
        END $$
    """)
    await database.execute(
        "CREATE TRIGGER refuse BEFORE INSERT ON events FOR EACH ROW EXECUTE FUNCTION refuse()"
    )
    first, *sessions = await sessions_of(database, 21)
    targets = [a_command(each) for each in sessions]
    targets[7] = a_command(sessions[7], reason=Reason(POISON))
    seen = Seen()

    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        answers = await asyncio.gather(
            *(commands.execute(each) for each in [a_command(first), *targets]),
            return_exceptions=True,
        )

    assert [each.size for each in seen.groups] == [1, 20] + [1] * 20
    refused = [answer for answer in answers if not isinstance(answer, Outcome)]
    assert [type(answer) for answer in refused] == [DBAPIError]
    assert answers.index(refused[0]) == 8
    assert len(await database.events()) == 20


async def test_a_flood_of_one_user_delays_the_neighbour_by_its_waiting_commands_alone(
    database: TestDatabase,
) -> None:
    """Of 2,000 commands one begins at once and 32 wait; the others are refused."""
    flooder = uuid4()
    [session] = await sessions_of(database, 1)
    order: list[str] = []
    seen = Seen()

    async def execute(name: str, command: Any) -> None:
        try:
            await commands.execute(command)
            order.append(name)
        except SessionNotFound:
            order.append(name)
        except TooManyRequests:
            pass

    limits: dict[str, Any] = {"groups_in_flight": 1, "user_queue_max": 32}
    async with group_commit(database.api_url, seen=seen, **limits) as commands:
        await asyncio.gather(
            *(execute("flood", a_command(user_id=flooder)) for _ in range(1000)),
            execute("neighbour", a_command(session)),
            *(execute("flood", a_command(user_id=flooder)) for _ in range(1000)),
        )

    assert order == ["flood"] * 33 + ["neighbour"]
    assert [each.size for each in seen.groups] == [1, 33]


async def test_metrics_of_a_group_hold_the_waits_of_its_commands(database: TestDatabase) -> None:
    sessions = await sessions_of(database, 5)
    seen = Seen()

    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        await asyncio.gather(*(commands.execute(a_command(each)) for each in sessions))

    alone, together = seen.groups
    assert (alone.size, together.size) == (1, 4)
    assert all(wait >= alone.duration for wait in together.waits)
    assert all(wait >= 0 for wait in alone.waits)


async def test_callers_that_hang_up_leave_no_half_written_command(
    app: App, database: TestDatabase
) -> None:
    """Half of the connections are cut while their rows are locked."""
    sessions = await sessions_of(database, 40)
    async with database.connection.transaction():
        await lock(database, *sessions[:20])
        tasks = [asyncio.create_task(app.fail(each)) for each in sessions]
        await asyncio.gather(*tasks[20:])
        for task in tasks[:20]:
            task.cancel()
        await asyncio.gather(*tasks[:20], return_exceptions=True)

    assert {(await app.fail(each)).status_code for each in sessions} <= {200, 409}
    assert len(await database.events()) == len(await database.outbox()) == 40
    await eventually(lambda: _has_no_transaction(database))


async def _has_no_transaction(database: TestDatabase) -> bool:
    return not await database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
