# SPDX-License-Identifier: MIT
"""python -m service erase: nothing of the user is left, and nothing of others is touched."""

import asyncio
import itertools
import os
import pty
import signal
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from service.application.erasure import Erased
from service.bootstrap.erasing import erase_user
from service.bootstrap.settings import RelaySettings
from service.persistence.erasure import SqlErasureTurn
from service.persistence.outbox import WAIT_FOR_TURN
from service.relay import erase as erasing
from service.relay.stream_api import StreamApi
from tests.conftest import StartApp
from tests.nats_server import NatsServer
from tests.relay.conftest import Relay, StartRelay, is_empty, relay_environment
from tests.relay.queue import an_event
from tests.running import TestDatabase, eventually
from tests.system.processes import SERVICE, Process, finished, started, without_settings

TABLES = ("sessions", "events", "outbox", "parked_events")
COUNTS = "SELECT " + ", ".join(
    f"(SELECT count(*) FROM {table} WHERE user_id = $1) AS {table}" for table in TABLES
)
NOTHING = dict.fromkeys((*TABLES, "messages"), 0)

Erase = Callable[..., Awaitable[Erased]]


@pytest.fixture
def eraser_settings(settings: RelaySettings, database: TestDatabase) -> RelaySettings:
    """The pause is short, and no relay waits for its end."""
    url = SecretStr(database.eraser_url)
    return settings.model_copy(update={"database_url": url, "relay_poll_max_seconds": 0.01})


@pytest.fixture
def erase(eraser_settings: RelaySettings) -> Erase:
    async def run(user_id: UUID, **options: Any) -> Erased:
        erased = Erased()
        await erase_user(eraser_settings, user_id, erased, **options)
        return erased

    return run


@pytest.fixture
def small_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "SESSIONS_IN_A_TURN", 2)


async def a_user(database: TestDatabase, *, sessions: int = 5, each: int = 2) -> UUID:
    """A user with sessions and queued events."""
    user_id = uuid4()
    for _ in range(sessions):
        session = await database.a_session(user_id=user_id, status="failed")
        for version in range(1, each + 1):
            await an_event(database, session, version, type=f"session_step_{version}")
    return user_id


async def left_of(database: TestDatabase, stream: NatsServer, user_id: UUID) -> dict[str, int]:
    [counts] = await database.fetch(COUNTS, user_id)
    messages = [each for each in await stream.stored() if each.payload["userId"] == str(user_id)]
    return counts | {"messages": len(messages)}


async def park_one(database: TestDatabase, user_id: UUID) -> None:
    await database.execute(
        "WITH gone AS (DELETE FROM outbox WHERE position ="
        " (SELECT max(position) FROM outbox WHERE user_id = $1) RETURNING *)"
        " INSERT INTO parked_events SELECT position, user_id, event_id, NULL, 'too large', now()"
        " FROM gone",
        user_id,
    )


OF_OTHERS = {"sessions": 4, "events": 8, "outbox": 1, "parked_events": 1, "messages": 6}


async def test_erases_all_of_the_user_and_nothing_of_others(
    database: TestDatabase, stream: NatsServer, relay: Relay, erase: Erase
) -> None:
    other = await a_user(database, sessions=3)
    user_id = await a_user(database, sessions=3)
    await relay()
    for each in (user_id, other):
        session = await database.a_session(user_id=each, status="failed")
        for version in (1, 2):
            await an_event(database, session, version)
        await park_one(database, each)

    erased = await erase(user_id)

    assert erased == Erased(sessions=4, events=8, queued=1, parked=1, messages=6)
    assert await left_of(database, stream, user_id) == NOTHING
    assert await left_of(database, stream, other) == OF_OTHERS


async def test_erases_rows_of_a_user_whose_sessions_are_gone(
    database: TestDatabase, stream: NatsServer, erase: Erase
) -> None:
    user_id = await a_user(database)
    await park_one(database, user_id)
    await database.execute("DELETE FROM sessions WHERE user_id = $1", user_id)

    assert await erase(user_id) == Erased(queued=9, parked=1)
    assert await left_of(database, stream, user_id) == NOTHING


