# SPDX-License-Identifier: MIT
"""The relay's queue: leadership, turns, and the rows that a turn removes or parks."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import ConnectionLost
from service.application.outbox import BACKLOG_EXACT_MAX, Backlog, EventToPark
from service.persistence.outbox import Outbox
from service.persistence.relay_turn import DECLARE_OLDEST, FETCH_OLDEST, FETCH_SIZE, SqlTurn
from tests.group_commit.proxy import Cut, a_proxy
from tests.relay.queue import an_event, many_events
from tests.running import TestDatabase, an_engine, eventually

MANY = 100_000
A_SHORT_LEASE = 0.2

SNAPSHOTS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
"""

ROWS = """
    INSERT INTO outbox (user_id, event_id)
    SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1)
"""


@pytest.fixture
async def engines(database: TestDatabase) -> AsyncIterator[list[AsyncEngine]]:
    """Of two relays."""
    url = database.relay_url
    async with an_engine(url) as one, an_engine(url) as other:
        yield [one, other]


def an_outbox(engine: AsyncEngine, lease: float = 10) -> Outbox:
    return Outbox(engine, lease=lease, statement_timeout=5)


def driver_of(turn: SqlTurn) -> Any:
    return turn._driver  # noqa: SLF001  to look at the connection below SQLAlchemy


async def test_of_two_relays_one_leads_and_takes_turns(
    engines: list[AsyncEngine],
) -> None:
    one, other = map(an_outbox, engines)
    async with one.leadership() as leadership, one.turn() as turn:
        assert leadership
        assert turn
        async with other.leadership() as another:
            assert another is None
        async with other.turn() as another_turn:
            assert another_turn is None
    async with other.leadership() as leadership, other.turn() as turn:
        assert leadership
        assert turn


@pytest.mark.parametrize("opened", ["leadership", "turn", "long_turn"])
async def test_the_database_ends_a_silent_relay_after_exactly_the_lease(
    engines: list[AsyncEngine], opened: str
) -> None:
    """Sooner, the relay would believe a lease that is over; later, no other would take over."""
    outbox = Outbox(engines[0], lease=7, statement_timeout=5)

    async with getattr(outbox, opened)() as turn:
        limits = [
            (await turn.execute(sa.text(f"SHOW {name}"))).scalar()
            for name in ("idle_in_transaction_session_timeout", "statement_timeout")
        ]

    assert limits == ["7s", "0" if opened == "long_turn" else "5s"]


@pytest.mark.parametrize("moment", [b"SET LOCAL", b"pg_try_advisory_xact_lock"])
async def test_does_not_wait_for_a_host_that_vanished(
    database: TestDatabase, moment: bytes
) -> None:
    """No packet says that the host is gone, so the relay must stop waiting by itself."""
    async with a_proxy(database.relay_url) as proxy, an_engine(proxy.url, 1) as engine:
        proxy.moment, proxy.cuts = moment, [Cut.VANISHED_BEFORE]
        outbox = Outbox(engine, lease=A_SHORT_LEASE, statement_timeout=A_SHORT_LEASE)

        while not proxy.made:  # the lease may be over before the moment
            with pytest.raises(ConnectionLost):
                async with outbox.turn():
                    pass

        async with an_outbox(engine).turn() as turn:
            assert turn


async def test_a_silent_leader_loses_leadership_and_finds_out(
    engines: list[AsyncEngine],
) -> None:
    silent, other = an_outbox(engines[0], A_SHORT_LEASE), an_outbox(engines[1])

    async def other_leads() -> bool:
        async with other.leadership() as leadership:
            return leadership is not None

    with pytest.raises(ConnectionLost):
        async with silent.leadership() as leadership:
            assert leadership
            await eventually(other_leads)
            await leadership.renew()


async def test_a_turn_that_is_not_committed_changes_nothing(
    database: TestDatabase, engines: list[AsyncEngine]
) -> None:
    await an_event(database, await database.a_session(), 1)
    outbox = an_outbox(engines[0])
    for committed, left in ((False, 1), (True, 0)):
        async with outbox.turn() as turn:
            assert turn
            [queued] = await turn.oldest(10)
            await turn.remove([queued.position])
            if committed:
                await turn.commit()
        assert len(await database.outbox()) == left


