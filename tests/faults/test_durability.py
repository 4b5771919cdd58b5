# SPDX-License-Identifier: MIT
"""What an acknowledged command survives, by synchronous_commit and standby.

docs/reliability.md has the table.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from service.domain.session import Session
from tests.faults.failover.world import World, connected, url_of
from tests.faults.postgres import Postgres
from tests.faults.standbys import crash, end_waits, promoted
from tests.faults.world import until
from tests.running import App, running_app, test_settings

COMMANDS = 20
HASTE = {
    "command_timeout_seconds": 1,
    "database_lock_timeout_seconds": 0.5,
    "database_statement_timeout_seconds": 1,
    "database_idle_in_transaction_timeout_seconds": 2,
}
SET_LEVEL = "ALTER ROLE {role} SET synchronous_commit = '{level}'"
WITHOUT_WAITING = "SET synchronous_commit = local"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
WAYS_OUT = {
    "terminate": (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
    ),
    "empty": ("ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"),
}


@asynccontextmanager
async def the_service(world: World, level: str, **settings: float) -> AsyncIterator[App]:
    """Whose login has this synchronous_commit."""
    cluster = world.primary.cluster
    await cluster.execute(WITHOUT_WAITING, SET_LEVEL.format(role=cluster.api_role, level=level))
    url = url_of([world.primary], cluster.api_role)
    async with running_app(test_settings(database_url=url, **settings)) as app:
        yield app


async def some_sessions(world: World, count: int = COMMANDS) -> list[Session]:
    async with connected(world.primary) as database:
        return [await database.a_session() for _ in range(count)]


async def acknowledged(app: App, sessions: Sequence[Session]) -> None:
    for session in sessions:
        assert (await app.fail(session)).status_code == 200


async def count_failed(server: Postgres) -> int:
    async with connected(server) as database:
        return int(
            await database.value("SELECT count(*) FROM sessions JOIN events ON session_id ="
            " sessions.id WHERE status = 'failed'")
        )  # fmt: skip


async def test_a_crash_of_postgresql_loses_nothing_unless_commits_are_asynchronous(
    world: World,
) -> None:
    levels = ("on", "local", "remote_write", "remote_apply")
    for done, level in enumerate(levels, start=1):
        sessions = await some_sessions(world)
        async with the_service(world, level) as app:
            await acknowledged(app, sessions)
            await crash(world.primary)
        await world.started(world.primary)

        assert await count_failed(world.primary) == done * COMMANDS, level


async def test_a_crash_of_postgresql_loses_the_last_asynchronous_commits(world: World) -> None:
    """The WAL writer would write them after `wal_writer_delay`."""
    slow_writer = {"wal_writer_delay": "10s", "autovacuum": "off"}
    await asyncio.to_thread(world.primary.stop)
    world.primary = Postgres(world.place / "primary", slow_writer)
    await world.started(world.primary)
    sessions = await some_sessions(world)
    async with the_service(world, "off") as app:
        await acknowledged(app, sessions)
        await crash(world.primary)
    await world.started(world.primary)

    assert await count_failed(world.primary) < COMMANDS


async def test_a_standby_has_what_was_acknowledged_with_remote_apply_and_remote_write(
    world: World,
) -> None:
    standby = await world.a_standby(synchronous=True)
    seen, written = await some_sessions(world), await some_sessions(world)
    async with the_service(world, "remote_apply") as app:
        for count, session in enumerate(seen, start=1):
            await acknowledged(app, [session])
            assert await count_failed(standby) == count, "it is visible at once"
    async with the_service(world, "remote_write") as app:
        await acknowledged(app, written)
        await crash(world.primary)

    assert await count_failed(await promoted(standby)) == 2 * COMMANDS


async def test_a_standby_lacks_what_was_acknowledged_with_local_while_it_was_cut_off(
    world: World,
) -> None:
    standby = await world.a_standby(synchronous=True)
    sessions = await some_sessions(world)
    world.link.change(closed=True)
    async with the_service(world, "local") as app:
        await acknowledged(app, sessions)
        await crash(world.primary)

    assert await count_failed(await promoted(standby)) == 0


@pytest.mark.parametrize(
    ("end", "key"),
    [
        ("pg_terminate_backend", None),
        ("pg_terminate_backend", "a-tap"),
        ("pg_cancel_backend", None),
    ],
    ids=["found out", "repeated with its key", "canceled"],
)
async def test_never_acknowledges_what_the_synchronous_standby_lacks(
    world: World, end: str, key: str | None
) -> None:
    standby = await world.a_standby(synchronous=True)
    [session] = await some_sessions(world, 1)
    await until(lambda: has_session(standby))
    world.link.change(closed=True)
    headers = {"Idempotency-Key": key} if key else {}
    async with the_service(world, "on", **HASTE) as app:
        first = asyncio.create_task(app.fail(session, headers=headers))
        await until(lambda: end_waits(world.primary, end, world.primary.cluster.api_role))
        statuses = [(await first).status_code]
        if key:
            statuses.append((await app.fail(session, headers=headers)).status_code)
        async with connected(world.primary) as primary:
            assert (await primary.row(session))["status"] == "failed", "committed, but here alone"
        await crash(world.primary)

    assert set(statuses) == {503}
    assert await count_failed(await promoted(standby)) == 0


@pytest.mark.parametrize(
    ("way_out", "status"), [("terminate", 503), ("empty", 200), ("reconnect", 200)]
)
async def test_a_commit_without_its_standby_keeps_a_backend_until_there_is_a_way_out(
    world: World, way_out: str, status: int
) -> None:
    """The ways out of docs/recovery.md: the answer to a repetition after each of them."""
    standby = await world.a_standby(synchronous=True)
    [session] = await some_sessions(world, 1)
    await until(lambda: has_session(standby))
    world.link.change(closed=True)
    async with the_service(world, "on", **HASTE) as app:
        headers = {"Idempotency-Key": "a-tap"}
        first = await app.fail(session, headers=headers)
        assert (first.status_code, await has_no_wait(world.primary)) == (503, False)
        if way_out == "reconnect":
            world.link.change(closed=False)
        else:
            await world.primary.cluster.execute(*WAYS_OUT[way_out])
        await until(lambda: has_no_wait(world.primary))

        assert await count_failed(world.primary) == 1
        assert (await app.fail(session, headers=headers)).status_code == status


async def has_no_wait(server: Postgres) -> bool:
    async with connected(server) as database:
        return not await database.value(WAITING)


async def has_session(server: Postgres) -> bool:
    async with connected(server) as database:
        return bool(await database.value("SELECT count(*) FROM sessions"))
