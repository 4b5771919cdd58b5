"""The queue as the relay sees it: who leads, whose turn it is, and what becomes of rows."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from service.application.errors import ConnectionLost
from service.application.outbox import Parked
from service.persistence.outbox import _DECLARE_OLDEST, PAGE, Outbox
from service.persistence.statements import Statement
from tests.group_commit.proxy import Cut, a_proxy
from tests.relay.queue import an_event, many_events
from tests.running import TestDatabase, a_pool, eventually

MANY = 100_000
A_SHORT_LEASE = 0.2

SNAPSHOTS = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend'
        AND pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
"""


@pytest.fixture
async def pools(database: TestDatabase) -> AsyncIterator[list[asyncpg.Pool]]:
    async with a_pool(database.api_url, 2) as one, a_pool(database.api_url, 2) as other:
        yield [one, other]


def an_outbox(pool: asyncpg.Pool, lease: float = 10) -> Outbox:
    return Outbox(pool, lease=lease, statement_timeout=5)


async def test_one_leads_and_takes_turns_and_the_other_does_not(
    pools: list[asyncpg.Pool],
) -> None:
    one, other = map(an_outbox, pools)
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


@pytest.mark.parametrize("moment", [b"BEGIN", b"pg_try_advisory_xact_lock"])
async def test_does_not_wait_for_a_host_that_vanished(
    database: TestDatabase, moment: bytes
) -> None:
    """Nothing tells that it is gone: the relay has to stop waiting by itself."""
    async with a_proxy(database.api_url) as proxy, a_pool(proxy.url, 1) as pool:
        proxy.moment, proxy.cuts = moment, [Cut.VANISHED_BEFORE]
        outbox = Outbox(pool, lease=A_SHORT_LEASE, statement_timeout=A_SHORT_LEASE)

        with pytest.raises(ConnectionLost):
            async with outbox.turn():
                pass

        async with an_outbox(pool).turn() as turn:
            assert turn


async def test_whoever_is_not_heard_of_loses_the_lead_and_finds_out(
    pools: list[asyncpg.Pool],
) -> None:
    silent, other = an_outbox(pools[0], A_SHORT_LEASE), an_outbox(pools[1])

    async def other_leads() -> bool:
        async with other.leadership() as leadership:
            return leadership is not None

    with pytest.raises(ConnectionLost):
        async with silent.leadership() as leadership:
            assert leadership
            await eventually(other_leads)
            await leadership.renew()


async def test_a_turn_that_is_not_committed_changes_nothing(
    database: TestDatabase, pools: list[asyncpg.Pool]
) -> None:
    await an_event(database, await database.a_session(), 1)
    outbox = an_outbox(pools[0])
    for committed, left in ((False, 1), (True, 0)):
        async with outbox.turn() as turn:
            assert turn
            [queued] = await turn.oldest(10)
            await turn.remove([queued.position])
            if committed:
                await turn.commit()
        assert len(await database.outbox()) == left


async def test_takes_as_many_of_the_first_as_it_is_asked_for(
    database: TestDatabase, pools: list[asyncpg.Pool]
) -> None:
    await many_events(database, sessions=PAGE, each=3)
    for asked, got in ((1, 1), (PAGE, PAGE), (2 * PAGE, 2 * PAGE), (4 * PAGE, 3 * PAGE)):
        async with an_outbox(pools[0]).turn() as turn:
            assert turn
            taken = [queued.position for queued in await turn.oldest(asked)]
        assert taken == sorted(await _positions(database))[:got]


async def _positions(database: TestDatabase) -> list[int]:
    return [row["position"] for row in await database.fetch("SELECT position FROM outbox")]


