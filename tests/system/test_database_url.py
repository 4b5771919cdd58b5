# SPDX-License-Identifier: MIT
"""What the commands make of a database URL: refused with exit code 2, or one warning."""

import json

import pytest

from tests.builders import SECRET
from tests.running import TestDatabase
from tests.system.processes import a_service, finished

PASSWORD = "MyRealPassw0rd"
NEON = f"postgresql://coach:{PASSWORD}@ep-cool-river.eu-central-1.aws.neon.tech/gym"
OTHERS = {"SERVICE_JWT_SECRET": SECRET, "SERVICE_NATS_URL": "nats://127.0.0.1:1"}


@pytest.mark.parametrize("command", ["serve", "relay", "migrate"])
@pytest.mark.parametrize(
    ("url", "words"),
    [
        (f"postgresql://coach:[{PASSWORD}]@127.0.0.1/gym", "square brackets"),
        (f"{NEON}?sslmode=require&channel_binding=require", "sslmode=verify-full"),
        (f"{NEON}?sslmode=strict", "`sslmode` must be one of disable, allow"),
        (NEON.replace("/gym", ":65536/gym"), "port"),
    ],
    ids=["brackets", "neon", "sslmode", "port"],
)
async def test_refuses_a_wrong_url_at_the_start(command: str, url: str, words: str) -> None:
    done = await finished(command, environment=OTHERS | {"SERVICE_DATABASE_URL": url})

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("SERVICE_DATABASE_URL is wrong: ")
    assert words in done.err
    assert len(done.err.splitlines()) == 1
    assert PASSWORD not in done.err


def without_effect(lines: list[str]) -> list[list[str]]:
    said = [json.loads(line) for line in lines]
    return [line["names"] for line in said if line["event"] == "without effect"]


async def test_serve_names_once_what_has_no_effect(
    database: TestDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGPORT", "1")
    url = f"{database.api_url}&keepalives=1&gssencmode=prefer&connect_timeout=10"

    async with a_service(url) as (process, app):
        assert (await app.client.get("/readyz")).status_code == 200

        assert without_effect(process.out) == [["gssencmode", "keepalives", "PGHOST", "PGPORT"]]
        assert process.err == []


async def test_relay_names_once_what_has_no_effect(database: TestDatabase) -> None:
    environment = OTHERS | {"SERVICE_DATABASE_URL": f"{database.relay_url}&keepalives=1"}

    done = await finished("relay", "--parked", environment=environment)

    assert (done.code, without_effect(done.out.splitlines())) == (0, [["keepalives"]])


async def test_relay_warns_of_the_port_of_a_transaction_pooler() -> None:
    environment = OTHERS | {"SERVICE_DATABASE_URL": "postgresql://coach@127.0.0.1:6543/gym"}

    done = await finished("relay", "--parked", environment=environment)

    [line] = [json.loads(line) for line in done.out.splitlines()]
    assert (line["level"], line["event"]) == ("warning", "transaction pooler suspected")
    assert line["setting"] == "SERVICE_DATABASE_TRANSACTION_POOLER"
    assert done.code == 1


async def test_migrate_names_what_has_no_effect(database: TestDatabase) -> None:
    environment = {"SERVICE_DATABASE_URL": f"{database.url}&keepalives=1"}

    done = await finished("migrate", environment=environment)

    assert done.code == 0
    assert done.err == "These have no effect here: keepalives.\n"
