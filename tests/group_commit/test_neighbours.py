"""What one command meets is not felt by the others."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from service.application.commands import (
    Command,
    CompleteSession,
    FailSession,
    PlanSession,
    StartSession,
)
from service.application.ports import Outcome
from service.domain.errors import SessionNotFound
from service.domain.session import Session, SessionStatus
from service.domain.text import Reason
from tests.builders import a_command, a_session
from tests.group_commit.driving import Seen, group_commit
from tests.running import App, TestDatabase

POISON = "poison"


async def sessions_of(database: TestDatabase, number: int) -> list[Session]:
    sessions = [a_session() for _ in range(number)]
    await database.insert(*sessions)
    return sessions


async def lock(database: TestDatabase, *sessions: Session) -> None:
    """Within the transaction of the test's own connection."""
    ids = [session.id for session in sessions]
    await database.execute("SELECT FROM sessions WHERE id = ANY ($1) FOR UPDATE", ids)


@pytest.mark.parametrize("size", [1, 10, 250])
async def test_the_number_of_statements_does_not_depend_on_the_groups_size(
    database: TestDatabase, size: int
) -> None:
    sessions = await sessions_of(database, size + 2)
    seen = Seen()
    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        await commands.execute(a_command(sessions.pop(), idempotency_key="k"))
        seen.statements.clear()  # among them the driver's own, which looks up types
        await commands.execute(a_command(sessions.pop(), idempotency_key="k"))
        alone = len(seen.statements)
        seen.statements.clear()
        blocker = asyncio.create_task(commands.execute(a_command()))
        group = [commands.execute(a_command(each, idempotency_key="k")) for each in sessions]
        await asyncio.gather(*group, blocker, return_exceptions=True)

    assert [each.size for each in seen.groups] == [1, 1, 1, size]
    # The blocker's session is missing, which saves it the write.
    of_the_blocker = 1
    assert len(seen.statements) - of_the_blocker == alone == 2


@pytest.mark.parametrize("size", [1, 10, 50])
async def test_nor_does_it_with_commands_of_every_kind(database: TestDatabase, size: int) -> None:
    planned = [a_session(status=SessionStatus.PLANNED) for _ in range(size + 1)]
    running = [a_session() for _ in range(2 * size + 2)]
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
        blocker = asyncio.create_task(commands.execute(a_command()))
        warm = [commands.execute(each) for each in every_kind()]
        await asyncio.gather(*warm, blocker, return_exceptions=True)
        seen.statements.clear()
        group = [command for _ in range(size) for command in every_kind()]
        group[0] = replace(group[0], idempotency_key="k")
        first = asyncio.create_task(commands.execute(a_command()))
        outcomes = asyncio.gather(*(commands.execute(each) for each in group))
        await asyncio.gather(first, return_exceptions=True)
        assert all(isinstance(each, Outcome) for each in await outcomes)

    assert [each.size for each in seen.groups] == [1, 5, 1, 5 * size]
    assert len(seen.statements) - 1 == 2


async def test_locked_rows_hold_up_nobody_else(database: TestDatabase) -> None:
    """More rows are locked than there are slots and connections for waiting."""
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
    asked = [a_command(each) for each in sessions]
    asked[7] = a_command(sessions[7], reason=Reason(POISON))
    seen = Seen()

    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        answers = await asyncio.gather(
            *(commands.execute(each) for each in [a_command(first), *asked]),
            return_exceptions=True,
        )

    assert [each.size for each in seen.groups] == [1, 20] + [1] * 20
    refused = [answer for answer in answers if not isinstance(answer, Outcome)]
    assert [type(answer) for answer in refused] == [asyncpg.RaiseError]
    assert answers.index(refused[0]) == 8
    assert len(await database.events()) == 20


async def test_one_users_flood_is_answered_in_its_turn(database: TestDatabase) -> None:
    """First come, first served, and a flood of 2,000 is eight groups."""
    flooder = uuid4()
    [session] = await sessions_of(database, 1)
    order: list[str] = []
    seen = Seen()

    async def execute(name: str, command: Any) -> None:
        try:
            await commands.execute(command)
        except SessionNotFound:
            pass
        finally:
            order.append(name)

    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        await asyncio.gather(
            *(execute("flood", a_command(user_id=flooder)) for _ in range(1000)),
            execute("neighbour", a_command(session)),
            *(execute("flood", a_command(user_id=flooder)) for _ in range(1000)),
        )

    assert order.index("neighbour") == 1000
    assert [each.size for each in seen.groups] == [1, *[256] * 7, 208]


async def test_groups_are_observed(database: TestDatabase) -> None:
    sessions = await sessions_of(database, 5)
    seen = Seen()

    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        await asyncio.gather(*(commands.execute(a_command(each)) for each in sessions))

    alone, together = seen.groups
    assert (alone.size, together.size) == (1, 4)
    assert all(wait >= alone.duration for wait in together.waits)
    assert all(0 <= wait < alone.duration for wait in alone.waits)


async def test_callers_that_hang_up_leave_nothing_half_done(
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
    assert not await database.value(
        "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
        " AND datname = current_database() AND pid <> pg_backend_pid()"
    )
