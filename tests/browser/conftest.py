# SPDX-License-Identifier: MIT
"""One Chromium for all tests of a worker. Its event loop, and so theirs, is that of the session."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.chromium import PATIENCE_MS, a_browser
from tests.running import Cluster, TestDatabase, a_database


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    async with a_browser() as browser:
        yield browser


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def database(cluster: Cluster, template: str) -> AsyncIterator[TestDatabase]:
    async with a_database(cluster, template=template) as database:
        yield database