async def test_takes_what_was_there_at_one_moment(
    database: TestDatabase, pools: list[asyncpg.Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it could take a later event of a session, and pass over an earlier one: one with a
    smaller position that was committed between two pages.
    """
    await many_events(database, sessions=PAGE)
    async with an_outbox(pools[0]).turn() as turn:
        assert turn
        rows = turn._rows  # noqa: SLF001  others do something in between

        async def and_another(*given: Any) -> list[asyncpg.Record]:
            found = await rows(*given)
            await many_events(database, sessions=1)
            return found

        monkeypatch.setattr(turn, "_rows", and_another)
        taken = await turn.oldest(2 * PAGE)

    assert len(taken) == PAGE
    assert len(await _positions(database)) > PAGE


async def test_holds_up_no_vacuum_while_it_publishes(
    database: TestDatabase, pools: list[asyncpg.Pool]
) -> None:
    await many_events(database, sessions=PAGE)
    async with an_outbox(pools[0]).turn() as turn:
        assert turn
        for asked in (1, PAGE, 2 * PAGE):
            await turn.oldest(asked)
            assert await database.value(SNAPSHOTS) == 0


async def test_finds_the_first_by_an_index_however_many_there_are(
    database: TestDatabase, pools: list[asyncpg.Pool]
) -> None:
    """The planner takes the relay's policies for filters that hardly a row passes."""
    await many_events(database, sessions=MANY // 10)
    await database.execute("ANALYZE outbox, events")
    async with an_outbox(pools[0]).turn() as turn:
        assert turn
        connection = turn._connection  # noqa: SLF001  to ask what it would do
        plan = await connection.fetch(f"EXPLAIN {_DECLARE_OLDEST.text}", 2 * PAGE)

    lines = "\n".join(line for (line,) in plan)
    assert "Index Scan using outbox_pkey on outbox" in lines
    assert "Index Scan using events_pkey on events" in lines
    assert "Sort" not in lines


async def test_a_relay_that_is_frozen_before_it_reads_a_page_loses_its_turn(
    database: TestDatabase, pools: list[asyncpg.Pool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server gets rid of the page, and notices that it hears nothing more."""
    await many_events(database, sessions=2 * PAGE)
    silent, other = an_outbox(pools[0], A_SHORT_LEASE), an_outbox(pools[1])
    async with silent.turn() as turn:
        assert turn
        await turn.oldest(1)  # from now on the connection knows the statements

    async def other_has_its_turn() -> bool:
        async with other.turn() as another:
            return another is not None

    with pytest.raises(ConnectionLost):
        async with silent.turn() as turn:
            assert turn
            connection: Any = turn._connection  # noqa: SLF001  to freeze it amid its work
            execute = turn._rows  # noqa: SLF001  as above

            async def frozen(statement: Statement, *given: Any) -> list[asyncpg.Record]:
                if "FETCH" in statement.text:
                    connection._transport.pause_reading()  # noqa: SLF001  as above
                return await execute(statement, *given)

            monkeypatch.setattr(turn, "_rows", frozen)
            taking = asyncio.create_task(turn.oldest(2 * PAGE))
            await eventually(other_has_its_turn)
            connection._transport.resume_reading()  # noqa: SLF001  it wakes up
            await taking


async def test_a_later_event_of_a_session_waits_while_an_earlier_one_is_parked(
    database: TestDatabase, pools: list[asyncpg.Pool]
) -> None:
    session, other = await database.a_session(), await database.a_session()
    for each in (session, other):
        await an_event(database, each, 1)
    outbox = an_outbox(pools[0])
    async with outbox.turn() as turn:
        assert turn
        first, _ = await turn.oldest(10)
        await turn.park([Parked(queued=first, reason="it is too large")])
        await turn.commit()
    await an_event(database, session, 2)

    async with outbox.turn() as turn:
        assert turn
        assert [each.waits for each in await turn.oldest(10)] == [False, True]
        backlog = await turn.backlog()
    assert (backlog.pending, backlog.parked) == (2, 1)
    [parked] = await outbox.parked()
    assert (parked.session_id, parked.reason) == (session.id, "it is too large")


async def test_a_parked_event_goes_back_to_its_own_place(
    database: TestDatabase, pools: list[asyncpg.Pool]
) -> None:
    session = await database.a_session()
    first = await an_event(database, session, 1)
    outbox = an_outbox(pools[0])
    async with outbox.turn() as turn:
        assert turn
        await turn.park([Parked(queued=each, reason="full") for each in await turn.oldest(1)])
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
    await database.execute("VACUUM outbox")  # what autovacuum does as often as it was told

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
async def test_the_relay_may_do_no_more_than_it_has_to(
    database: TestDatabase, forbidden: str
) -> None:
    async with database.connection.transaction():
        await database.execute("SET LOCAL ROLE session_relay")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await database.execute(forbidden)


async def test_who_is_a_member_of_the_relays_role_and_has_not_become_it_sees_nothing(
    database: TestDatabase,
) -> None:
    await an_event(database, await database.a_session(), 1)
    connection = await asyncpg.connect(database.api_url)
    try:
        for table in ("events", "outbox"):
            assert await connection.fetchval(f"SELECT count(*) FROM {table}") == 0
        assert await connection.execute("DELETE FROM outbox") == "DELETE 0"
    finally:
        await connection.close()


async def test_the_api_sees_neither_the_queue_nor_what_is_parked(database: TestDatabase) -> None:
    for table in ("outbox", "parked_events"):
        async with database.connection.transaction():
            await database.execute("SET LOCAL ROLE session_service")
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await database.execute(f"SELECT * FROM {table}")
