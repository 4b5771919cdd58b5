# SPDX-License-Identifier: MIT
import pytest

from tests.unit.in_memory import InMemoryDatabase


@pytest.fixture
async def database() -> InMemoryDatabase:
    return InMemoryDatabase()
