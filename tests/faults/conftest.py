# SPDX-License-Identifier: MIT
from collections.abc import AsyncIterator

import pytest

from tests.faults.failover.world import World, a_world
from tests.standby import DATABASE

NO_WARNINGS = f"ALTER DATABASE {DATABASE} SET client_min_messages = 'error'"
"""Every login of it needs the warning of a COMMIT that was not replicated, and asks for it."""


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with a_world("none") as world:
        await world.primary.cluster.execute(NO_WARNINGS)
        yield world
