# SPDX-License-Identifier: MIT
"""What a failover leaves of the work of an operator's commands, and of the relay.

An operator ends the waits for a standby that is cut off, so that what was committed is visible, but
on the primary alone.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest

from tests.faults.failover.world import World, connected, is_empty, is_synchronous, url_of
from tests.faults.postgres import Postgres
from tests.faults.standbys import crash, end_waits, promoted
from tests.faults.world import until
from tests.relay.queue import an_event
from tests.running import a_connection
from tests.standby import DATABASE
from tests.system.processes import Finished, finished, started

ENDS = ["pg_cancel_backend", "pg_terminate_backend"]
VISIBLE_AT_ONCE = "SET synchronous_commit = remote_apply"
NEW_DATABASE = "gym_of_the_south"
PARK = "INSERT INTO parked_events SELECT position, user_id, event_id, NULL, 'too large', now()"
GROW_OLD = """
    UPDATE events SET occurred_at = occurred_at - interval '40 days', idempotency_key = 'a-tap',
        command_fingerprint = '\\x00', session_snapshot = '{}'
"""
TOO_LONG = {"reason": "a knee that hurts " * 100}
USER = UUID("0f01e02b-5d6e-4d54-8b9d-4b9810d3356a")


@dataclass(frozen=True)
class OperatorCommand:
    """`is_done`: what the database says when the command has had its effect."""

    line: str
    login: Callable[[World], str]
    is_done: str
    database: str = DATABASE

    async def run(self, world: World) -> Finished:
        url = url_of([world.primary], self.login(world)).replace(DATABASE, self.database)
        environment = {"SERVICE_DATABASE_URL": url, "SERVICE_NATS_URL": world.broker.url}
        return await finished(*self.line.split(), environment=environment)

    async def run_while_waits_end(self, world: World, end: str) -> Finished:
        running = asyncio.create_task(self.run(world))

        async def has_ended() -> bool:
            await end_waits(world.primary, end, self.login(world))
            return running.done()

        await until(has_ended)
        return await running

    async def has_happened(self, server: Postgres) -> bool:
        async with a_connection(server.cluster.url(self.database)) as connection:
            return bool(await connection.fetchval(f"SELECT {self.is_done}"))


COMMANDS = [
    OperatorCommand(
        f"erase --yes --user {USER}",
        lambda world: world.primary.cluster.eraser_role,
        f"NOT EXISTS (SELECT FROM sessions WHERE user_id = '{USER}')",
    ),
    OperatorCommand(
        "prune --keys-older-than 30d",
        lambda world: world.primary.cluster.eraser_role,
        "NOT EXISTS (SELECT FROM events WHERE idempotency_key IS NOT NULL)",
    ),
    OperatorCommand(
        "relay --retry-parked",
        lambda world: world.primary.cluster.relay_role,
        "NOT EXISTS (SELECT FROM parked_events)",
    ),
    OperatorCommand(
        "migrate",
        lambda _: "postgres",
        "to_regclass('alembic_version') IS NOT NULL",
        NEW_DATABASE,
    ),
]


@pytest.mark.parametrize("end", ENDS)
async def test_a_command_succeeds_only_if_the_synchronous_standby_has_what_it_did(
    world: World, end: str
) -> None:
    standby = await world.a_standby(synchronous=True)
    await prepare_work(world)
    world.link.change(closed=True)
    for command in COMMANDS:
        while not await command.has_happened(world.primary):
            assert (await command.run_while_waits_end(world, end)).code == 1, command.line
        # Finds nothing left to do, and still does not know that the standby has it.
        again = await command.run_while_waits_end(world, end)

        assert not await command.has_happened(standby)
        assert again.code == 1, command.line
        assert "The result of COMMIT is not known" in again.err

    world.link.change()
    await until(lambda: is_synchronous(world.primary))
    for command in COMMANDS:
        assert (await command.run(world)).code == 0, command.line
    await crash(world.primary)

    await promoted(standby)
    assert all([await command.has_happened(standby) for command in COMMANDS])


async def prepare_work(world: World) -> None:
    await world.primary.cluster.create_database(NEW_DATABASE)
    async with connected(world.primary) as database:
        await database.execute(VISIBLE_AT_ONCE)
        for user in ({"user_id": USER}, {}):
            await an_event(database, await database.a_session(**user), 1)
        await database.execute("DELETE FROM outbox")
        await database.execute(GROW_OLD)
        await an_event(database, await database.a_session(), 1)
        await database.execute(f"{PARK} FROM outbox")
        await database.execute("DELETE FROM outbox")


@pytest.mark.parametrize("end", ENDS)
async def test_the_relay_does_again_what_the_promoted_standby_does_not_know(
    world: World, end: str
) -> None:
    standby = await world.a_standby(synchronous=True)
    await world.broker.update_stream(max_msg_size=1000)
    async with connected(world.primary) as database:
        await database.execute(VISIBLE_AT_ONCE)
        published = await an_event(database, await database.a_session(), 1)
        parked = await an_event(database, await database.a_session(), 1, data=TOO_LONG)
    world.link.change(closed=True)
    async with started("relay", environment=world.relay_environment()):
        await until(lambda: is_settled(world.primary, end))
    await crash(world.primary)

    await promoted(standby)
    async with connected(standby) as database:
        assert await database.outbox() == [published, parked], "as if no relay had run"
        async with started("relay", environment=world.relay_environment(standby)):
            await until(lambda: is_empty(database))
        assert await database.value("SELECT event_id FROM parked_events") == parked
    assert [message.id for message in await world.broker.stored()] == [str(published)]


async def is_settled(primary: Postgres, end: str) -> bool:
    """Has the relay removed and parked what it took, while waits are ended?"""
    await end_waits(primary, end, primary.cluster.relay_role)
    async with connected(primary) as database:
        return await is_empty(database)
