# SPDX-License-Identifier: MIT
"""The short form of `python -m tests.faults.brokers`: a few faults, flips and power cuts."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartApp
from tests.faults.brokers.durability import CASES, survive
from tests.faults.brokers.flips import a_damaged_broker
from tests.faults.brokers.power import can_cut_power
from tests.faults.brokers.run import run
from tests.faults.brokers.scenarios import FAULTS, ON_SMALL_DISKS
from tests.faults.brokers.world import a_world
from tests.running import TestDatabase
from tests.system.processes import a_public_directory

SHORT = (
    "leader killed (-9)",
    "follower that the relay uses partitioned",
    *sorted(ON_SMALL_DISKS)[:1],
)
POWER_CUTS = [name for name in CASES if name.startswith("power cut") and "always" in name]

needs_disks = pytest.mark.skipif(not can_cut_power(), reason="only root can mount a small disk")


@pytest.fixture
def place() -> Iterator[Path]:
    with a_public_directory(on_disk=True) as place:
        yield place


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs_disks if name in ON_SMALL_DISKS else ()) for name in SHORT],
)
async def test_every_event_arrives_once_and_in_order(
    database: TestDatabase, start_app: StartApp, place: Path, name: str
) -> None:
    async with a_world(database, await start_app(), place) as world:
        found = await run(FAULTS[name], world, users=3, seconds=4)

    assert found.is_clean, found
    assert found.events > 0


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "field",
    [
        "payload, middle record",
        "length, middle record",
        "length of the headers, middle record",
        "index.db",
        "meta.inf",
    ],
)
async def test_every_loss_by_a_flipped_bit_is_found_and_mended(
    database: TestDatabase, place: Path, field: str
) -> None:
    async with a_damaged_broker(database, place) as broker:
        flip = next(each for each in broker.flips(seed=1) if each.field == field)
        harm = await broker.harm(flip)

    assert harm.is_mended, harm


@needs_disks
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", POWER_CUTS)
async def test_a_power_cut_loses_nothing_with_sync_interval_always(
    database: TestDatabase, place: Path, name: str
) -> None:
    survived = await survive(CASES[name], database, place)

    assert (survived.lost, survived.is_mended) == (0, True), survived.words


@needs_disks
@pytest.mark.timeout(400)
async def test_a_power_cut_loses_messages_by_default_and_a_replay_brings_them_back(
    database: TestDatabase, place: Path
) -> None:
    survived = await survive(CASES["power cut, 1 of sync_interval default"], database, place)

    assert survived.lost
    assert survived.is_mended, survived.words
