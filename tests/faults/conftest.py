# SPDX-License-Identifier: MIT
from collections.abc import AsyncIterator

import pytest

from tests.faults.failover.world import World, a_world


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world("none") as world:
        yield world
