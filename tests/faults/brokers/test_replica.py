# SPDX-License-Identifier: MIT
"""A flipped bit in one of three replicas: found while its broker leads; mended by a new copy."""

import shutil
from pathlib import Path
from random import Random

import pytest

from tests.faults.brokers.blocks import flips_of_block
from tests.nats_cluster import NatsCluster, Node, a_nats_cluster
from tests.nats_server import STREAM
from tests.relay.conftest import is_empty
from tests.relay.queue import many_events
from tests.running import TestDatabase, eventually
from tests.system.processes import finished, started


@pytest.mark.timeout(400)
async def test_an_empty_broker_copies_what_a_flipped_bit_took_from_its_replica(
    database: TestDatabase, tmp_path: Path
) -> None:
    async with a_nats_cluster(tmp_path) as cluster:
        await cluster.make_stream()
        environment = {
            "SERVICE_DATABASE_URL": database.relay_url,
            "SERVICE_NATS_URL": cluster.url,
            "SERVICE_NATS_STREAM_REPLICAS": "3",
        }
        await many_events(database, sessions=20, each=3)
        async with started("relay", environment=environment):
            await eventually(lambda: is_empty(database))

        async def audits() -> list[int]:
            return [await _audit(cluster, node, environment) for node in cluster.nodes]

        damaged = cluster.nodes[1]
        await damaged.server.stop()
        _flip_a_payload(damaged)
        await damaged.server.start()
        assert await audits() == [0, 1, 0]

        await damaged.server.stop()
        shutil.rmtree(damaged.server.home / "store")
        await damaged.server.start()
        assert await audits() == [0, 0, 0]


def _flip_a_payload(node: Node) -> None:
    [block] = node.server.home.rglob(f"{STREAM}/msgs/*.blk")
    flips = flips_of_block(block.name, block.read_bytes(), Random(1))  # noqa: S311  no secret
    next(each for each in flips if each.field == "payload, middle record").make(block.parent)


async def _audit(cluster: NatsCluster, leader: Node, environment: dict[str, str]) -> int:
    """The exit code of an audit while this broker leads."""
    await cluster.move_leader(leader)
    return (await finished("relay", "--audit", environment=environment)).code
