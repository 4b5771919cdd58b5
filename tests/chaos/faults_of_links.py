# SPDX-License-Identifier: MIT
"""Faults of the network between two parts. Each lasts as long as the block."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from random import Random

from tests.chaos.installation import Installation
from tests.chaos.link import Link
from tests.chaos.nemesis import NotCaused
from tests.chaos.weather import Way
from tests.group_commit.proxy import Cut

CUTS = 5


@asynccontextmanager
async def _weather(link: Link, **weather: object) -> AsyncIterator[None]:
    link.change(**weather)
    try:
        yield
    finally:
        link.change()


@asynccontextmanager
async def slow(link: Link, _all: Installation, _random: Random) -> AsyncIterator[None]:
    async with _weather(link, delay=0.2):
        yield


@asynccontextmanager
async def lossy(link: Link, _all: Installation, _random: Random) -> AsyncIterator[None]:
    async with _weather(link, loss=0.1):
        yield


@asynccontextmanager
async def parted(link: Link, _all: Installation, _random: Random) -> AsyncIterator[None]:
    """What was sent arrives when the partition is over, as TCP sends it again."""
    async with _weather(link, stopped=set(Way)):
        yield


@asynccontextmanager
async def parted_one_way(link: Link, _all: Installation, random: Random) -> AsyncIterator[None]:
    async with _weather(link, stopped={random.choice(list(Way))}):
        yield


@asynccontextmanager
async def half_open(link: Link, _all: Installation, _random: Random) -> AsyncIterator[None]:
    """The connections of this moment stay silent for ever; new ones work."""
    link.vanish()
    yield


@asynccontextmanager
async def refused(link: Link, _all: Installation, _random: Random) -> AsyncIterator[None]:
    async with _weather(link, closed=True):
        yield


@asynccontextmanager
async def cut_at_commit(
    links: Sequence[Link], cut: Cut, _all: Installation, _random: Random
) -> AsyncIterator[None]:
    """The next COMMITs that pass through each link meet this. Raises NotCaused if none passed."""
    for link in links:
        link.cuts.extend([cut] * CUTS)
    try:
        yield
        is_cut = any(len(link.cuts) < CUTS for link in links)
    finally:
        for link in links:
            link.cuts.clear()
    if not is_cut:
        raise NotCaused
