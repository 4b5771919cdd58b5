# SPDX-License-Identifier: MIT
"""No secret setting comes out of a command: refused, or used where nothing answers."""

import base64
import json
import signal
import socket
from collections.abc import Iterator
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.running import TestDatabase
from tests.system.forking import Done, Forker, a_forker
from tests.system.processes import a_service, started

Environment = dict[str, str]
Case = tuple[str, tuple[str, ...], str]

MARKER = "Zq7xK2vWbN4t"
FRAGMENT = 8
"""So many characters in a row of a secret are a leak; fewer may be in any text by chance."""

STARTUP_FAILURE = 3
"""The exit code of uvicorn."""

SINCE = "2026-11-22T09:00:00Z"
GOOD = {
    "SERVICE_DATABASE_URL": "postgresql://coach:whistle@127.0.0.1:1/gym",
    "SERVICE_NATS_URL": "nats://127.0.0.1:1",
    "SERVICE_JWT_SECRET": "0123456789abcdef0123456789abcdef",
    "SERVICE_JWKS_URL": "https://127.0.0.1:1/keys",
    "SERVICE_LOG_LEVEL": "debug",
    "SERVICE_NATS_TIMEOUT_SECONDS": "0.1",
}

DATABASE_URLS = (
    "{}",
    "postgresql://coach:{}@127.0.0.1:1/gym",
    "host=127.0.0.1 port=1 user=coach password={}",
    "postgresql://coach:{}@127.0.0.1:1,[::1]:1/gym?sslmode=bogus",
    "postgresql://127.0.0.1:1/gym?user=coach&password={}",
    "postgresql://coach@127.0.0.1:1/gym?sslpassword={}&connect_timeout=0",
    "postgresql:/coach:{}@127.0.0.1:1/gym",
    "postgresql://coach:{}127.0.0.1:1/gym",
    "postgres://coach:{}@",
)
NATS_URLS = (
    "{}",
    "nats://coach:{}@127.0.0.1:1",
    "nats://{}@127.0.0.1:1",
    "nats://coach:{}@127.0.0.1:1,nats://coach:{}@[::1]:1",
    "tls://coach:{}@127.0.0.1:1",
    "nats:coach:{}@127.0.0.1:1",
)
JWKS_URLS = (
    "{}",
    "https://coach:{}@127.0.0.1:1/keys",
    "https://{}@127.0.0.1:1/keys",
    "https://127.0.0.1:1/keys?token={}",
    "https:coach:{}@127.0.0.1:1/keys",
)
JWT_SECRETS = ("{}", "{}{}{}{}", "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----")
LOG_USER_KEYS = ("{}", "{}{}{}{}")

NASTY = (
    f"[{MARKER}]",
    f"[{MARKER}",
    f"{MARKER}]",
    f"\uff03{MARKER}",
    f"{MARKER}\uff20",
    f"{MARKER}%zz",
    f"{MARKER}%",
    f"{MARKER}%00",
    f"{MARKER}%FF",
    f"{MARKER}\n{MARKER}",
    f"{MARKER}\t",
    f"{MARKER}\udcff",
    f"{MARKER}\u2100",
    f"{MARKER}@{MARKER}",
    f"{MARKER}/{MARKER}@",
    f"12/{MARKER}",
    f"12?{MARKER}=1",
    f"12?a=1&{MARKER}=1",
    f"12#{MARKER}",
    f"x?{MARKER}&{MARKER}",
    f"{MARKER}:{MARKER}",
    f"{MARKER},{MARKER}",
    f"{MARKER} \u0665\u0664",
    quote(f"@/?#[]:{MARKER}", safe=""),
    MARKER * 5000,
)

_CHARACTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
_DELIMITERS = ["", *"@/?#[]:,%&=+ \n\"'\\", "%4", "%40", "12", "\uff03"]
_TEXTS = st.text(_CHARACTERS, max_size=FRAGMENT - 1)
"""Too short for a fragment of their own: that may be a word of the output, such as a host name."""

secrets = st.one_of(
    st.builds("{}{}{}".format, _TEXTS, st.just(MARKER), _TEXTS),
    st.lists(st.sampled_from(_DELIMITERS), min_size=2).map(MARKER.join),
)


def traces(secret: str, output: str) -> set[str]:
    """Fragments of the secret in the output, in the forms that URLs, JSON and Python give it."""
    forms = {
        secret,
        unquote(secret),
        quote(secret, safe="", errors="replace"),
        json.dumps(secret),
        json.dumps(unquote(secret)),
        repr(secret),
        secret.casefold(),
    }
    fragments = {
        form[start : start + FRAGMENT]
        for form in forms
        for start in range(len(form) - FRAGMENT + 1)
    }
    return {each for each in fragments if each in output or each in output.casefold()}


