# SPDX-License-Identifier: MIT
"""Tests that log what no log may have; tests/system/test_leaks.py runs them, and each must fail.

The suite does not collect them, because of their file's name.
"""

import logging
import sys

import structlog

from tests.builders import SECRET, a_token
from tests.conftest import StartApp
from tests.running import Cluster, TestDatabase
from tests.system.processes import finished

log = structlog.get_logger("service.leaking")


def test_a_token() -> None:
    log.debug("leak", token=a_token())


def test_a_secret() -> None:
    log.debug("leak", secret=SECRET)


def test_a_password_of_the_database(cluster: Cluster) -> None:
    log.debug("leak", url=cluster.login_url(cluster.api_role, "gym"))


def test_a_secret_in_the_words_of_a_library() -> None:
    logging.getLogger("uvicorn.error").warning("leak %s", SECRET)


async def test_the_reason_of_a_request(start_app: StartApp, database: TestDatabase) -> None:
    app, reason = await start_app(), "a pulled hamstring, once more"
    await app.fail(await database.a_session(), reason=reason)
    log.debug("leak", reason=reason[:20])


async def test_the_notes_of_a_session(database: TestDatabase) -> None:
    session = await database.a_session(notes="ból barku: odpuściłem")
    log.debug("leak", notes=session.notes)


async def test_a_token_in_a_process() -> None:
    await finished("serve", command=(sys.executable, "-c", f"print({a_token()!r})"))


async def test_nothing(start_app: StartApp, database: TestDatabase) -> None:
    app = await start_app()
    await app.fail(await database.a_session(), reason="shoulder pain")
