# SPDX-License-Identifier: MIT
"""The app that ships, traced into the memory of the test."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from tests.running import App, TestDatabase, running_app, test_settings
from tests.tracing.spans import Spans

StartApp = Callable[..., Awaitable[App]]


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
async def start_app(database: TestDatabase, spans: Spans) -> AsyncIterator[StartApp]:
    async with AsyncExitStack() as stack:

        async def start(**overrides: Any) -> App:
            settings = test_settings(**{"database_url": database.api_url} | overrides)
            app = running_app(settings, tracer_provider=spans.provider)
            return await stack.enter_async_context(app)

        yield start