@pytest.fixture(scope="module")
def forker() -> Iterator[Forker]:
    with a_forker() as forker:
        yield forker


@pytest.fixture(scope="module")
def serve_ends() -> Iterator[Environment]:
    """The good settings, with a port that is taken, so that `serve` ends by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield GOOD | {"SERVICE_PORT": str(listener.getsockname()[1])}


def assert_no_trace(secret: str, done: Done) -> None:
    assert not traces(secret, done.output)
    assert "Traceback" not in done.output
    assert done.code in {0, 1, 2, STARTUP_FAILURE}


@pytest.mark.parametrize("form", [MARKER[2:10], quote(MARKER), json.dumps(MARKER), MARKER.lower()])
def test_the_check_finds_a_fragment_of_a_secret(form: str) -> None:
    assert traces(f"[{MARKER}", f"host '{form}' does not exist")
    assert not traces(f"[{MARKER}", "host 'Zq7' does not exist")


def test_the_check_sees_all_that_a_command_prints(forker: Forker) -> None:
    """A token is made with the secret, and contains its claims."""
    done = forker.run("token", environment=GOOD | {"SERVICE_JWT_AUDIENCE": MARKER})
    claims = base64.urlsafe_b64decode(done.output.split(".")[1] + "==").decode()
    assert traces(MARKER, claims)

    done = forker.run("token", "--user", MARKER, environment=GOOD)
    assert traces(MARKER, done.output)


CASES: list[Case] = [
    (name, templates, command)
    for name, templates, commands in (
        (
            "SERVICE_DATABASE_URL",
            DATABASE_URLS,
            ("serve", "migrate", "relay --parked", "check serve"),
        ),
        ("SERVICE_NATS_URL", NATS_URLS, (f"relay --replay --since {SINCE}", "check relay --json")),
        ("SERVICE_JWT_SECRET", JWT_SECRETS, ("serve", "token", "try --url http://127.0.0.1:1")),
        ("SERVICE_JWKS_URL", JWKS_URLS, ("serve", "check serve --json")),
        ("SERVICE_LOG_USER_KEY", LOG_USER_KEYS, ("serve",)),
    )
    for command in commands
]
in_every_case = pytest.mark.parametrize(
    "case", CASES, ids=[f"{name}-{command.split()[0]}" for name, _, command in CASES]
)


@in_every_case
@settings(max_examples=20)
@given(data=st.data())
def test_no_secret_comes_out_of_a_command(
    forker: Forker, serve_ends: Environment, case: Case, data: st.DataObject
) -> None:
    name, templates, command = case
    secret = data.draw(secrets)
    value = data.draw(st.sampled_from(templates)).replace("{}", secret)

    done = forker.run(*command.split(), environment=serve_ends | {name: value})

    assert_no_trace(secret, done)


@in_every_case
def test_no_nasty_secret_comes_out_of_a_command(
    forker: Forker, serve_ends: Environment, case: Case
) -> None:
    name, templates, command = case
    for secret in NASTY:
        value = templates[1].replace("{}", secret)
        done = forker.run(*command.split(), environment=serve_ends | {name: value})
        assert_no_trace(secret, done)


async def test_serve_uses_a_login_for_the_key_set_and_never_shows_it(
    database: TestDatabase,
) -> None:
    password = f"@/{MARKER}"
    url = f"http://coach:{quote(password, safe='')}@127.0.0.1:1/keys"
    header = base64.urlsafe_b64encode(b'{"alg": "ES256", "kid": "a"}').decode().rstrip("=")

    async with a_service(database.api_url, jwks_url=url, log_level="debug") as (process, app):
        answer = await app.client.get(
            "/sessions", headers={"Authorization": f"Bearer {header}.e30.c2ln"}
        )
        assert answer.status_code == 503
        await process.line("key set not fetched")
        process.signal(signal.SIGTERM)
        await process.end()

    assert not traces(password, process.output + answer.text)


@pytest.mark.parametrize("name", ["SERVICE_DATABASE_URL", "SERVICE_NATS_URL"])
async def test_a_relay_that_waits_for_its_servers_never_shows_a_password(name: str) -> None:
    password = f"@/{MARKER}"
    login = f"coach:{quote(password, safe='')}@127.0.0.1:1"
    urls = {
        "SERVICE_DATABASE_URL": f"postgresql://{login}/gym",
        "SERVICE_NATS_URL": f"nats://{login}",
    }

    async with started("relay", environment=GOOD | {name: urls[name]}) as process:
        await process.line('"state"')
        process.signal(signal.SIGTERM)
        await process.end()

    assert not traces(password, process.output)