async def test_finds_nothing_of_a_user_who_is_erased_or_unknown(
    database: TestDatabase, stream: NatsServer, erase: Erase
) -> None:
    user_id = await a_user(database)
    await erase(user_id)

    assert await erase(user_id) == Erased()
    assert await erase(uuid4()) == Erased()


async def test_searches_the_stream_for_messages_of_a_user_whose_rows_are_gone(
    database: TestDatabase, stream: NatsServer, relay: Relay, erase: Erase
) -> None:
    user_id, _ = await a_user(database, sessions=3), await a_user(database, sessions=3)
    await relay()
    await stream.publish("training.session.v1.gym.2.failed", b"a knee that hurts")
    await database.execute("DELETE FROM sessions WHERE user_id = $1", user_id)
    assert (await erase(user_id)).messages == 0

    assert await erase(user_id, search_stream=True) == Erased(messages=6)
    assert await erase(user_id, search_stream=True) == Erased()
    assert await stream.count() == 6 + 1


class Interrupted(Exception):
    """Stands for the end of the process."""


STEPS = ["sessions", "erase", "commit", "committed", "purge", "purged"]


@asynccontextmanager
async def interrupted(step: str, times: int) -> AsyncIterator[None]:
    """Ends the process before a step, or behind it, at its n-th time."""
    owner, name = {
        "purge": (StreamApi, "purge"),
        "purged": (StreamApi, "purge"),
        "committed": (SqlErasureTurn, "commit"),
    }.get(step, (SqlErasureTurn, step))
    original, count = getattr(owner, name), 0

    async def interrupt(*arguments: Any) -> Any:
        nonlocal count
        count += 1
        place = count
        if place == times and name == step:
            raise Interrupted
        result = await original(*arguments)
        if place == times:
            raise Interrupted
        return result

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(owner, name, interrupt)
        yield


@pytest.mark.usefixtures("small_turns")
@pytest.mark.parametrize("interruption", list(itertools.product(STEPS, [1, 2, 3])), ids=str)
async def test_goes_on_after_an_interruption_at_any_step(
    database: TestDatabase,
    stream: NatsServer,
    relay: Relay,
    erase: Erase,
    interruption: tuple[str, int],
) -> None:
    """A relay publishes what is queued before the interruption and behind it."""
    other, user_id = await a_user(database), await a_user(database)
    await relay()
    session = await database.a_session(user_id=user_id, status="failed")
    await an_event(database, session, 1)

    async with interrupted(*interruption):
        await erase(user_id)
    await relay()
    await erase(user_id)

    assert await left_of(database, stream, user_id) == NOTHING
    assert (await left_of(database, stream, other))["messages"] == 10


def eraser_environment(
    database: TestDatabase, broker: NatsServer, **settings: Any
) -> dict[str, str]:
    given = {"database_url": database.eraser_url} | settings
    return dict(relay_environment(database, broker, **given))


@asynccontextmanager
async def an_eraser(
    database: TestDatabase, broker: NatsServer, user_id: UUID, *arguments: str, **settings: Any
) -> AsyncIterator[Process]:
    environment = eraser_environment(database, broker, **settings)
    async with started(
        "erase", "--user", str(user_id), "--yes", *arguments, environment=environment
    ) as process:
        yield process


async def has_its_turn(database: TestDatabase) -> bool:
    """True if an eraser has the lock of the queue, and waits for the broker."""
    return bool(
        await database.value(
            "SELECT count(*) FROM pg_stat_activity JOIN pg_locks USING (pid)"
            " WHERE locktype = 'advisory' AND granted AND usename = $1",
            database.cluster.eraser_role,
        )
    )


