# SPDX-License-Identifier: MIT
"""The spans of groups and transactions, and their links with the spans of requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from opentelemetry.trace import SpanKind

from service.domain.session import Session
from tests.builders import a_session
from tests.running import App, TestDatabase, eventually
from tests.system.processes import LONG_TIME_LIMITS
from tests.tracing.conftest import StartApp
from tests.tracing.spans import (
    CALLER,
    TRACEPARENT,
    Spans,
    attributes_of,
    id_of,
    links_of,
    parent_of,
    trace_of,
)

SAMPLED = {"traceparent": TRACEPARENT}
UNSAMPLED = {"traceparent": TRACEPARENT[:-2] + "00"}

BOTH_KINDS = pytest.mark.parametrize("method", ["POST", "GET"], ids=["commands", "reads"])


@pytest.fixture
async def patient(start_app: StartApp) -> App:
    return await start_app(**LONG_TIME_LIMITS)


async def send(
    app: App, session: Session, method: str, headers: dict[str, str] | None = None
) -> None:
    fails = method == "POST"
    response = await (app.fail if fails else app.get)(session, headers=headers)
    assert response.status_code == 200


@asynccontextmanager
async def a_busy_slot(
    app: App, database: TestDatabase, spans: Spans, method: str
) -> AsyncIterator[None]:
    """The slot is taken by a request of its own; all others of the block leave together."""
    other, first = await database.connect(), await database.a_session()
    async with asyncio.TaskGroup() as tasks, other.transaction():
        await other.execute("LOCK TABLE sessions")
        tasks.create_task(send(app, first, method, {"traceparent": TRACEPARENT}))
        await spans.begun(1)
        yield
    await other.close()


async def test_a_lone_command_has_its_group_and_transaction_in_its_own_trace(
    app: App, database: TestDatabase, spans: Spans
) -> None:
    await app.fail(await database.a_session())

    [request] = await spans.ended("POST")
    [group], [transaction] = await spans.ended("group"), spans.named("transaction")
    assert {trace_of(each) for each in spans.named()} == {trace_of(request)}
    assert parent_of(group) == id_of(request)
    assert parent_of(transaction) == id_of(group)
    assert links_of(group) == [id_of(request)]
    assert links_of(request) == [id_of(group)]
    assert transaction.kind is SpanKind.CLIENT
    assert attributes_of(transaction) == {"db.system.name": "postgresql"}
    assert attributes_of(group) == {"training.group.size": 1, "training.group.to_retry": 0}


@pytest.mark.parametrize("path", ["/sessions", f"/sessions/{UUID(int=1)}/events"])
async def test_a_list_has_its_group_and_transaction_in_its_own_trace(
    app: App, spans: Spans, path: str
) -> None:
    await app.call(uuid4(), "GET", path)

    [request] = await spans.ended("GET")
    [group], [transaction] = await spans.ended("group"), spans.named("transaction")
    assert parent_of(group) == id_of(request)
    assert parent_of(transaction) == id_of(group)
    assert links_of(group) == [id_of(request)]


@BOTH_KINDS
async def test_a_group_is_linked_with_the_spans_of_its_requests(
    patient: App, database: TestDatabase, spans: Spans, method: str
) -> None:
    sessions = [a_session() for _ in range(5)]
    await database.insert(*sessions)
    async with asyncio.TaskGroup() as tasks, a_busy_slot(patient, database, spans, method):
        for session in sessions:
            tasks.create_task(send(patient, session, method))
        await spans.begun(6)

    first, *requests = await spans.ended(method, 6)
    lone, group = await spans.ended("group", 2)
    assert links_of(lone) == [id_of(first)]
    assert attributes_of(group)["training.group.size"] == 5
    assert sorted(links_of(group)) == sorted(id_of(each) for each in requests)
    assert {*map(tuple, map(links_of, requests))} == {(id_of(group),)}
    assert len({trace_of(each) for each in requests}) == 5
    assert parent_of(group) == links_of(group)[0]
    assert [parent_of(each) for each in spans.named("transaction")] == [id_of(lone), id_of(group)]
    for link in group.links:
        assert dict(link.attributes or {})["training.retried"] is False


@BOTH_KINDS
async def test_a_group_is_not_linked_with_requests_that_are_not_recorded(
    patient: App, database: TestDatabase, spans: Spans, method: str
) -> None:
    recorded, *others = sessions = [a_session() for _ in range(3)]
    await database.insert(*sessions)
    async with asyncio.TaskGroup() as tasks, a_busy_slot(patient, database, spans, method):
        for session in others:
            tasks.create_task(send(patient, session, method, UNSAMPLED))
        tasks.create_task(send(patient, recorded, method, SAMPLED))
        await spans.begun(4)

    requests = await spans.ended(method, 2)
    _, group = await spans.ended("group", 2)
    assert parent_of(requests[-1]) == CALLER
    assert links_of(group) == [id_of(requests[-1])]
    assert attributes_of(group)["training.group.size"] == 3


@BOTH_KINDS
async def test_a_group_without_a_recorded_request_has_no_spans(
    patient: App, database: TestDatabase, spans: Spans, method: str
) -> None:
    """Also if the task of the group was begun on behalf of a recorded one."""
    session = await database.a_session()
    async with asyncio.TaskGroup() as tasks, a_busy_slot(patient, database, spans, method):
        tasks.create_task(send(patient, session, method, UNSAMPLED))
        await spans.begun(2)

    for name in (method, "group", "transaction"):
        assert len(await spans.ended(name)) == 1


async def test_each_retry_of_a_command_is_a_group_that_is_linked_with_it(
    app: App, database: TestDatabase, spans: Spans
) -> None:
    session, other = await database.a_session(), await database.connect()
    async with asyncio.TaskGroup() as tasks, other.transaction():
        await other.fetch("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session.id)
        tasks.create_task(send(app, session, "POST"))

        async def was_retried() -> bool:
            return len(spans.named("group")) > 1

        await eventually(was_retried)
    await other.close()

    [request] = await spans.ended("POST")
    groups = spans.named("group")
    assert links_of(request) == [id_of(each) for each in groups]
    retried = [dict(each.links[0].attributes or {})["training.retried"] for each in groups]
    assert retried == [False] + [True] * (len(groups) - 1)
    left = [attributes_of(each)["training.group.to_retry"] for each in groups]
    assert left == [1] * (len(groups) - 1) + [0]
