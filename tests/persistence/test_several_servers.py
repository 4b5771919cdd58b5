# SPDX-License-Identifier: MIT
"""Several servers in a URL: the one with the wanted role is found, also after a failover."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from service.application.errors import DependencyUnavailable
from service.persistence import connecting
from tests.group_commit.proxy import Cut, Proxy, a_proxy
from tests.running import TestDatabase, an_engine
from tests.standby import Pair, a_pair

IS_STANDBY = text("SELECT pg_is_in_recovery()")


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """For tests that change neither server."""
    with a_pair() as pair:
        yield pair


async def role(engine: AsyncEngine) -> str:
    async with engine.connect() as connection:
        return "standby" if await connection.scalar(IS_STANDBY) else "primary"


@pytest.mark.parametrize(
    ("attributes", "first", "found"),
    [
        ("any", "primary", "primary"),
        ("any", "standby", "standby"),
        ("read-write", "standby", "primary"),
        ("primary", "standby", "primary"),
        ("read-only", "primary", "standby"),
        ("standby", "primary", "standby"),
        ("prefer-standby", "primary", "standby"),
    ],
)
async def test_finds_the_server_with_the_wanted_role(
    pair: Pair, attributes: str, first: str, found: str
) -> None:
    servers = [pair.primary, pair.standby] if first == "primary" else [pair.standby, pair.primary]
    url = pair.url(*servers, query=f"target_session_attrs={attributes}")

    async with an_engine(url) as engine:
        assert await role(engine) == found


async def test_finds_a_server_that_can_be_written_without_being_told(pair: Pair) -> None:
    async with an_engine(pair.url(pair.standby, pair.primary)) as engine:
        assert await role(engine) == "primary"


async def test_a_preference_for_a_standby_accepts_a_primary(pair: Pair) -> None:
    url = pair.url(pair.primary, pair.primary, query="target_session_attrs=prefer-standby")

    async with an_engine(url) as engine:
        assert await role(engine) == "primary"


def several(*servers: Proxy | int) -> str:
    """The URL of the first proxy, with these servers; a number is a port without a listener."""
    first = next(each for each in servers if isinstance(each, Proxy))
    ports = [each.port if isinstance(each, Proxy) else each for each in servers]
    places = ",".join(f"127.0.0.1:{port}" for port in ports)
    return first.url.replace(f"127.0.0.1:{first.port}", places)


async def test_does_not_wait_for_a_server_that_has_vanished(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "HEAD_START_SECONDS", 0.05)
    async with a_proxy(database.api_url) as first, a_proxy(database.api_url) as second:
        first.moment, first.cuts = b"user\0", [Cut.VANISHED_BEFORE]

        async with (
            an_engine(several(first, second), connect_timeout=60) as engine,
            engine.connect() as connection,
        ):
            assert await connection.scalar(IS_STANDBY) is False

        assert first.made == [Cut.VANISHED_BEFORE]
        assert second.sent > 0


async def test_takes_a_slow_server_if_the_others_have_failed(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The head start ends, the second server refuses, and the first still has its time limit."""
    monkeypatch.setattr(connecting, "HEAD_START_SECONDS", 0)
    async with (
        a_proxy(database.api_url) as first,
        an_engine(several(first, 1)) as engine,
        engine.connect() as connection,
    ):
        assert await connection.scalar(IS_STANDBY) is False


async def test_spreads_connections_over_the_servers_if_told_to(database: TestDatabase) -> None:
    async with a_proxy(database.api_url) as first, a_proxy(database.api_url) as second:
        url = f"{several(first, second)}&load_balance_hosts=random"

        async with an_engine(url, size=32) as engine:
            for _ in range(32):
                async with engine.connect():
                    pass
                await engine.dispose()

        assert first.sent > 0
        assert second.sent > 0


async def test_a_refused_login_is_final(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "HEAD_START_SECONDS", 60)
    async with a_proxy(database.api_url) as first, a_proxy(database.api_url) as second:
        url = several(first, second).replace(f"/{database.name}", "/no_such_gym")

        async with an_engine(url) as engine:
            with pytest.raises(DependencyUnavailable) as refused:
                await engine.connect()

        assert "no_such_gym" in refused.value.cause

        assert first.sent > 0
        assert second.sent == 0


@pytest.mark.parametrize(
    ("reached", "words"),
    [(True, "is not read-write, as target_session_attrs demands"), (False, "refuses")],
)
async def test_tells_most_of_a_server_that_was_reached_if_none_can_be_used(
    pair: Pair, reached: bool, words: str
) -> None:
    nowhere = replace(pair.standby, admin_url="postgresql://postgres@127.0.0.1:1/postgres")
    servers = [nowhere, pair.standby, nowhere] if reached else [nowhere, nowhere]

    async with an_engine(pair.url(*servers)) as engine:
        with pytest.raises(DependencyUnavailable) as failed:
            await engine.connect()

    assert words in failed.value.cause


async def test_closes_a_connection_that_another_has_made_needless(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both attempts succeed in the same moment."""
    monkeypatch.setattr(connecting, "HEAD_START_SECONDS", 0)
    both_have_begun = asyncio.Barrier(2)
    made = []

    async def attempt() -> asyncpg.Connection:
        connection = await database.connect()
        made.append(connection)
        await both_have_begun.wait()
        return connection

    used = await connecting.first_connection([attempt, attempt])
    await asyncio.sleep(0)  # for the callbacks of the tasks that have ended

    assert len({id(each) for each in made}) == 2
    assert [each.is_closed() for each in made] == [each is not used for each in made]
    await used.close()
