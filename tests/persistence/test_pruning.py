# SPDX-License-Identifier: MIT
"""python -m service prune: removes what is older than its retention, and nothing else."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from service.application import pruning
from service.application.errors import WrongInstallation
from service.application.pruning import Pruned, Retention
from service.bootstrap import erasing
from service.bootstrap.erasing import prune_old_rows
from service.bootstrap.settings import DatabaseSettings
from service.cli.main import main
from tests.conftest import StartApp
from tests.relay.queue import an_event, many_events
from tests.running import App, TestDatabase, eventually
from tests.system.processes import Finished, finished, started

A_MONTH = timedelta(days=30)
KEY = {"Idempotency-Key": "warm-up-1"}
CHANGING = {"idempotency_key", "command_fingerprint", "session_snapshot"}

Prune = Callable[..., Awaitable[Pruned]]


@pytest.fixture
def eraser_settings(database: TestDatabase) -> DatabaseSettings:
    return DatabaseSettings(database_url=SecretStr(database.eraser_url))


@pytest.fixture
def prune(eraser_settings: DatabaseSettings) -> Prune:
    """What is older than a month: the keys, the events, or both."""

    async def run(*, keys: bool = False, events: bool = False, **options: Any) -> Pruned:
        before = datetime.now(UTC) - A_MONTH
        retention = Retention(
            keys_before=before if keys else None, events_before=before if events else None
        )
        pruned = Pruned()
        await prune_old_rows(eraser_settings, retention, pruned, **options)
        return pruned

    return run


async def grow_old(database: TestDatabase, days: int = 40) -> None:
    """All events that are there, and their messages would be, become older."""
    await database.execute(
        "UPDATE events SET occurred_at = occurred_at - make_interval(days => $1)", days
    )


async def publish_all(database: TestDatabase) -> None:
    """As a relay that has removed all rows of the queue."""
    await database.execute("DELETE FROM outbox")


async def a_keyed_life(app: App, user_id: UUID, key: str = "warm-up-1") -> UUID:
    """Plans and starts a session, the first with an idempotency key."""
    plan = await app.call(user_id, "POST", "/sessions", json={}, headers={"Idempotency-Key": key})
    session_id = UUID(plan.json()["data"]["session"]["id"])
    await app.call(user_id, "POST", f"/sessions/{session_id}/start")
    return session_id


async def test_forgets_old_keys_and_keeps_the_facts_of_the_events(
    database: TestDatabase, app: App, prune: Prune
) -> None:
    await a_keyed_life(app, uuid4())
    await grow_old(database)
    young = uuid4()
    await a_keyed_life(app, young)
    before = await database.events()

    assert await prune(keys=True) == Pruned(keys=1)

    after = await database.events()
    keyed = [each for each in after if each["idempotency_key"]]
    assert [each["user_id"] for each in keyed] == [young]
    for one, other in zip(before, after, strict=True):
        assert {name for name in one if one[name] != other[name]} <= CHANGING


async def test_a_key_whose_record_is_gone_runs_its_command_again(
    database: TestDatabase, app: App, prune: Prune
) -> None:
    user_id = uuid4()
    first = await a_keyed_life(app, user_id)
    await grow_old(database)
    again = await app.call(user_id, "POST", "/sessions", json={}, headers=KEY)
    assert again.headers["Idempotent-Replayed"] == "true"

    await prune(keys=True)
    anew = await app.call(user_id, "POST", "/sessions", json={}, headers=KEY)

    assert "Idempotent-Replayed" not in anew.headers
    assert anew.json()["data"]["session"]["id"] != str(first)


async def test_deletes_old_events_and_keeps_the_sessions(
    database: TestDatabase, app: App, prune: Prune
) -> None:
    user_id = uuid4()
    session_id = await a_keyed_life(app, user_id)
    await grow_old(database)
    await app.call(user_id, "POST", f"/sessions/{session_id}/fail")
    await publish_all(database)

    assert await prune(keys=True, events=True) == Pruned(events=2)

    history = await app.call(user_id, "GET", f"/sessions/{session_id}/events")
    session = await app.call(user_id, "GET", f"/sessions/{session_id}")
    assert [each["type"] for each in history.json()["data"]["events"]] == ["session_failed"]
    assert session.json()["data"]["session"]["status"] == "failed"


async def test_never_deletes_an_event_that_is_queued_or_parked(
    database: TestDatabase, prune: Prune
) -> None:
    session = await database.a_session(status="failed")
    published, queued, parked = [
        await an_event(database, session, version) for version in (1, 2, 3)
    ]
    await database.execute("DELETE FROM outbox WHERE event_id = $1", published)
    await database.execute(
        "WITH gone AS (DELETE FROM outbox WHERE event_id = $1 RETURNING *) INSERT INTO"
        " parked_events SELECT position, user_id, event_id, NULL, 'too large', now() FROM gone",
        parked,
    )
    await grow_old(database)

    assert await prune(events=True) == Pruned(events=1)
    assert [each["id"] for each in await database.events()] == [queued, parked]


async def test_a_dry_run_counts_and_changes_nothing(
    database: TestDatabase, app: App, prune: Prune
) -> None:
    await a_keyed_life(app, uuid4())
    await publish_all(database)
    await grow_old(database)
    before = await database.events()

    counted = await prune(keys=True, events=True, is_dry=True)

    assert counted == Pruned(keys=1, events=2)
    assert await database.events() == before
    assert await database.fetch("SELECT * FROM prunings") == []


async def test_goes_through_all_pages(
    database: TestDatabase, prune: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PAGE_SIZE", 7)
    await many_events(database, sessions=20, each=3)
    await publish_all(database)
    await grow_old(database)
    await many_events(database, sessions=1, each=3)

    assert await prune(events=True) == Pruned(events=60)
    assert len(await database.events()) == 3
    assert await prune(events=True) == Pruned()


async def test_records_how_far_it_prunes_with_the_first_event_that_it_deletes(
    database: TestDatabase, prune: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PAGE_SIZE", 2)
    await many_events(database, sessions=6)
    await publish_all(database)
    await grow_old(database)

    assert await prune(events=True) == Pruned(events=6)

    [row] = await database.fetch("SELECT events_before < begun_at AS is_past FROM prunings")
    assert row["is_past"]


async def test_records_nothing_unless_it_deletes_an_event(
    database: TestDatabase, app: App, prune: Prune
) -> None:
    """Else a job that runs every hour would fill the table for ever."""
    await a_keyed_life(app, uuid4())
    assert await prune(events=True) == Pruned(), "all are young"
    await grow_old(database)
    assert await prune(keys=True, events=True) == Pruned(keys=1), "all are queued"
    await publish_all(database)
    await database.execute("REVOKE DELETE ON events FROM session_eraser")
    with pytest.raises(WrongInstallation):
        await prune(events=True)

    assert await database.fetch("SELECT * FROM prunings") == []


async def test_records_nothing_that_an_earlier_run_covers(
    database: TestDatabase, prune: Prune
) -> None:
    await database.execute("INSERT INTO prunings VALUES (now(), now())")
    await many_events(database, sessions=3)
    await publish_all(database)
    await grow_old(database)

    assert await prune(events=True) == Pruned(events=3)
    assert await database.value("SELECT count(*) FROM prunings") == 1


async def test_skips_rows_that_another_transaction_holds(
    database: TestDatabase, prune: Prune
) -> None:
    """Without waiting, and the next time it removes them."""
    await many_events(database, sessions=3)
    await publish_all(database)
    await grow_old(database)
    other = await database.connect()
    transaction = other.transaction()
    await transaction.start()
    await other.execute("SELECT FROM events LIMIT 1 FOR UPDATE")

    assert await prune(events=True) == Pruned(events=2)

    await transaction.rollback()
    await other.close()
    assert await prune(events=True) == Pruned(events=1)


async def test_two_prunings_at_once_remove_each_row_once(
    database: TestDatabase, prune: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "PAGE_SIZE", 20)
    await many_events(database, sessions=200)
    await publish_all(database)
    await grow_old(database)

    one, other = await asyncio.gather(prune(events=True), prune(events=True))

    assert one.events + other.events == 200


async def test_commands_notice_nothing(
    database: TestDatabase, start_app: StartApp, prune: Prune, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All their keys and events are older than the retention as soon as they are published."""
    monkeypatch.setattr(pruning, "PAGE_SIZE", 20)
    monkeypatch.setattr(erasing, "PAUSE_OF_PRUNING_SECONDS", 0)
    app = await start_app()
    is_over = asyncio.Event()

    async def train(number: int) -> list[int]:
        codes: list[int] = []
        user_id = uuid4()
        while not is_over.is_set():
            key = f"{number}-{len(codes)}"
            plan = await app.call(
                user_id, "POST", "/sessions", json={}, headers={"Idempotency-Key": key}
            )
            path = f"/sessions/{plan.json()['data']['session']['id']}"
            done = [await app.call(user_id, "POST", f"{path}/{verb}") for verb in ("start", "fail")]
            codes += [plan.status_code, *(each.status_code for each in done)]
        return codes

    users = [asyncio.create_task(train(number)) for number in range(4)]
    for _ in range(10):
        await database.execute(
            "UPDATE events SET occurred_at = occurred_at - interval '40 days'"
            " WHERE (user_id, id) IN (SELECT user_id, event_id FROM outbox)"
        )
        await publish_all(database)
        await prune(keys=True, events=True)
    is_over.set()

    for codes in await asyncio.gather(*users):
        assert set(codes) == {200, 201}


