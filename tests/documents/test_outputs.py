# SPDX-License-Identifier: MIT
"""Commands whose output a page shows: they are run, and print that, but for numbers and names."""

import asyncio
import json
import os
import pty
import re
import shlex
import sys
from collections.abc import AsyncIterator
from urllib.parse import quote

import pytest

from service.bootstrap.check import findings
from service.bootstrap.check.database import find_tls
from service.persistence.checks import REVISION
from service.persistence.database_url import parse_database_url
from tests.builders import SECRET
from tests.documents.blocks import block, blocks, matches, read
from tests.documents.console import Shown, shown_in, typed
from tests.nats_server import NatsServer, a_nats_server
from tests.relay.queue import an_event
from tests.running import TestDatabase
from tests.system.processes import Finished, finished


@pytest.fixture
async def broker() -> AsyncIterator[NatsServer]:
    async with a_nats_server() as server:
        yield server


async def run(shown: Shown, **environment: str) -> Finished:
    """The command of a page, up to a pipe."""
    _, _, service, *arguments = shlex.split(shown.script.partition(" | ")[0])
    assert service == "service"
    settings = {f"SERVICE_{name}".upper(): value for name, value in environment.items()}
    return await finished(*arguments, environment=settings)


def masked(text: str) -> str:
    return re.sub(r"\d+", "N", text)


async def test_check_prints_a_table(database: TestDatabase) -> None:
    checked, status = shown_in(block("docs/check.md", "$ python -m service check serve"))
    before = f"{int(REVISION) - 1:04}"
    await database.execute("UPDATE alembic_version SET version_num = $1", before)

    done = await run(checked, database_url=database.api_url, jwt_secret=SECRET)

    tls = find_tls(
        parse_database_url("postgresql://training_api@db.example.com/training?sslmode=require")
    )
    actual = re.sub("^ok       tls .*", findings.as_table([tls]), done.out, flags=re.MULTILINE)
    assert done.code == int(status.output)
    assert [_comparable(each) for each in actual.splitlines()] == [
        _comparable(each) for each in checked.output.splitlines()
    ]


def _comparable(line: str) -> str:
    """The server, its version and its limits differ from those of the page."""
    if " at revision " in line:
        return line
    line = re.sub(" {2,}", "  ", line)
    return masked(re.sub(r"\S+ is PostgreSQL [\d.]+; the login is \w+", "SERVER", line))


async def test_check_as_json_has_the_advice_that_the_page_selects(
    database: TestDatabase, broker: NatsServer
) -> None:
    [shown] = shown_in(block("docs/check.md", "$ python -m service check relay"))
    found = await run(shown, database_url=database.relay_url, nats_url=broker.url)

    assert shown.typed.endswith("""jq -r '.findings[] | select(.result != "ok") | .advice'""")
    wrong = [each for each in json.loads(found.out)["findings"] if each["result"] != "ok"]
    assert [each["advice"] for each in wrong] == shown.output.splitlines()


async def test_migrate_prints_what_it_has_done(database: TestDatabase) -> None:
    [shown] = shown_in(block("docs/migrations.md", "$ python -m service migrate"))
    typed = shown.typed.replace("training_api", database.cluster.api_role)
    typed = typed.replace("training_relay", database.cluster.relay_role)

    done = await run(Shown(typed, ""), database_url=database.url)

    assert matches(shown.output, done.out)


async def test_prune_prints_what_it_removes(database: TestDatabase) -> None:
    for shown in shown_in(block("docs/retention.md", "$ python -m service prune")):
        done = await run(shown, database_url=database.eraser_url)

        assert masked(done.out) == masked(shown.output)


async def test_erase_asks_and_prints_what_it_has_erased(
    database: TestDatabase, broker: NatsServer
) -> None:
    _, shown = shown_in(block("docs/retention.md", "$ export SERVICE_NATS_URL"))
    user = shlex.split(shown.script)[-1]
    await broker.make_stream()
    await an_event(database, await database.a_session(user_id=user), 1)
    environment = {"SERVICE_DATABASE_URL": database.eraser_url, "SERVICE_NATS_URL": broker.url}

    terminal, end = pty.openpty()
    os.write(terminal, f"{user}\n".encode())
    erase = await asyncio.create_subprocess_shell(
        shown.script.replace("python", sys.executable, 1),
        env=os.environ | environment,
        stdin=end,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await erase.communicate()
    os.close(terminal)
    os.close(end)

    question, result = out.decode().split(": ", 1)
    assert masked(f"{err.decode()}{question}: {user}\n{result}") == masked(shown.output)


@pytest.mark.parametrize("page", ["docs/configuration.md", "docs/supabase.md"])
async def test_a_password_is_encoded_by_the_command_of_the_page(page: str) -> None:
    [command] = [
        shown
        for each in blocks("console")
        for shown in shown_in(each.text)
        if each.page == page and "getpass" in shown.typed
    ]

    output = await typed(f"echo 'p@ss/1' | {command.script} 2> /dev/null")

    assert output.strip().endswith(quote("p@ss/1", safe=""))


async def test_advisories_end_as_the_page_shows() -> None:
    [shown] = shown_in(block("docs/security.md", "$ make advisories"))
    [count] = re.findall(r"^(\d+) locked versions, 0 with a known advisory.\n$", shown.output)
    versions = re.findall(r"^[\w-]+==", read("requirements/runtime.txt"), re.MULTILINE)

    assert int(count) == len(versions)
