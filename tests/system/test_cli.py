# SPDX-License-Identifier: MIT
"""python -m service token | migrate | openapi, and the help of all commands."""

import asyncio
import json
from uuid import uuid4

import pytest

from service.cli.main import main
from tests.builders import SECRET, bearer
from tests.conftest import StartApp
from tests.running import TestDatabase
from tests.system.processes import finished, free_port

HELP = {
    (): [
        "demo",
        "try",
        "serve",
        "migrate",
        "relay",
        "erase",
        "prune",
        "check",
        "token",
        "openapi",
        "SERVICE_",
        "docs/configuration.md",
    ],
    ("demo",): ["--port", "--data", "Ctrl-C", "PostgreSQL"],
    ("try",): ["--url", "--data", "SERVICE_JWT_SECRET"],
    ("serve",): [
        "SERVICE_DATABASE_URL",
        "SERVICE_JWT_SECRET",
        "SERVICE_JWKS_URL",
        "SERVICE_HOST",
        "SERVICE_PORT",
        "SERVICE_WORKERS",
        "SERVICE_SHUTDOWN_TIMEOUT_SECONDS",
        "Never migrates",
    ],
    ("migrate",): [
        "SERVICE_DATABASE_URL",
        "--grant-to LOGIN",
        "--grant-relay-to LOGIN",
        "--grant-eraser-to LOGIN",
    ],
    ("erase",): [
        "SERVICE_DATABASE_URL",
        "SERVICE_NATS_URL",
        "SERVICE_NATS_STREAM",
        "--user ID",
        "--yes",
        "--search-stream",
        "--grant-eraser-to",
        "docs/retention.md",
    ],
    ("prune",): [
        "SERVICE_DATABASE_URL",
        "--keys-older-than AGE",
        "--events-older-than AGE",
        "--dry-run",
        "--grant-eraser-to",
        "docs/retention.md",
    ],
    ("relay",): [
        "SERVICE_DATABASE_URL",
        "SERVICE_NATS_URL",
        "SERVICE_NATS_STREAM",
        "--ensure-stream",
        "--parked",
        "--retry-parked",
        "--replay",
        "--since TIME",
    ],
    ("check",): [
        "SERVICE_JWT_SECRET",
        "SERVICE_JWKS_URL",
        "SERVICE_NATS_URL",
        "--json",
        "docs/check.schema.json",
    ],
    ("openapi",): ["OpenAPI 3.1", "GET /openapi.json", "SERVICE_ROOT_PATH"],
    ("token",): ["SERVICE_JWT_SECRET", "--user", "--expires-in SECONDS"],
}


@pytest.mark.parametrize("command", HELP, ids=lambda command: " ".join(command) or "service")
async def test_help_names_the_settings_and_options(command: tuple[str, ...]) -> None:
    done = await finished(*command, "--help")

    assert done.code == 0
    assert [words for words in HELP[command] if words not in done.out] == []


async def test_no_command_is_an_error_that_shows_the_usage() -> None:
    done = await finished()

    assert done.code == 2
    assert "usage: python -m service" in done.err


@pytest.mark.parametrize(
    ("since", "why"),
    [
        ("2026-11-22T09:00:00+01:60", "with a zone"),
        ("2026-11-22T09:00:00", "with a zone"),
        ("2026-W47-7T09:00:00Z", "with a zone"),
        ("2026-11-22T24:00:00Z", "with a zone"),
        ("2026-02-30T09:00:00Z", "calendar"),
        ("2026-11-22T09:00:00.0123456789Z", "fraction"),
        ("0001-01-01T00:00:00Z", "year"),
    ],
)
def test_relay_refuses_a_time_that_is_not_of_rfc_3339_in_a_sentence(
    capsys: pytest.CaptureFixture[str], since: str, why: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["relay", "--replay", "--since", since])

    complaint = capsys.readouterr().err
    assert "argument --since: It" in complaint
    assert why in complaint


async def test_token_is_accepted_by_a_service_with_the_same_settings(
    database: TestDatabase, start_app: StartApp
) -> None:
    app = await start_app(jwt_issuer="https://gym.example", jwt_audience="runners")
    session = await database.a_session()
    environment = {
        "SERVICE_JWT_SECRET": SECRET,
        "SERVICE_JWT_ISSUER": "https://gym.example",
        "SERVICE_JWT_AUDIENCE": "runners",
    }

    done = await finished("token", "--user", str(session.user_id), environment=environment)

    assert done.code == 0
    response = await app.client.get(f"/sessions/{session.id}", headers=bearer(done.out.strip()))
    assert response.status_code == 200


