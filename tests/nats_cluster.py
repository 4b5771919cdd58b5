# SPDX-License-Identifier: MIT
"""Three brokers of one cluster, whose connections to each other run through links."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    AsyncExitStack,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from random import Random
from typing import Any

from nats.errors import Error as NatsError

from tests.chaos.disks import Disk
from tests.chaos.link import Link, a_link
from tests.chaos.weather import Way
from tests.nats_server import STREAM, NatsServer, Stored
from tests.running import eventually
from tests.system.processes import free_port

NODES = 3

ASK_AGAIN_SECONDS = 5
"""A cluster that has no leader may never answer: the tests ask again."""

NOT_FOR_OTHERS = "127.0.0.1:1"
"""Each broker tells others this address of itself, so that they find no way around the links."""


@dataclass
class Node:
    """`links`: each with the way of what this node sends through it; two for each other node.

    `front`: the link through which clients connect.
    """

    number: int
    server: NatsServer
    disk: Disk
    front: Link
    links: list[tuple[Link, Way]]

    @property
    def name(self) -> str:
        return name_of(self.number)


def name_of(number: int) -> str:
    return f"broker-{number}"


@dataclass
class NatsCluster:
    nodes: list[Node]

    @property
    def url(self) -> str:
        """Of all nodes, through the links."""
        return ",".join(f"nats://127.0.0.1:{node.front.place[1]}" for node in self.nodes)

    async def make_stream(self) -> None:
        async def is_made() -> bool:
            with suppress(NatsError, TimeoutError):
                await self.nodes[0].server.make_stream(num_replicas=NODES)
                return True
            return False

        await eventually(is_made)
        await self.settled()

    async def leader(self) -> Node:
        """The node that leads the stream, as another one or itself says."""
        found: list[str] = []

        async def is_known() -> bool:
            for node in self.nodes:
                with suppress(NatsError, TimeoutError, OSError, ValueError, KeyError):
                    cluster = (await _ask(node.server, "INFO"))["cluster"]
                    if leader := cluster.get("leader"):
                        found.append(leader)
                        return True
            return False

        await eventually(is_known)
        return next(node for node in self.nodes if node.name == found[-1])

    async def move_leader(self, to: Node) -> None:
        """Asks the leader to hand over, until this node leads."""

        async def leads() -> bool:
            leader = await self.leader()
            if leader is not to:
                with suppress(NatsError, TimeoutError, OSError):
                    await _ask(leader.server, "LEADER.STEPDOWN", placement={"preferred": to.name})
            return leader is to

        await self.settled()
        await eventually(leads)
        await self.settled()

    async def settled(self) -> None:
        """Waits until a leader says that all replicas are current."""

        async def is_settled() -> bool:
            with suppress(NatsError, TimeoutError, OSError, ValueError, KeyError):
                cluster = (await _ask((await self.leader()).server, "INFO"))["cluster"]
                replicas = cluster.get("replicas", [])
                return len(replicas) == NODES - 1 and all(
                    each["current"] and not each.get("offline") for each in replicas
                )
            return False

        await eventually(is_settled)

    async def stored(self) -> list[Stored]:
        """All events of the stream, in its order; reads again if the leader changes meanwhile."""
        found: list[Stored] = []

        async def is_read() -> bool:
            with suppress(NatsError, TimeoutError, OSError):
                found[:] = await (await self.leader()).server.stored()
                return True
            return False

        await eventually(is_read)
        return found

    @contextmanager
    def partitioned(self, node: Node, *, ways: Collection[Way] = tuple(Way)) -> Iterator[None]:
        """Partitions the network around the node: what it sends (THERE), hears (BACK), or both."""
        for link, sends in node.links:
            link.change(stopped={way if sends is Way.THERE else _opposite(way) for way in ways})
        try:
            yield
        finally:
            for link, _ in node.links:
                link.change()


def _opposite(way: Way) -> Way:
    return Way.BACK if way is Way.THERE else Way.THERE


async def _ask(server: NatsServer, endpoint: str, **given: Any) -> dict[str, Any]:
    """Asks JetStream about the stream; the answer as the server gives it."""
    async with server.client() as client:
        subject = f"$JS.API.STREAM.{endpoint}.{STREAM}"
        answer = await client.request(subject, json.dumps(given).encode(), timeout=1)
        found: dict[str, Any] = json.loads(answer.data)
        return found


@contextmanager
def a_place(home: Path) -> Iterator[Disk]:
    home.mkdir()
    yield Disk(home, is_small=False)


@asynccontextmanager
async def a_nats_cluster(
    place: Path,
    *,
    sync: str | None = "always",
    disk: Callable[[Path], AbstractContextManager[Disk]] = a_place,
) -> AsyncIterator[NatsCluster]:
    """`place`: an empty directory. `disk`: makes the one of each node."""
    ports = {number: free_port() for number in range(1, NODES + 1)}
    random = Random(1)  # noqa: S311  no secret
    async with AsyncExitStack() as stack:
        links = {
            (one, other): await stack.enter_async_context(
                a_link(f"{name_of(one)} to {name_of(other)}", ("127.0.0.1", ports[other]), random)
            )
            for one, other in permutations(ports, 2)
        }
        nodes = []
        for number, port in ports.items():
            home = place / name_of(number)
            own_disk = stack.enter_context(disk(home))
            routes = [link for (one, _), link in links.items() if one == number]
            settings = _settings(number, port, routes, home.with_suffix(".log"))
            server = NatsServer(
                own_disk.place, free_port(), settings, sync=sync, patience_seconds=ASK_AGAIN_SECONDS
            )
            stack.push_async_callback(server.stop)
            front = await stack.enter_async_context(
                a_link(f"clients to {name_of(number)}", ("127.0.0.1", server.port), random)
            )
            own = [
                (link, Way.THERE if pair[0] == number else Way.BACK)
                for pair, link in links.items()
                if number in pair
            ]
            nodes.append(Node(number, server, own_disk, front, own))
        await asyncio.gather(*(node.server.start() for node in nodes))
        yield NatsCluster(nodes)


def _settings(number: int, port: int, routes: Sequence[Link], log: Path) -> str:
    urls = ", ".join(f'"nats://127.0.0.1:{link.place[1]}"' for link in routes)
    return f"""
        server_name: {name_of(number)}
        log_file: "{log}"
        cluster {{
            name: gym, listen: "127.0.0.1:{port}", routes: [{urls}], no_advertise: true
            advertise: "{NOT_FOR_OTHERS}"
        }}
    """
