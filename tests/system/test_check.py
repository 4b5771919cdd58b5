# SPDX-License-Identifier: MIT
"""`check` finds each thing that is wrong, says what to do, and ends with a status for pipelines."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from service.bootstrap.check import database as of_database
from service.bootstrap.check import running
from service.bootstrap.clock import now
from service.bootstrap.settings import RelaySettings
from service.persistence.database_url import parse_database_url
from service.persistence.inspection import Pooling, ServerFacts
from tests.builders import SECRET
from tests.http.issuer import Issuer, an_es256_key, an_issuer, an_rs256_key, hang
from tests.logins import Gate
from tests.nats_server import NatsServer, a_nats_server
from tests.relay.queue import an_event
from tests.running import TestDatabase, test_settings
from tests.system.processes import PATIENCE_SECONDS, Finished, finished, free_port

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "check.schema.json").read_text())

OF_THE_SERVER = ["settings", "database", "tls", "pooler", "connections", "clock", "durability"]
OF_SERVE = ["writable", "role of the API", "policies", "schema", "jwt secret"]
OF_RELAY = ["role of the relay", "queue", "broker", "stream", "publishing"]

Wrong = dict[str, tuple[str, str, str]]


@pytest.fixture
async def broker() -> AsyncIterator[NatsServer]:
    async with a_nats_server() as server:
        await server.make_stream()
        yield server


async def wrong_for_serve(url: str, **settings: Any) -> Wrong:
    """What `check serve` finds that is not ok or a warning."""
    return _wrong(await running.look(test_settings(database_url=url, **settings), None))


async def wrong_for_relay(database_url: str, nats_url: str, **settings: Any) -> Wrong:
    given = {"database_url": SecretStr(database_url), "nats_url": SecretStr(nats_url)}
    return _wrong(await running.look(None, RelaySettings(**given | settings)))


def _wrong(findings: list[Any]) -> Wrong:
    return {
        each.check: (each.result, each.text, each.advice)
        for each in findings
        if each.result != "ok"
    }


def only(wrong: Wrong, check: str, result: str = "not ok") -> tuple[str, str]:
    """The text and the advice of the one thing that is wrong."""
    assert list(wrong) == [check], wrong
    assert wrong[check][0] == result
    assert wrong[check][2], "no advice"
    return wrong[check][1:]


async def check(*arguments: str, **settings: str) -> Finished:
    environment = {f"SERVICE_{name}".upper(): value for name, value in settings.items()}
    return await finished("check", *arguments, environment=environment)


# The command


async def test_a_right_configuration_of_serve_is_ok(database: TestDatabase) -> None:
    done = await check("--json", database_url=database.api_url, jwt_secret=SECRET)

    report = json.loads(done.out)
    assert (done.code, done.err, report["result"]) == (0, "", "ok")
    assert [each["check"] for each in report["findings"]] == [*OF_THE_SERVER, *OF_SERVE]
    jsonschema_rs.Draft202012Validator(SCHEMA).validate(report)


async def test_a_right_configuration_of_relay_is_ok(
    database: TestDatabase, broker: NatsServer
) -> None:
    done = await check("--json", database_url=database.relay_url, nats_url=broker.url)

    report = json.loads(done.out)
    assert (done.code, done.err, report["result"]) == (0, "", "ok")
    assert [each["check"] for each in report["findings"]] == [*OF_THE_SERVER, *OF_RELAY]
    jsonschema_rs.Draft202012Validator(SCHEMA).validate(report)


async def test_prints_a_table_and_ends_with_1_if_something_is_not_ok(
    empty_database: TestDatabase, broker: NatsServer
) -> None:
    """One environment has the settings of both commands; the argument chooses."""
    both = {"database_url": empty_database.api_url, "nats_url": broker.url, "jwt_secret": SECRET}

    serve, everything = await check("serve", **both), await check(**both)
    as_json = await check("--json", **both)

    assert (serve.code, everything.code, as_json.code) == (1, 1, 1)
    assert "not ok   schema           no migration has run\n" in serve.out
    assert "  -> Run `python -m service migrate` of this version.\n" in serve.out
    assert "ok       jwt secret       it verifies HS256 tokens\n" in serve.out
    assert "broker" not in serve.out
    assert "broker" in everything.out
    report = json.loads(as_json.out)
    assert report["result"] == "not ok"
    jsonschema_rs.Draft202012Validator(SCHEMA).validate(report)


async def test_ends_with_0_after_warnings(database: TestDatabase) -> None:
    done = await check(
        database_url=database.api_url, jwt_secret=SECRET, jwt_issuer="https://gym.example/"
    )

    assert done.code == 0
    assert done.out.startswith("warning  settings         SERVICE_JWT_ISSUER looks wrong: It ends")


@pytest.mark.parametrize(
    ("arguments", "settings", "why"),
    [
        ([], {}, "SERVICE_NATS_URL"),
        (["serve"], {"jwt_secret": SECRET}, "SERVICE_DATABASE_URL must be set."),
        (["relay"], {"database_url": "postgresql://a@b/c"}, "SERVICE_NATS_URL must be set."),
        ([], {"nats_url": "http://a", "database_url": "b"}, "SERVICE_NATS_URL is wrong"),
        (["migrate"], {}, "invalid choice"),
    ],
)
async def test_ends_with_2_for_a_wrong_setting_or_argument(
    arguments: list[str], settings: dict[str, str], why: str
) -> None:
    done = await check(*arguments, **settings)

    assert (done.code, done.out) == (2, "")
    assert why in done.err


def test_every_check_stands_in_the_documentation() -> None:
    page = (DOCS / "check.md").read_text()
    finding = SCHEMA["properties"]["findings"]["items"]["properties"]

    assert [each for each in finding["check"]["enum"] if f"`{each}`" not in page] == []


# The database


async def test_finds_a_wrong_password(gate: Gate) -> None:
    text, advice = only(await wrong_for_serve(gate.url(login="coach:wrong")), "database")

    assert text.startswith('The database refuses: password authentication failed for user "coach"')
    assert "SERVICE_DATABASE_URL" in advice


async def test_finds_a_server_that_is_away() -> None:
    wrong = await wrong_for_serve(f"postgresql://coach@127.0.0.1:{free_port()}/gym")

    text, _ = only(wrong, "database")
    assert "no server listens there" in text


async def test_finds_that_no_migration_has_run(
    empty_database: TestDatabase, broker: NatsServer
) -> None:
    serve = await wrong_for_serve(empty_database.api_url)
    relay = await wrong_for_relay(empty_database.relay_url, broker.url)

    assert serve["schema"][1:] == (
        "no migration has run",
        "Run `python -m service migrate` of this version.",
    )
    text, advice = only(relay, "tables")
    assert "outbox.position" in text
    assert "cannot be found" in text
    assert "migrate" in advice


async def test_finds_an_old_revision(database: TestDatabase) -> None:
    await database.execute("UPDATE alembic_version SET version_num = '0002'")

    text, advice = only(await wrong_for_serve(database.api_url), "schema")

    assert text.startswith("at revision 0002, which is not ")
    assert "migrate" in advice


async def test_finds_policies_that_were_changed(database: TestDatabase) -> None:
    await database.execute("DROP POLICY service_acts_for_users ON outbox")

    only(await wrong_for_serve(database.api_url), "policies")


async def test_finds_the_login_of_the_other(database: TestDatabase, broker: NatsServer) -> None:
    as_serve, _ = only(await wrong_for_serve(database.relay_url), "role of the API")
    relay = await wrong_for_relay(database.api_url, broker.url)

    text, advice = only(relay, "role of the relay")
    assert as_serve == "the login may become session_relay"
    assert text == "The login of the relay may become session_service"
    assert "--grant-relay-to" in advice


async def test_finds_a_login_with_the_powers_of_a_superuser(database: TestDatabase) -> None:
    text, advice = only(await wrong_for_serve(database.url), "role of the API")

    assert "superuser" in text
    assert "--grant-to" in advice


@pytest.mark.parametrize(
    ("pooling", "is_set", "result"),
    [
        (Pooling.NONE, False, "ok"),
        (Pooling.NONE, True, "warning"),
        (Pooling.SESSION, False, "warning"),
        (Pooling.SESSION, True, "ok"),
        (Pooling.TRANSACTION, False, "not ok"),
        (Pooling.TRANSACTION, True, "ok"),
    ],
)
async def test_compares_the_pooler_with_the_setting(
    monkeypatch: pytest.MonkeyPatch,
    database: TestDatabase,
    pooling: Pooling,
    is_set: bool,
    result: str,
) -> None:
    """tests/engines asks a real pooler."""

    async def find_pooling(_engine: object) -> Pooling:
        return pooling

    monkeypatch.setattr(of_database, "find_pooling", find_pooling)

    wrong = await wrong_for_serve(database.api_url, database_transaction_pooler=is_set)

    if result == "ok":
        assert wrong == {}
    else:
        only(wrong, "pooler", result)


@pytest.mark.parametrize(
    ("query", "doubt"),
    [
        ("?sslmode=disable", "is not encrypted"),
        ("", "only if the server offers it"),
        ("?sslmode=require", "is not verified"),
        ("?sslrootcert=system", None),
    ],
)
async def test_doubts_a_connection_to_another_machine_that_is_not_verified(
    monkeypatch: pytest.MonkeyPatch, gate: Gate, query: str, doubt: str | None
) -> None:
    monkeypatch.setattr(of_database, "is_this_machine", lambda _host: False)
    target = parse_database_url(gate.url() + query)

    finding = of_database.find_tls(target)

    assert finding.result == ("warning" if doubt else "ok")
    assert (doubt or "is verified") in finding.text


@pytest.mark.parametrize(("ahead", "words"), [(-5, "s ahead of"), (5, "s behind")])
async def test_finds_a_clock_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, database: TestDatabase, ahead: int, words: str
) -> None:
    monkeypatch.setattr(of_database, "now", lambda: now() + timedelta(seconds=ahead))

    text, _ = only(await wrong_for_serve(database.api_url), "clock", "warning")

    assert words in text


async def test_finds_more_connections_than_the_server_allows(database: TestDatabase) -> None:
    wrong = await wrong_for_serve(database.api_url, workers=50)

    text, _ = only(wrong, "connections", "warning")
    assert "up to 500" in text


async def test_finds_asynchronous_commits(database: TestDatabase) -> None:
    set_off = f"ALTER ROLE {{}} IN DATABASE {database.name} SET synchronous_commit = off"
    await database.execute(set_off.format(database.cluster.api_role))

    _, advice = only(await wrong_for_serve(database.api_url), "durability", "warning")

    assert database.cluster.api_role in advice


@pytest.mark.parametrize(
    ("level", "standbys", "result"),
    [
        ("on", False, "ok"),
        ("on", True, "ok"),
        ("remote_write", True, "ok"),
        ("local", False, "ok"),
        ("local", True, "warning"),
        ("off", False, "warning"),
        ("off", True, "warning"),
    ],
)
def test_finds_commits_that_a_crash_or_a_failover_loses(
    level: str, standbys: bool, result: str
) -> None:
    facts = ServerFacts(
        version="18", login="training_api", clock_ahead=0, connections_max=97,
        synchronous_commit=level, has_synchronous_standbys=standbys,
    )  # fmt: skip

    assert of_database.find_durability(facts).result == result


async def test_finds_a_parameter_without_effect(database: TestDatabase) -> None:
    url = f"{database.api_url}{'&' if '?' in database.api_url else '?'}keepalives=1"

    text, _ = only(await wrong_for_serve(url), "settings", "warning")

    assert text == "keepalives has no effect"


# The key set


async def wrong_with(issuer: Issuer, url: str, **settings: Any) -> Wrong:
    return await wrong_for_serve(url, jwks_url=issuer.url, jwt_secret=None, **settings)


async def test_a_key_set_with_a_usable_key_is_ok(database: TestDatabase) -> None:
    async with an_issuer(an_es256_key("autumn")) as issuer:
        found = await running.look(
            test_settings(database_url=database.api_url, jwks_url=issuer.url), None
        )

    assert found[-1].check == "key set"
    assert found[-1].result == "ok"
    assert found[-1].text.endswith("usable: autumn (ES256)")


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (Response(status_code=500), "it answers with the status 500"),
        (Response("knee"), "its answer is no key set"),
        (JSONResponse({"knee": 1}), "its answer is no key set"),
        (hang, "it does not answer in time"),
        (JSONResponse({"keys": []}), "it has no usable key"),
    ],
    ids=["status", "no JSON", "other JSON", "silent", "empty"],
)
async def test_finds_a_key_set_that_cannot_be_used(
    database: TestDatabase, answer: ASGIApp, why: str
) -> None:
    patience = 0.5 if answer is hang else PATIENCE_SECONDS
    async with an_issuer() as issuer:
        issuer.answer = answer
        text, _ = only(
            await wrong_with(issuer, database.api_url, jwks_timeout_seconds=patience), "key set"
        )

    assert text.endswith(f": {why}")


async def test_finds_that_the_issuer_is_away_and_shows_no_login(database: TestDatabase) -> None:
    port = free_port()
    url = f"http://coach:whistle@127.0.0.1:{port}/keys?token=whistle"

    wrong = await wrong_for_serve(database.api_url, jwks_url=url)

    text, _ = only(wrong, "key set")
    assert text.startswith(f"127.0.0.1:{port}: it cannot be reached (")
    assert "whistle" not in text


async def test_names_keys_that_are_ignored(database: TestDatabase) -> None:
    weak = an_rs256_key("weak", bits=1024)
    async with an_issuer(an_es256_key("autumn"), weak) as issuer:
        text, _ = only(await wrong_with(issuer, database.api_url), "key set", "warning")

    assert text.startswith("ignored: weak, it is shorter than 2048 bits")


# The broker


async def test_finds_a_broker_that_is_away(database: TestDatabase, broker: NatsServer) -> None:
    await broker.stop()

    text, _ = only(await wrong_for_relay(database.relay_url, broker.url), "broker")

    assert "no program listens on its port" in text


@pytest.mark.parametrize(
    ("login", "why"),
    [("", "it requires a login"), ("coach:wrong", "it refuses the login"), ("coach:run", None)],
    ids=["none", "wrong", "right"],
)
async def test_finds_a_login_that_the_broker_refuses(
    database: TestDatabase, login: str, why: str | None
) -> None:
    users = "authorization { users: [{user: coach, password: run}] }"
    async with a_nats_server(users) as server:
        wrong = await wrong_for_relay(database.relay_url, server.url_with(login))

    text, _ = only(wrong, "broker" if why else "stream")
    assert (why or "is missing") in text


@pytest.mark.parametrize(
    ("allowed", "check", "why"),
    [
        ('"$JS.API.STREAM.>"', "publishing", "publish to training.session.v1.>"),
        ('"training.session.v1.>"', "stream", "publish to $JS.API.STREAM.INFO.TRAINING_SESSIONS"),
        ('"$JS.API.STREAM.>", "training.session.v1.>"', None, ""),
    ],
    ids=["may not publish", "may not ask", "may all"],
)
async def test_finds_permissions_that_are_missing(
    database: TestDatabase, allowed: str, check: str | None, why: str
) -> None:
    permissions = f'{{publish: [{allowed}], subscribe: "_INBOX.>"}}'
    users = (
        f"{{user: admin, password: a}}, {{user: coach, password: run, permissions: {permissions}}}"
    )
    async with a_nats_server(f"authorization {{users: [{users}]}}\nno_auth_user: admin") as broker:
        await broker.make_stream()
        wrong = await wrong_for_relay(database.relay_url, broker.url_with("coach:run"))

    if check:
        text, _ = only(wrong, check)
        assert why in text
    else:
        assert wrong == {}


async def test_finds_that_the_stream_is_missing(database: TestDatabase, broker: NatsServer) -> None:
    await broker.delete_stream()

    text, advice = only(await wrong_for_relay(database.relay_url, broker.url), "stream")

    assert text == "the stream TRAINING_SESSIONS is missing"
    assert "--ensure-stream" in advice
    assert not await broker.has_stream()


async def test_finds_a_stream_that_would_lose_events(
    database: TestDatabase, broker: NatsServer
) -> None:
    await broker.update_stream(discard="old")

    text, _ = only(await wrong_for_relay(database.relay_url, broker.url), "stream")

    assert "discards old events" in text


async def test_warns_of_a_stream_without_atomic_batches(
    database: TestDatabase, broker: NatsServer
) -> None:
    await broker.update_stream(allow_atomic=False)

    wrong = await wrong_for_relay(database.relay_url, broker.url)

    only(wrong, "stream", "warning")


async def test_warns_of_parked_events(database: TestDatabase, broker: NatsServer) -> None:
    session = await database.a_session()
    event_id = await an_event(database, session, 1)
    await database.execute(
        "INSERT INTO parked_events VALUES (1, $1, $2, $3, 'in conflict', now())",
        session.user_id,
        event_id,
        session.id,
    )

    text, _ = only(await wrong_for_relay(database.relay_url, broker.url), "queue", "warning")

    assert text == "1 events wait, 1 are parked"


async def test_changes_nothing(database: TestDatabase, broker: NatsServer) -> None:
    await an_event(database, await database.a_session(), 1)

    assert await wrong_for_relay(database.relay_url, broker.url) == {}

    assert await broker.count() == 0
    assert len(await database.outbox()) == 1