@pytest.mark.slow
async def test_goes_on_after_a_kill_in_the_middle(
    database: TestDatabase, stream: NatsServer, relay: Relay, erase: Erase
) -> None:
    user_id = await a_user(database)
    await relay()
    lock = await database.connect()
    transaction = lock.transaction()
    await transaction.start()
    await lock.execute("SELECT FROM sessions WHERE user_id = $1 FOR UPDATE", user_id)
    async with an_eraser(database, stream, user_id, nats_timeout_seconds=60) as process:
        await eventually(lambda: has_its_turn(database))
        await eventually(lambda: is_purged(stream))
        process.signal(signal.SIGKILL)
        await process.end()
        await transaction.rollback()
        await lock.close()
    assert (await left_of(database, stream, user_id))["sessions"] == 5

    await erase(user_id)

    assert await left_of(database, stream, user_id) == NOTHING


async def is_purged(stream: NatsServer) -> bool:
    return await stream.count() == 0


@pytest.mark.slow
async def test_ctrl_c_stops_it_with_a_sentence_and_130(
    database: TestDatabase, stream: NatsServer
) -> None:
    user_id = await a_user(database)
    turn = await database.connect()
    transaction = turn.transaction()
    await transaction.start()
    await turn.execute(str(WAIT_FOR_TURN.compile(compile_kwargs={"literal_binds": True})))
    async with an_eraser(database, stream, user_id) as process:
        await eventually(lambda: waits_for_its_turn(database))
        process.signal(signal.SIGINT)
        assert await process.end() == 130, process.output
    await transaction.rollback()
    await turn.close()

    assert process.err == ["Stopped after 0 sessions; the same command goes on.\n"]
    assert process.out == []
    assert (await left_of(database, stream, user_id))["sessions"] == 5


async def waits_for_its_turn(database: TestDatabase) -> bool:
    return bool(
        await database.value(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        )
    )


@pytest.mark.slow
async def test_deletes_no_row_while_the_broker_is_away(
    database: TestDatabase, broker: NatsServer
) -> None:
    user_id = await a_user(database)

    async with an_eraser(database, broker, user_id) as process:
        assert await process.end() == 1

    assert process.err == [
        "The broker is not available: the stream TRAINING_SESSIONS is missing.\n"
    ]
    [counts] = await database.fetch(COUNTS, user_id)
    assert counts == {"sessions": 5, "events": 10, "outbox": 10, "parked_events": 0}


@pytest.mark.slow
@pytest.mark.parametrize("login", ["api_url", "relay_url"])
async def test_refuses_the_logins_of_the_api_and_of_the_relay(
    database: TestDatabase, stream: NatsServer, login: str
) -> None:
    user_id = await a_user(database)

    url = getattr(database, login)
    async with an_eraser(database, stream, user_id, database_url=url) as process:
        assert await process.end() == 1

    [sentence] = process.err
    assert sentence.startswith("The login of this command may become session_")
    assert "migrate --grant-eraser-to LOGIN" in sentence
    assert (await left_of(database, stream, user_id))["sessions"] == 5


@pytest.mark.slow
async def test_the_command_says_what_it_did(
    database: TestDatabase, stream: NatsServer, relay: Relay
) -> None:
    user_id = await a_user(database, sessions=2)
    await relay()
    await an_event(database, await database.a_session(user_id=user_id, status="failed"), 1)

    async with an_eraser(database, stream, user_id) as process:
        assert await process.end() == 0
    async with an_eraser(database, stream, user_id) as again:
        assert await again.end() == 0

    [sentence] = process.out
    assert sentence == (
        "Erased 3 sessions and 5 events, of which 1 were queued and 0 parked, and 4 messages of"
        " the stream TRAINING_SESSIONS.\n"
    )
    assert again.out == ["Nothing of this user was found.\n"]
    assert process.err == again.err == []


@pytest.mark.slow
async def test_without_a_terminal_it_needs_yes(database: TestDatabase, stream: NatsServer) -> None:
    user_id = await a_user(database)

    done = await finished(
        "erase", "--user", str(user_id), environment=eraser_environment(database, stream)
    )

    assert (done.code, done.out) == (1, "")
    assert done.err == "Nothing was erased. Type the id of the user, or use --yes.\n"
    assert (await left_of(database, stream, user_id))["sessions"] == 5


