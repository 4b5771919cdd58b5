# SPDX-License-Identifier: MIT
"""A real Prometheus answers every query of dashboards and rules, on the running system."""

import asyncio
import math
import time
from collections.abc import Iterable
from contextlib import suppress

import pytest

from tests.documents.blocks import blocks
from tests.prometheus.expressions import panel_queries, rule_selectors
from tests.prometheus.load import load
from tests.prometheus.server import Prometheus
from tests.prometheus.stack import Stack, a_stack
from tests.running import eventually

RATE_INTERVAL = "4s"
STEP_SECONDS = 1

RIGHTLY_EMPTY = {
    "api: Replicas that the balancer uses (A)": "no balancer runs here",
    "events: Alerts over time (A)": "each alert of the relay waits for a minute before it fires",
}


@pytest.mark.timeout(400)  # it starts nine processes
async def test_every_query_is_answered_with_data_under_load_and_faults() -> None:
    begun = time.time()
    queries = {query.name: query.expression(RATE_INTERVAL) for query in panel_queries()}
    queries |= {line: line for each in blocks("promql") for line in each.text.splitlines()}
    async with a_stack() as stack, load(stack, lives_per_second=5):
        await eventually(stack.prometheus.has_read_all)
        await _the_database_fails_and_comes_back(stack)
        await _the_broker_stands_still_and_goes_on(stack)

        empty = set(queries)

        async def all_have_data() -> bool:
            nonlocal empty
            empty = await _without_data(stack.prometheus, queries, begun)
            return empty == set(RIGHTLY_EMPTY)

        with suppress(AssertionError):  # the next assertion says which have none
            await eventually(all_have_data, tries=300)
        assert empty == set(RIGHTLY_EMPTY)
        assert await _without_series(stack.prometheus, rule_selectors(), begun) == []


async def _the_database_fails_and_comes_back(stack: Stack) -> None:
    await asyncio.to_thread(stack.postgres.stop)
    await _holds(stack, 'sum(rate(training_http_requests_total{status="503"}[4s])) > 0')
    await asyncio.to_thread(stack.postgres.start)
    await _holds(stack, "sum(training_ready) == count(up)")


async def _the_broker_stands_still_and_goes_on(stack: Stack) -> None:
    await stack.nats.freeze()
    await _holds(stack, "time() - max(training_relay_oldest_event_timestamp_seconds) > 2")
    stack.nats.thaw()
    await _holds(stack, "sum(rate(training_relay_published_events_total[4s])) > 0")


async def _holds(stack: Stack, condition: str) -> None:
    async def holds() -> bool:
        return bool(await stack.prometheus.query(condition))

    await eventually(holds)


async def _without_data(prometheus: Prometheus, queries: dict[str, str], begun: float) -> set[str]:
    """The names of the queries that gave no number at any time since `begun`."""
    return {
        name
        for name, expression in queries.items()
        if not await _numbers(prometheus, expression, begun)
    }


async def _without_series(
    prometheus: Prometheus, selectors: Iterable[str], begun: float
) -> list[str]:
    return [each for each in selectors if not await _numbers(prometheus, each, begun)]


async def _numbers(prometheus: Prometheus, expression: str, begun: float) -> bool:
    answer = await prometheus.query_range(expression, begun, time.time(), STEP_SECONDS)
    return any(math.isfinite(float(value)) for series in answer for _, value in series["values"])