async def test_token_is_refused_after_its_lifetime(start_app: StartApp) -> None:
    app = await start_app()
    environment = {"SERVICE_JWT_SECRET": SECRET}

    done = await finished("token", "--expires-in", "-60", environment=environment)

    response = await app.client.get(f"/sessions/{uuid4()}", headers=bearer(done.out.strip()))
    assert response.status_code == 401


async def test_token_refuses_without_a_secret() -> None:
    done = await finished("token")

    assert done.code == 2
    assert done.out == ""
    assert done.err == "SERVICE_JWT_SECRET is not set; it is the key that signs tokens.\n"


async def test_migrate_reports_an_unreachable_database() -> None:
    url = f"postgresql://coach:whistle@127.0.0.1:{free_port()}/gym"

    done = await finished("migrate", environment={"SERVICE_DATABASE_URL": url})

    assert done.code == 1
    assert done.err.startswith("The database cannot be reached")
    assert "whistle" not in done.err


async def test_migrate_reports_a_missing_database(database: TestDatabase) -> None:
    url = database.cluster.url("no_such_gym")

    done = await finished("migrate", environment={"SERVICE_DATABASE_URL": url})

    assert done.code == 1
    assert done.err == 'The database refuses: database "no_such_gym" does not exist\n'


async def test_two_migrations_at_once_both_succeed(empty_database: TestDatabase) -> None:
    environment = {"SERVICE_DATABASE_URL": empty_database.url}

    done = await asyncio.gather(*(finished("migrate", environment=environment) for _ in range(2)))

    assert [(each.code, each.out) for each in done] == [(0, "The schema is up to date.\n")] * 2
    assert await empty_database.value("SELECT count(*) FROM alembic_version") == 1


async def test_migrate_reports_that_the_role_of_grant_to_is_missing(database: TestDatabase) -> None:
    environment = {"SERVICE_DATABASE_URL": database.url}

    done = await finished("migrate", "--grant-to", "a stranger", environment=environment)

    assert done.code == 1
    assert done.err == 'The database refuses: role "a stranger" does not exist\n'


async def test_migrate_grants_two_logins_and_names_them(database: TestDatabase) -> None:
    cluster = database.cluster

    done = await finished(
        "migrate",
        *("--grant-to", cluster.api_role, "--grant-relay-to", cluster.relay_role),
        environment={"SERVICE_DATABASE_URL": database.url},
    )

    assert (done.code, done.out.splitlines()) == (
        0,
        [
            "The schema is up to date.",
            f"{cluster.api_role} may become session_service.",
            f"{cluster.relay_role} may become session_relay.",
        ],
    )


@pytest.mark.parametrize("option", ["--grant-to", "--grant-relay-to"])
async def test_migrate_refuses_a_login_that_may_do_more(
    database: TestDatabase, option: str
) -> None:
    superuser = await database.value("SELECT user")

    done = await finished(
        "migrate", option, superuser, environment={"SERVICE_DATABASE_URL": database.url}
    )

    assert done.code == 1
    assert done.err.startswith(
        f"The schema is up to date, but nothing was granted: {superuser} is or may become a"
    )


async def test_migrate_refuses_one_login_for_both_roles() -> None:
    done = await finished("migrate", "--grant-to", "coach", "--grant-relay-to", "coach")

    assert done.code == 2
    assert "each of the options needs a login of its own" in done.err


async def test_migrate_reports_missing_privileges(
    database: TestDatabase, empty_database: TestDatabase
) -> None:
    environment = {"SERVICE_DATABASE_URL": empty_database.api_url}

    done = await finished("migrate", environment=environment)

    assert done.code == 1
    assert done.err.startswith("The database refuses: permission denied")


async def test_openapi_prints_what_the_service_answers_without_needing_a_database(
    start_app: StartApp,
) -> None:
    app = await start_app(root_path="/v1")

    printed = await finished("openapi", environment={"SERVICE_ROOT_PATH": "/v1"})

    assert (printed.code, printed.err) == (0, "")
    assert json.loads(printed.out) == (await app.client.get("/v1/openapi.json")).json()