@pytest.mark.slow
@pytest.mark.parametrize("is_typed", [True, False])
async def test_on_a_terminal_it_asks_for_the_id(
    database: TestDatabase, stream: NatsServer, is_typed: bool
) -> None:
    user_id = await a_user(database)
    typed = str(user_id) if is_typed else "yes"

    code = await asyncio.to_thread(
        type_into,
        [*SERVICE, "erase", "--user", str(user_id)],
        f"{typed}\n",
        eraser_environment(database, stream),
    )

    assert code == (0 if is_typed else 1)
    assert (await left_of(database, stream, user_id))["sessions"] == (0 if is_typed else 5)


def type_into(command: list[str], text: str, environment: dict[str, str]) -> int:
    """Runs a command on a terminal, on which the text is typed."""
    ours, its = pty.openpty()
    try:
        with subprocess.Popen(
            command,
            env=without_settings() | environment,
            stdin=its,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            os.write(ours, text.encode())
            return process.wait(60)
    finally:
        os.close(ours)
        os.close(its)


@asynccontextmanager
async def another_connection(database: TestDatabase) -> AsyncIterator[TestDatabase]:
    connection = await database.connect()
    try:
        yield replace(database, connection=connection)
    finally:
        await connection.close()


async def test_no_relay_publishes_while_a_user_is_erased(
    database: TestDatabase, stream: NatsServer, a_relay: StartRelay, erase: Erase
) -> None:
    """Sessions of the user and of another are written and published all the time."""
    user_id, other = await a_user(database, sessions=200), await a_user(database, sessions=1)
    is_over = asyncio.Event()

    async def train(owner: UUID) -> int:
        count = 0
        async with another_connection(database) as own:
            while not is_over.is_set():
                async with own.connection.transaction():
                    await an_event(own, await own.a_session(user_id=owner, status="failed"), 1)
                count += 1
        return count

    async with a_relay(relay_poll_min_seconds=0.01, relay_poll_max_seconds=0.01) as process:
        await process.line("active")
        users = [asyncio.create_task(train(user_id)), asyncio.create_task(train(other))]
        for _ in range(10):
            await erase(user_id)
        is_over.set()
        _, of_other = await asyncio.gather(*users)
        await erase(user_id)
        await eventually(lambda: is_empty(database))

    assert await left_of(database, stream, user_id) == NOTHING
    assert (await left_of(database, stream, other))["messages"] == 2 + of_other
    assert "parked" not in process.output


async def test_commands_of_the_user_meet_no_error_of_the_service(
    database: TestDatabase, stream: NatsServer, start_app: StartApp, erase: Erase
) -> None:
    """Tokens of the user are still valid; another user, in the same groups, notices nothing."""
    app = await start_app()
    user_id, other = uuid4(), uuid4()
    is_over = asyncio.Event()

    async def train(owner: UUID) -> Counter[int]:
        codes = Counter[int]()
        while not is_over.is_set():
            plan = await app.call(owner, "POST", "/sessions", json={})
            path = f"/sessions/{plan.json()['data']['session']['id']}"
            done = [
                await app.call(owner, "POST", f"{path}/{verb}", json={})
                for verb in ("start", "fail")
            ]
            codes.update(each.status_code for each in (plan, *done))
        return codes

    users = [asyncio.create_task(train(each)) for each in (user_id, user_id, other, other)]
    for _ in range(20):
        await erase(user_id)
    is_over.set()
    one, two, *of_other = await asyncio.gather(*users)
    await erase(user_id)

    assert set(one + two) <= {201, 200, 404, 409, 422}
    assert await left_of(database, stream, user_id) == NOTHING
    assert set(sum(of_other, Counter())) <= {201, 200, 409, 422}
