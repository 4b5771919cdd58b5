# SPDX-License-Identifier: MIT
"""The metrics of the API, scraped from `serve` and parsed, after requests that are known."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.builders import a_session, bearer
from tests.group_commit.proxy import Cut, a_proxy
from tests.http.issuer import an_es256_key, an_issuer, break_off
from tests.observability.scraping import Metrics, Scrape
from tests.running import App, TestDatabase
from tests.system.processes import LONG_TIME_LIMITS, a_service

Running = tuple[App, Metrics]

SHORT_TIME_LIMITS = {
    "database_lock_timeout_seconds": "0.5",
    "database_statement_timeout_seconds": "1",
    "database_idle_in_transaction_timeout_seconds": "1.5",
}
REQUESTS = "training_http_requests_total"
DURATIONS = "training_http_request_duration_seconds_count"


@pytest.fixture
async def running(database: TestDatabase) -> AsyncIterator[Running]:
    async with a_service(database.api_url, metrics_port="0") as (process, app):
        yield app, await Metrics.of(process)


async def test_counts_every_request_with_its_route_status_and_code(
    running: Running, database: TestDatabase
) -> None:
    app, metrics = running
    session = await database.a_session()
    assert (await app.fail(session)).status_code == 200
    assert (await app.fail(session)).status_code == 409
    assert (await app.get(session)).status_code == 200
    assert (await app.client.get(f"/sessions/{session.id}")).status_code == 401
    assert (await app.client.get("/nowhere/at/all")).status_code == 404
    assert (await app.client.delete("/sessions")).status_code == 405
    assert (await app.client.request("PROPFIND", "/livez")).status_code == 405

    seen = await metrics.until(lambda scrape: sum(scrape.samples[REQUESTS].values()) >= 7)

    session_route, fail_route = "/sessions/{session_id}", "/sessions/{session_id}/fail"
    expected = {
        ("POST", fail_route, "200", ""): 1,
        ("POST", fail_route, "409", "INVALID_STATUS"): 1,
        ("GET", session_route, "200", ""): 1,
        ("GET", session_route, "401", "UNAUTHENTICATED"): 1,
        ("GET", "(unknown)", "404", "NOT_FOUND"): 1,
        ("DELETE", "/sessions", "405", "METHOD_NOT_ALLOWED"): 1,
        ("(other)", "/livez", "405", "METHOD_NOT_ALLOWED"): 1,
    }
    assert seen.by(REQUESTS, "method", "route", "status", "code") == expected
    assert seen.by(DURATIONS, "method", "route", "status") == {key[:3]: 1 for key in expected}
    checks = seen.by("training_token_checks_total", "outcome")
    assert checks.pop("refused") == 1
    assert sum(checks.values()) == 3


async def test_counts_groups_and_transitions_but_no_replay(running: Running) -> None:
    app, metrics = running
    user_id = uuid4()
    key = {"Idempotency-Key": "tap-1"}
    for replayed in ("false", "true"):
        planned = await app.call(user_id, "POST", "/sessions", json={}, headers=key)
        assert planned.headers.get("Idempotent-Replayed", "false") == replayed
    path = planned.headers["Location"]
    await app.call(user_id, "POST", f"{path}/start")
    await app.call(user_id, "POST", f"{path}/complete", json={"sets": [12, 10]})
    await app.call(user_id, "POST", "/sessions", json={"startNow": True})
    await app.call(user_id, "GET", path)

    groups = {"commands": 5, "reads": 1}
    seen = await metrics.until(
        lambda scrape: (
            sum(scrape.samples[REQUESTS].values()) >= 6
            and scrape.by("training_group_size_sum", "kind") == groups
        )
    )

    assert seen.by("training_session_transitions_total", "transition") == {
        "planned": 2, "started": 2, "completed": 1,
    }  # fmt: skip
    for name in ("group_duration_seconds", "group_size", "queue_wait_seconds"):
        assert seen.by(f"training_{name}_count", "kind") == groups


async def test_tells_its_state(running: Running) -> None:
    _, metrics = running

    seen = await metrics.until(lambda scrape: scrape("training_ready"))

    assert seen("training_workers") == seen("training_worker_starts_total") == 1
    assert seen.by("training_queue_limit", "kind") == {"commands": 5000, "reads": 5000}
    assert seen.by("training_queue_length", "kind") == {}
    assert seen("training_database_connections_limit") == 10
    assert seen("training_database_connections", state="idle") == 1
    assert seen("training_database_connection_waiters") == 0
    assert seen("process_resident_memory_bytes") > 2**20
    assert 0 < seen("process_start_time_seconds") <= time.time()
    assert len(seen.samples["training_build_info"]) == len(seen.samples["python_info"]) == 1
    assert "training_jwks_fetched_timestamp_seconds" not in seen.samples


async def test_counts_skips_and_retries_of_a_command_whose_session_is_locked(
    database: TestDatabase,
) -> None:
    session = await database.a_session()
    async with a_service(database.api_url, metrics_port="0", **LONG_TIME_LIMITS) as (process, app):
        metrics = await Metrics.of(process)
        other = await database.connect()
        async with other.transaction():
            await other.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session.id)
            waiting = asyncio.create_task(app.fail(session))
            held = await metrics.until(lambda scrape: scrape("training_skipped_commands_total") > 1)
        await other.close()
        assert (await waiting).status_code == 200

        assert held("training_queue_length", kind="commands") == 1
        seen = await metrics.until(lambda scrape: scrape.by(REQUESTS, *LABELS))
        skipped = seen("training_skipped_commands_total")
        assert seen.by("training_retries_total", "kind") == {"commands": skipped}
        assert seen.by("training_queue_wait_seconds_count", "kind") == {"commands": 1}
        assert seen.by("training_session_transitions_total", "transition") == {"failed": 1}


LABELS = "method", "route", "status", "code"


@pytest.mark.parametrize(
    ("cut", "resolution"),
    [(Cut.AFTER_EXECUTION, "committed"), (Cut.BEFORE_COMMIT, "rolled_back")],
)
async def test_counts_an_uncertain_commit_by_what_became_of_it(
    database: TestDatabase, cut: Cut, resolution: str
) -> None:
    session = await database.a_session()
    async with (
        a_proxy(database.api_url) as proxy,
        a_service(proxy.url, metrics_port="0") as (process, app),
    ):
        proxy.cuts = [cut]
        assert (await app.fail(session)).status_code == 200

        seen = await (await Metrics.of(process)).until(_is_settled)

    assert seen.by("training_uncertain_commits_total", "resolution") == {resolution: 1}
    assert seen.by("training_session_transitions_total", "transition") == {"failed": 1}


async def test_counts_an_uncertain_commit_that_nobody_can_resolve(database: TestDatabase) -> None:
    session = await database.a_session()
    async with (
        a_proxy(database.api_url) as proxy,
        a_service(
            proxy.url, metrics_port="0", command_timeout_seconds="0.1", **SHORT_TIME_LIMITS
        ) as (process, app),
    ):
        metrics = await Metrics.of(process)
        proxy.cuts = [Cut.BEFORE_COMMIT] * 1000
        assert (await app.fail(session)).status_code == 503

        seen = await metrics.until(_is_settled)

    assert seen.by("training_uncertain_commits_total", "resolution") == {"unresolved": 1}
    assert seen.by("training_session_transitions_total", "transition") == {}


def _is_settled(scrape: Scrape) -> bool:
    return bool(scrape.by("training_uncertain_commits_total", "resolution"))


async def test_tells_when_the_key_set_was_fetched_and_what_could_not_be_checked(
    database: TestDatabase,
) -> None:
    key = an_es256_key("autumn")
    session = a_session()
    async with (
        an_issuer(key) as issuer,
        a_service(database.api_url, metrics_port="0", jwks_url=issuer.url) as (process, app),
    ):
        metrics = await Metrics.of(process)
        never = await metrics.scrape()
        before = time.time()
        path = f"/sessions/{session.id}"
        answers = [await app.client.get(path, headers=bearer(key.token()))]
        issuer.answer = break_off
        unknown = an_es256_key("winter").token()
        answers.append(await app.client.get(path, headers=bearer(unknown)))

        assert [each.status_code for each in answers] == [404, 503]
        seen = await metrics.until(lambda scrape: len(scrape.by(REQUESTS, *LABELS)) == 2)

    assert never("training_jwks_fetched_timestamp_seconds") == 0
    assert before <= seen("training_jwks_fetched_timestamp_seconds") <= time.time()
    assert seen.by("training_jwks_fetches_total", "outcome") == {"ok": 1, "failed": 1}
    assert seen.by("training_token_checks_total", "outcome") == {"verified": 1, "unavailable": 1}


async def test_is_not_ready_during_the_shutdown_notice(database: TestDatabase) -> None:
    async with a_service(database.api_url, metrics_port="0", shutdown_notice_seconds="3600") as (
        process,
        _,
    ):
        metrics = await Metrics.of(process)
        await metrics.until(lambda scrape: scrape("training_ready"))
        process.signal(signal.SIGTERM)

        await metrics.until(lambda scrape: not scrape("training_ready"))

        process.signal(signal.SIGTERM)
        assert await process.end() == 0


async def test_is_not_ready_while_the_database_is_away() -> None:
    async with a_service("postgresql://nobody@127.0.0.1:1/nothing", metrics_port="0") as (
        process,
        app,
    ):
        metrics = await Metrics.of(process)
        answer = await app.call(uuid4(), "POST", "/sessions", json={})
        assert answer.status_code == 503

        seen = await metrics.until(lambda scrape: scrape.by(REQUESTS, *LABELS))

    assert seen("training_ready") == 0
    assert seen.by(REQUESTS, *LABELS) == {("POST", "/sessions", "503", "DEPENDENCY_UNAVAILABLE"): 1}
