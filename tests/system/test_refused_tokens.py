# SPDX-License-Identifier: MIT
"""python -m service serve says why it refuses tokens, and which settings look wrong."""

import json
import signal
from typing import Any

from tests.builders import a_session, a_token, bearer
from tests.http.issuer import an_es256_key, an_issuer, an_rs256_key
from tests.running import App, TestDatabase
from tests.system.processes import Process, a_service, serve_environment, started

ISSUER = "https://abc.supabase.co/auth/v1"
ELSEWHERE = "https://xyz.supabase.co/auth/v1"


def logged(process: Process, event: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, process.out) if line["event"] == event]


async def stop(process: Process) -> None:
    process.signal(signal.SIGTERM)
    assert await process.end() == 0


async def send(app: App, *tokens: str) -> None:
    for token in tokens:
        response = await app.fail(a_session(), headers=bearer(token))
        assert response.status_code == 401


async def test_logs_each_reason_at_once_and_the_other_refusals_at_shutdown(
    database: TestDatabase,
) -> None:
    tokens = [a_token(iss=ELSEWHERE, email="runner@example.com") for _ in range(3)]
    slash = a_token(iss=ISSUER)
    async with a_service(database.api_url, jwt_issuer=ISSUER + "/") as (process, app):
        await send(app, *tokens, slash)
        await process.line("issuer_slash")
        at_once = [(each["reason"], each["count"]) for each in logged(process, "tokens refused")]
        await stop(process)

    lines = logged(process, "tokens refused")
    assert at_once == [("wrong_issuer", 1), ("issuer_slash", 1)]
    assert [(each["reason"], each["count"]) for each in lines[2:]] == [("wrong_issuer", 2)]
    assert "SERVICE_JWT_ISSUER" in lines[0]["meaning"]
    assert {each["level"] for each in lines} == {"warning"}
    shown = [part for token in [*tokens, slash] for part in token.split(".")]
    shown += ["runner@example.com", "xyz"]
    assert [part for part in shown if part in process.output] == []


async def test_logs_nothing_about_accepted_tokens(database: TestDatabase) -> None:
    session = await database.a_session()
    async with a_service(database.api_url) as (process, app):
        assert (await app.get(session)).status_code == 200
        await stop(process)

    assert logged(process, "tokens refused") == logged(process, "setting looks wrong") == []


async def test_logs_once_for_all_workers_which_settings_look_wrong(database: TestDatabase) -> None:
    settings = {"jwt_issuer": ISSUER + "/", "jwks_url": f"{ELSEWHERE}/.well-known/jwks.json"}
    environment = serve_environment(database.api_url, workers="2", **settings)
    async with started("serve", environment=environment) as process:
        await process.line("Application startup complete", count=2)
        await stop(process)

    lines = logged(process, "setting looks wrong")
    assert [each["setting"] for each in lines] == ["SERVICE_JWT_ISSUER", "SERVICE_JWKS_URL"]
    assert "slash" in lines[0]["why"]
    assert all(each["level"] == "warning" for each in lines)


async def test_logs_once_which_keys_of_the_key_set_it_ignores(database: TestDatabase) -> None:
    """Tokens of such keys are refused, because their kid is unknown."""
    good, short = an_es256_key("autumn"), an_rs256_key("short", bits=1024)
    async with (
        an_issuer(good, short) as issuer,
        a_service(database.api_url, jwks_url=issuer.url, jwks_cooldown_seconds="0.001") as (
            process,
            app,
        ),
    ):
        await send(app, *[good.token(headers={"kid": short.id}) for _ in range(3)])
        fetches = issuer.fetches
        await stop(process)

    [line] = logged(process, "keys of the key set ignored")
    assert fetches > 1
    assert (line["usable"], line["level"]) == (1, "warning")
    [ignored] = line["ignored"]
    assert (ignored["key_id"], "2048 bits" in ignored["why"]) == ("short", True)
    assert {each["reason"] for each in logged(process, "tokens refused")} == {"unknown_key_id"}


async def test_logs_that_a_key_set_is_empty(database: TestDatabase) -> None:
    """As that of a Supabase project which still signs with its legacy secret."""
    async with (
        an_issuer() as issuer,
        a_service(database.api_url, jwks_url=issuer.url) as (process, app),
    ):
        await send(app, an_es256_key("autumn").token())
        await stop(process)

    [line] = logged(process, "keys of the key set ignored")
    assert (line["usable"], line["ignored"]) == (0, [])