def environment(database: TestDatabase, **settings: str) -> dict[str, str]:
    given = {"database_url": database.eraser_url} | settings
    return {f"SERVICE_{name}".upper(): value for name, value in given.items()}


async def run(database: TestDatabase, *arguments: str, **settings: str) -> Finished:
    return await finished("prune", *arguments, environment=environment(database, **settings))


@pytest.mark.slow
async def test_the_command_says_what_it_did(database: TestDatabase, app: App) -> None:
    await a_keyed_life(app, uuid4())
    await publish_all(database)
    await grow_old(database)
    await a_keyed_life(app, uuid4())

    dry = await run(database, "--keys-older-than", "30d", "--dry-run")
    keys = await run(database, "--keys-older-than", "30d")
    events = await run(database, "--events-older-than", "5w")

    assert dry.out == "Would remove 1 idempotency keys and 0 events.\n"
    assert keys.out == "Removed 1 idempotency keys and 0 events.\n"
    assert events.out == "Removed 0 idempotency keys and 2 events.\n"
    assert {each.code for each in (dry, keys, events)} == {0}
    assert dry.err + keys.err + events.err == ""


@pytest.mark.slow
@pytest.mark.parametrize("login", ["api_url", "relay_url"])
async def test_refuses_the_logins_of_the_api_and_of_the_relay(
    database: TestDatabase, login: str
) -> None:
    done = await run(database, "--events-older-than", "30d", database_url=getattr(database, login))

    assert done.code == 1
    assert done.err.startswith("The login of this command may become session_")
    assert "migrate --grant-eraser-to LOGIN" in done.err


