# SPDX-License-Identifier: MIT
"""Processes whose connections to the database stay open, but lead nowhere any more, can end."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from urllib.parse import urlsplit

from tests.chaos.link import Link, a_link
from tests.faults.postgres import a_migrated_database, a_postgres
from tests.nats_server import a_nats_server
from tests.running import TestDatabase
from tests.system.processes import a_service, started


@asynccontextmanager
async def a_distant_database() -> AsyncIterator[tuple[TestDatabase, Link]]:
    with a_postgres() as postgres:
        async with (
            a_migrated_database(postgres.cluster) as database,
            a_link("database", ("127.0.0.1", postgres.port), Random(0)) as link,  # noqa: S311  no secret
        ):
            yield database, link


def through(link: Link, url: str) -> str:
    host, port = link.place
    login = urlsplit(url).netloc.rpartition("@")[0]
    return urlsplit(url)._replace(netloc=f"{login}@{host}:{port}").geturl()


async def test_the_api_ends_when_it_is_told_to() -> None:
    async with a_distant_database() as (database, link):
        session = await database.a_session()
        async with a_service(through(link, database.api_url)) as (process, app):
            assert (await app.fail(session)).status_code == 200
            link.vanish()
            process.signal(signal.SIGTERM)

            assert await process.end() == 0


async def test_the_relay_ends_when_it_is_told_to() -> None:
    async with a_distant_database() as (database, link), a_nats_server() as broker:
        environment = {
            "SERVICE_DATABASE_URL": through(link, database.relay_url),
            "SERVICE_NATS_URL": broker.url,
        }
        arguments = ("relay", "--ensure-stream")
        async with started(*arguments, environment=environment) as process:
            await process.line('"active"')
            link.vanish()
            process.signal(signal.SIGTERM)

            assert await process.end() == 0
