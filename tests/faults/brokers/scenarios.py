# SPDX-License-Identifier: MIT
"""The faults of three brokers. Each lasts as long as its block, and is repaired at its end."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from tests.chaos.weather import Way
from tests.faults.brokers.world import World
from tests.nats_cluster import Node

Choice = Callable[[World], Awaitable[Node]]
Fault = Callable[[World], AbstractAsyncContextManager[None]]


async def leader(world: World) -> Node:
    """The leader, which is not the node that the active relay uses."""
    node, _ = world.far_nodes()
    await world.cluster.move_leader(node)
    return node


async def follower(world: World) -> Node:
    """A follower that the active relay does not use."""
    other, node = world.far_nodes()
    await world.cluster.move_leader(other)
    return node


async def near_follower(world: World) -> Node:
    """A follower, which is the node that the active relay uses."""
    await leader(world)
    return world.near_node()


async def near_leader(world: World) -> Node:
    """The leader, which is the node that the active relay uses."""
    node = world.near_node()
    await world.cluster.move_leader(node)
    return node


@asynccontextmanager
async def nothing(_world: World) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def killed(choose: Choice, world: World) -> AsyncIterator[None]:
    node = await choose(world)
    await node.server.stop(signal.SIGKILL)
    yield
    await node.server.start()


@asynccontextmanager
async def all_killed(world: World) -> AsyncIterator[None]:
    servers = [node.server for node in world.cluster.nodes]
    await asyncio.gather(*(each.stop(signal.SIGKILL) for each in servers))
    yield
    await asyncio.gather(*(each.start() for each in servers))


@asynccontextmanager
async def partitioned(
    choose: Choice, world: World, *, ways: Collection[Way] = tuple(Way)
) -> AsyncIterator[None]:
    """The node does not reach the others, or they do not reach it; clients reach all of them."""
    with world.cluster.partitioned(await choose(world), ways=ways):
        yield


@asynccontextmanager
async def partitioned_from_clients(choose: Choice, world: World) -> AsyncIterator[None]:
    """Neither the others nor clients reach the node; connections stay open and silent."""
    node = await choose(world)
    with world.cluster.partitioned(node):
        node.front.change(stopped=set(Way))
        yield
        node.front.change()


@asynccontextmanager
async def disk_full(choose: Choice, world: World) -> AsyncIterator[None]:
    """nats-server 2.15 stores nothing after that until it is started again."""
    node = await choose(world)
    async with node.disk.full():
        yield
    await node.server.stop()
    await node.server.start()


FAULTS: dict[str, Fault] = {
    "none": nothing,
    "leader killed (-9)": partial(killed, leader),
    "follower killed (-9)": partial(killed, follower),
    "leader that the relay uses killed (-9)": partial(killed, near_leader),
    "all three killed (-9)": all_killed,
    "leader partitioned": partial(partitioned, leader),
    "leader partitioned, cannot send": partial(partitioned, leader, ways=[Way.THERE]),
    "leader partitioned, cannot hear": partial(partitioned, leader, ways=[Way.BACK]),
    "follower partitioned": partial(partitioned, follower),
    "leader that the relay uses partitioned": partial(partitioned, near_leader),
    "follower that the relay uses partitioned": partial(partitioned, near_follower),
    "follower that the relay uses partitioned, cannot send": partial(
        partitioned, near_follower, ways=[Way.THERE]
    ),
    "leader that the relay uses partitioned, also from clients": partial(
        partitioned_from_clients, near_leader
    ),
    "disk of the leader full, then restarted": partial(disk_full, leader),
    "disk of a follower full, then restarted": partial(disk_full, follower),
}
ON_SMALL_DISKS = {name for name in FAULTS if name.startswith("disk")}
"""Only root can mount a small tmpfs."""