@pytest.mark.parametrize("age", ["30", "0d", "-1d", "1h", "d", "", "30d ", "999999w", "٣d"])
def test_refuses_an_age_in_a_sentence(capsys: pytest.CaptureFixture[str], age: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prune", f"--keys-older-than={age}"])

    assert "is not a number of days or weeks, such as 30d or 8w" in capsys.readouterr().err


def test_refuses_to_prune_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["prune", "--dry-run"])

    assert "--keys-older-than or --events-older-than is needed" in capsys.readouterr().err


@pytest.mark.slow
async def test_ctrl_c_stops_it_with_a_sentence_and_130(database: TestDatabase) -> None:
    await many_events(database, sessions=3)
    await publish_all(database)
    await grow_old(database)
    other = await database.connect()
    transaction = other.transaction()
    await transaction.start()
    await other.execute("LOCK TABLE prunings")
    async with started(
        "prune", "--events-older-than", "30d", environment=environment(database)
    ) as process:
        await eventually(lambda: is_waiting(database))
        process.signal(signal.SIGINT)
        assert await process.end() == 130, process.output
    await transaction.rollback()
    await other.close()

    assert process.err == [
        "Stopped. 0 idempotency keys and 0 events were removed; the same command goes on.\n"
    ]
    assert len(await database.events()) == 3


async def is_waiting(database: TestDatabase) -> bool:
    return bool(await database.value("SELECT count(*) FROM pg_locks WHERE NOT granted"))
