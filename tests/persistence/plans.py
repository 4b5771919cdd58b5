# SPDX-License-Identifier: MIT
"""The plans of the statements that an engine executes, as PostgreSQL reports them."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.running import TestDatabase, an_engine

REPORT_PLANS = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_buffers": "on",
    "auto_explain.log_nested_statements": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_level": "warning",
}

Plan = dict[str, Any]


async def report_plans(database: TestDatabase) -> None:
    """On every connection that is opened from now on."""
    for name, value in REPORT_PLANS.items():
        await database.execute(f"ALTER DATABASE {database.name} SET {name} = '{value}'")


def collect_plans(engine: AsyncEngine) -> list[Plan]:
    """Every plan that the server reports is appended to this list."""
    plans: list[Plan] = []

    def listen(_connection: Any, message: Any) -> None:
        plans.append(json.loads(message.message.partition("plan:\n")[2])["Plan"])

    @event.listens_for(engine.sync_engine, "connect")
    def watch(connection: Any, _record: object) -> None:
        connection.driver_connection.add_log_listener(listen)

    return plans


@asynccontextmanager
async def an_explained_engine(
    database: TestDatabase, size: int
) -> AsyncIterator[tuple[AsyncEngine, list[Plan]]]:
    await report_plans(database)
    async with an_engine(database.api_url, size) as engine:
        yield engine, collect_plans(engine)


def executed_nodes(plan: Plan) -> Iterator[Plan]:
    """The nodes that were executed: a plan may name partitions that it never reads."""
    if plan["Actual Loops"]:
        yield plan
    for child in plan.get("Plans", []):
        yield from executed_nodes(child)


def scans(plans: list[Plan]) -> list[Plan]:
    """The executed scans of tables, those of foreign keys included, catalogues left out."""
    return [
        node
        for plan in plans
        for node in executed_nodes(plan)
        if "Scan" in node["Node Type"] and not node.get("Relation Name", "pg_").startswith("pg_")
    ]
