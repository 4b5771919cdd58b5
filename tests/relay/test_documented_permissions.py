"""The permissions that docs/events.md lists are enough for the relay and all of its commands."""

import re
import signal
from pathlib import Path

from tests.nats_server import a_nats_server
from tests.relay.conftest import StartRelay, is_empty
from tests.relay.queue import an_event
from tests.running import TestDatabase, eventually

EVENTS_PAGE = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
LOGIN = "coach:whistle"
SINCE = ("--since", "2026-01-01T00:00:00Z")


def documented_permissions() -> str:
    found = re.search(r"```\n(publish: \{.*?\n)```", EVENTS_PAGE, re.DOTALL)
    assert found
    return found[1]


def server_settings() -> str:
    relay = f'{{user: coach, password: "whistle", permissions: {{\n{documented_permissions()}}}}}'
    owner = '{user: owner, password: "any"}'
    return f"authorization {{ users: [{relay}, {owner}] }}\nno_auth_user: owner"


async def test_the_documented_permissions_are_enough(
    database: TestDatabase, a_relay: StartRelay
) -> None:
    event_id = await an_event(database, await database.a_session(), 1)
    async with a_nats_server(server_settings()) as server:
        url = server.url_with(LOGIN)
        async with a_relay("--ensure-stream", nats_url=url) as process:
            await eventually(lambda: is_empty(database))
            process.signal(signal.SIGTERM)
            assert await process.end() == 0, process.output
        for arguments in (["--audit"], ["--replay", *SINCE]):
            async with a_relay(*arguments, nats_url=url) as process:
                assert await process.end() == 0, process.output

        assert await server.ids() == [str(event_id)]