async def test_reads_the_oldest_rows_up_to_the_limit(
    database: TestDatabase, engines: list[AsyncEngine]
) -> None:
    await many_events(database, sessions=FETCH_SIZE, each=3)
    for limit, expected in (
        (1, 1),
        (FETCH_SIZE, FETCH_SIZE),
        (2 * FETCH_SIZE, 2 * FETCH_SIZE),
        (4 * FETCH_SIZE, 3 * FETCH_SIZE),
    ):
        async with an_outbox(engines[0]).turn() as turn:
            assert turn
            taken = [queued.position for queued in await turn.oldest(limit)]
        assert taken == sorted(await _positions(database))[:expected]


async def _positions(database: TestDatabase) -> list[int]:
    return [row["position"] for row in await database.fetch("SELECT position FROM outbox")]


async def test_reads_all_pages_from_one_snapshot(
    database: TestDatabase, engines: list[AsyncEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later snapshot could hold a later event of a session and miss an earlier one, whose smaller
    position was committed between two pages.
    """
    await many_events(database, sessions=FETCH_SIZE)
    async with an_outbox(engines[0]).turn() as turn:
        assert turn
        execute = turn.execute

        async def execute_and_add_another(*given: Any) -> Any:
            result = await execute(*given)
            await many_events(database, sessions=1)
            return result

        monkeypatch.setattr(turn, "execute", execute_and_add_another)
        taken = await turn.oldest(2 * FETCH_SIZE)

    assert len(taken) == FETCH_SIZE
    assert len(await _positions(database)) > FETCH_SIZE


async def test_keeps_no_snapshot_that_would_delay_vacuum_while_it_publishes(
    database: TestDatabase, engines: list[AsyncEngine]
) -> None:
    await many_events(database, sessions=FETCH_SIZE)
    async with an_outbox(engines[0]).turn() as turn:
        assert turn
        for limit in (1, FETCH_SIZE, 2 * FETCH_SIZE):
            await turn.oldest(limit)
            assert await database.value(SNAPSHOTS) == 0


async def test_finds_the_oldest_rows_by_index_in_a_large_queue(
    database: TestDatabase, engines: list[AsyncEngine]
) -> None:
    """The planner takes the relay's policies for filters that few rows pass.

    Each user has several events: of one event, another index that begins with the user costs as
    much as the primary key.
    """
    await many_events(database, sessions=MANY // 30, each=3)
    await database.execute("ANALYZE outbox, events")
    async with an_outbox(engines[0]).turn() as turn:
        assert turn
        plan = await driver_of(turn).fetch(f"EXPLAIN {DECLARE_OLDEST}", 2 * FETCH_SIZE)

    lines = "\n".join(line for (line,) in plan)
    assert "Index Scan using outbox_pkey on outbox" in lines, lines
    assert "Index Scan using events_pkey on events" in lines, lines
    assert "Sort" not in lines, lines


async def test_a_relay_that_is_frozen_before_it_reads_a_page_loses_its_turn(
    database: TestDatabase, engines: list[AsyncEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server can send the whole page, and then notices that the relay is silent."""
    await many_events(database, sessions=2 * FETCH_SIZE)
    silent, other = an_outbox(engines[0], A_SHORT_LEASE), an_outbox(engines[1])
    async with an_outbox(engines[0]).turn() as turn:
        assert turn
        await turn.oldest(1)  # which prepares the statements

    async def other_takes_a_turn() -> bool:
        async with other.turn() as another:
            return another is not None

    with pytest.raises(ConnectionLost):
        async with silent.turn() as turn:
            assert turn
            transport = driver_of(turn)._transport  # noqa: SLF001  to freeze the connection
            execute = turn.execute

            async def execute_frozen(statement: Any, *given: Any) -> Any:
                if statement is FETCH_OLDEST:
                    transport.pause_reading()
                return await execute(statement, *given)

            monkeypatch.setattr(turn, "execute", execute_frozen)
            taking = asyncio.create_task(turn.oldest(2 * FETCH_SIZE))
            await eventually(other_takes_a_turn)
            transport.resume_reading()
            await taking


async def test_a_later_event_of_a_session_is_blocked_while_an_earlier_one_is_parked(
    database: TestDatabase, engines: list[AsyncEngine]
) -> None:
    session, other = await database.a_session(), await database.a_session()
    for each in (session, other):
        await an_event(database, each, 1)
    outbox = an_outbox(engines[0])
    async with outbox.turn() as turn:
        assert turn
        first, _ = await turn.oldest(10)
        await turn.park([EventToPark(queued=first, reason="it is too large")])
        await turn.commit()
    await an_event(database, session, 2)

    async with outbox.turn() as turn:
        assert turn
        assert [each.is_blocked for each in await turn.oldest(10)] == [False, True]
        backlog = await turn.backlog()
    assert (backlog.pending, backlog.parked) == (2, 1)
    [parked] = await outbox.parked()
    assert (parked.session_id, parked.reason) == (session.id, "it is too large")


async def test_the_backlog_of_an_empty_queue_is_empty(engines: list[AsyncEngine]) -> None:
    backlog = await an_outbox(engines[0]).backlog()

    assert backlog == Backlog(pending=0, parked=0, oldest_at=None)


async def test_the_oldest_event_of_the_backlog_is_the_first_of_the_queue(
    database: TestDatabase, engines: list[AsyncEngine]
) -> None:
    first = await an_event(database, await database.a_session(), 1)
    await an_event(database, await database.a_session(), 1)
    at = await database.value("SELECT occurred_at FROM events WHERE id = $1", first)

    backlog = await an_outbox(engines[0]).backlog()

    assert backlog == Backlog(pending=2, parked=0, oldest_at=at)


@pytest.mark.parametrize("rows", [BACKLOG_EXACT_MAX - 1, BACKLOG_EXACT_MAX])
async def test_counts_a_long_queue_by_its_first_and_last_position(
    database: TestDatabase, engines: list[AsyncEngine], rows: int
) -> None:
    await database.execute(ROWS, rows + 1)
    await database.execute("DELETE FROM outbox WHERE position = 2")

    backlog = await an_outbox(engines[0]).backlog()

    is_exact = rows < BACKLOG_EXACT_MAX
    assert backlog.pending == (rows if is_exact else rows + 1)


async def test_a_parked_event_returns_to_its_former_position(
    database: TestDatabase, engines: list[AsyncEngine]
) -> None:
    session = await database.a_session()
    first = await an_event(database, session, 1)
    outbox = an_outbox(engines[0])
    async with outbox.turn() as turn:
        assert turn
        await turn.park([EventToPark(queued=each, reason="full") for each in await turn.oldest(1)])
        await turn.commit()
    second = await an_event(database, session, 2)

    async with outbox.long_turn() as turn:
        assert await turn.retry_parked() == 1
        await turn.commit()

    assert await database.outbox() == [first, second]


async def test_the_outbox_is_small_again_after_many_events(database: TestDatabase) -> None:
    await database.execute(
        "INSERT INTO outbox (user_id, event_id)"
        " SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1::int)",
        MANY,
    )
    full = await _size(database)
    await database.execute("DELETE FROM outbox")
    await database.execute("VACUUM outbox")  # as autovacuum does

    assert await _size(database) < full / 3
    heap = "SELECT pg_relation_size('outbox')"
    assert await database.value(heap) == 0
    options = await database.value("SELECT reloptions FROM pg_class WHERE relname = 'outbox'")
    assert "autovacuum_vacuum_scale_factor=0" in options


async def _size(database: TestDatabase) -> int:
    return int(await database.value("SELECT pg_total_relation_size('outbox')"))


@pytest.mark.parametrize(
    "forbidden",
    [
        "SELECT * FROM sessions",
        "INSERT INTO sessions SELECT * FROM sessions",
        "UPDATE events SET event_type = 'session_completed'",
        "DELETE FROM events",
        "TRUNCATE outbox",
        "UPDATE outbox SET event_id = user_id",
        "SELECT * FROM alembic_version",
    ],
)
async def test_the_role_of_the_relay_may_only_work_on_its_queue(
    database: TestDatabase, forbidden: str
) -> None:
    async with database.connection.transaction():
        await database.execute("SET LOCAL ROLE session_relay")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(forbidden)


async def test_a_member_of_the_relays_role_sees_nothing_before_it_becomes_the_role(
    database: TestDatabase,
) -> None:
    await an_event(database, await database.a_session(), 1)
    connection = await asyncpg.connect(database.relay_url)
    try:
        for table in ("events", "outbox"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert await connection.execute("DELETE FROM outbox") == "DELETE 0"
    finally:
        await connection.close()


async def test_the_role_of_the_service_sees_neither_the_queue_nor_parked_events(
    database: TestDatabase,
) -> None:
    for table in ("outbox", "parked_events"):
        async with database.connection.transaction():
            await database.execute("SET LOCAL ROLE session_service")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.execute(f"SELECT * FROM {table}")
