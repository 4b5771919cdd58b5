# SPDX-License-Identifier: MIT
"""The faults. Each function causes one and repairs it; users send requests all the time."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import monotonic

from service.relay.delivery import ATOMIC_MIN
from tests.faults.world import World, until
from tests.freezing import freeze
from tests.system.processes import Process

Fault = Callable[[World], Awaitable[None]]

OUTAGE_SECONDS = 2.0
SMALL_TURNS = {"relay_batch_size": str(ATOMIC_MIN - 1), "relay_publishes_in_flight": "8"}
"""Events go one by one, and a relay is in the middle of a turn at nearly every moment."""

ACTIVE = '"state": "active"'
STANDBY = '"state": "standby"'
BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


async def nothing(world: World) -> None:
    await _relay_at_work(world)


def relay_killed(times: int) -> Fault:
    """Kills the only relay (-9) at random moments, and starts the next one at once."""

    async def fault(world: World) -> None:
        world.load.begin()
        for _ in range(times):
            relay = await world.start_relay(**SMALL_TURNS)
            await relay.line(ACTIVE)
            await asyncio.sleep(world.random.uniform(0, 0.4))
            relay.signal(signal.SIGKILL)
            await relay.end()
        await world.start_relay()

    return fault


async def active_relay_killed(world: World) -> None:
    """Kills the active relay (-9); a standby takes over."""
    active, standby = await _two_relays(world)
    await world.reached(0.4)
    world.healed = monotonic()
    active.signal(signal.SIGKILL)
    await standby.line(ACTIVE)


async def active_relay_frozen(world: World) -> None:
    """Stops the active relay during its turn, and lets it go on after a standby took over."""
    active, standby = await _two_relays(world)
    await world.reached(0.3)
    await _freeze_in_turn(world, active)
    world.healed = monotonic()
    await standby.line(ACTIVE)
    await world.reached(0.6)
    active.signal(signal.SIGCONT)
    await world.reached(0.8)


def broker_away(number: signal.Signals) -> Fault:
    async def fault(world: World) -> None:
        await _relay_at_work(world)
        await world.broker.stop(number)
        await asyncio.sleep(OUTAGE_SECONDS)
        await world.broker.start()

    return fault


async def broker_frozen(world: World) -> None:
    """Freezes the broker for longer than the time limit of an acknowledgement."""
    await _relay_at_work(world, nats_timeout_seconds="1")
    await world.broker.freeze()
    await asyncio.sleep(OUTAGE_SECONDS)
    world.broker.thaw()


async def stream_full(world: World) -> None:
    await _relay_at_work(world)
    await world.broker.update_stream(max_msgs=await world.broker.count() + 10)
    await asyncio.sleep(OUTAGE_SECONDS)
    await world.broker.update_stream(max_msgs=-1)


async def stream_deleted(world: World) -> None:
    """Deletes the stream with its events, creates it again, and replays the history first."""
    await _relay_at_work(world)
    await world.broker.delete_stream()
    await asyncio.sleep(OUTAGE_SECONDS)
    replay = await world.command("--ensure-stream", "--replay", "--since", BEGINNING.isoformat())
    assert replay.code == 0, replay


async def database_crashed(world: World) -> None:
    assert world.postgres
    await _relay_at_work(world)
    await asyncio.to_thread(world.postgres.crash)
    await asyncio.sleep(OUTAGE_SECONDS)
    await asyncio.to_thread(world.postgres.start)


async def _relay_at_work(world: World, **settings: str) -> None:
    relay = await world.start_relay(**settings)
    await relay.line(ACTIVE)
    world.load.begin()
    await world.reached(0.3)


async def _two_relays(world: World) -> tuple[Process, Process]:
    active = await world.start_relay(**SMALL_TURNS)
    await active.line(ACTIVE)
    standby = await world.start_relay(**SMALL_TURNS)
    await standby.line(STANDBY)
    world.load.begin()
    return active, standby


async def _freeze_in_turn(world: World, relay: Process) -> None:
    """Freezes the relay while it waits for a frozen broker, which answers only afterwards."""
    await world.broker.freeze()
    await until(world.turn_is_taken)
    await freeze(relay.running.pid)
    world.broker.thaw()


SHORT: dict[str, Fault] = {
    "none": nothing,
    "relay killed (-9) 2 times": relay_killed(2),
    "active of two relays killed (-9)": active_relay_killed,
    "active of two relays frozen in its turn, then woken": active_relay_frozen,
    "broker stopped and started": broker_away(signal.SIGTERM),
    "broker frozen": broker_frozen,
    "stream full": stream_full,
    "stream deleted, made again, history replayed": stream_deleted,
    "PostgreSQL crashed and started": database_crashed,
}

LONG: dict[str, Fault] = {
    **{name: fault for name, fault in SHORT.items() if "2 times" not in name},
    "relay killed (-9) 20 times": relay_killed(20),
    "broker killed (-9) and started": broker_away(signal.SIGKILL),
}
