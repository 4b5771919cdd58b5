# SPDX-License-Identifier: MIT
"""The key set: fetched, refreshed, and kept during outages of the issuer."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx2
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from jwt import get_algorithm_by_name
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp

from service.application.errors import DependencyUnavailable
from service.http.key_set import KeySet
from service.http.key_set_download import KEY_SET_MAX_BYTES
from tests.builders import a_token, bearer
from tests.conftest import StartApp
from tests.http.issuer import (
    Issuer,
    NewIssuer,
    SigningKey,
    an_es256_key,
    an_issuer,
    an_rs256_key,
    break_off,
    drip,
    hang,
    issuers,
)
from tests.running import NO_AUTHORITIES, TestDatabase

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIFETIME, OUTAGE, COOLDOWN = 600, 3600, 30

KEY = an_es256_key("autumn")
NEXT_KEY = an_es256_key("winter")
RSA_KEY = an_rs256_key("autumn-rsa")
P_384 = get_algorithm_by_name("ES384").to_jwk(
    ec.generate_private_key(ec.SECP384R1()).public_key(), True
)
ED25519 = get_algorithm_by_name("EdDSA").to_jwk(
    ed25519.Ed25519PrivateKey.generate().public_key(), True
)


class HandClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


MakeKeySet = Callable[..., KeySet]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new_issuer() -> AsyncIterator[NewIssuer]:
    async with issuers() as new:
        yield new


@pytest.fixture
def issuer(new_issuer: NewIssuer) -> Issuer:
    return new_issuer(KEY)


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest_asyncio.fixture(loop_scope="module")
async def make_key_set(clock: HandClock) -> AsyncIterator[MakeKeySet]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx2.AsyncClient(verify=NO_AUTHORITIES))

        def make(url: str, **overrides: Any) -> KeySet:
            times = {"lifetime": LIFETIME, "outage": OUTAGE, "cooldown": COOLDOWN, "timeout": 30}
            parts: dict[str, Any] = {"client": client, "url": url, "clock": clock}
            key_set = KeySet(**parts | times | overrides)
            stack.push_async_callback(key_set.close)
            return key_set

        yield make


@pytest.fixture
def key_set(make_key_set: MakeKeySet, issuer: Issuer) -> KeySet:
    return make_key_set(issuer.url)


async def has(key_set: KeySet, key: SigningKey) -> bool:
    return await key_set.find(key.id) is not None


@pytest.mark.parametrize("key", [KEY, RSA_KEY], ids=["ES256", "RS256"])
async def test_finds_a_published_key(key_set: KeySet, issuer: Issuer, key: SigningKey) -> None:
    issuer.publish(KEY, RSA_KEY)

    found = await key_set.find(key.id)

    assert found is not None
    assert found.algorithm_name == key.algorithm
    assert found.key == key.private.public_key()


# Rotation


async def test_does_not_fetch_again_within_half_of_the_lifetime(
    make_key_set: MakeKeySet, issuer: Issuer, clock: HandClock
) -> None:
    key_set, other = make_key_set(issuer.url), make_key_set(issuer.url)
    assert await has(key_set, KEY)
    clock.now += LIFETIME / 2

    assert await has(key_set, KEY)
    assert await has(other, KEY), "which takes as long as another fetch would"
    assert issuer.fetches == 2, "one each"


async def test_finds_a_new_key_by_one_fetch(key_set: KeySet, issuer: Issuer) -> None:
    assert await has(key_set, KEY)
    issuer.publish(KEY, NEXT_KEY)

    assert await has(key_set, NEXT_KEY)
    assert await has(key_set, KEY)
    assert issuer.fetches == 2


async def test_refuses_a_removed_key_after_the_lifetime(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    assert await has(key_set, KEY)
    issuer.publish(NEXT_KEY)
    clock.now += LIFETIME + 1

    assert not await has(key_set, KEY)


async def test_refreshes_in_the_background_after_half_of_the_lifetime(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    assert await has(key_set, KEY)
    issuer.publish(NEXT_KEY)
    issuer.shut_gate()
    clock.now += LIFETIME / 2 + 1

    assert await has(key_set, KEY)
    assert await has(key_set, KEY)
    await issuer.asked.wait()
    issuer.gate.set()

    assert await has(key_set, NEXT_KEY)
    assert not await has(key_set, KEY)
    assert issuer.fetches == 2


async def test_an_empty_key_set_revokes_every_key(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    assert await has(key_set, KEY)
    issuer.publish()
    clock.now += LIFETIME + 1

    assert not await has(key_set, KEY)


# Outages


async def test_keeps_the_old_keys_while_the_issuer_refuses_connections(
    make_key_set: MakeKeySet, clock: HandClock
) -> None:
    async with an_issuer(KEY) as issuer:
        key_set = make_key_set(issuer.url)
        assert await has(key_set, KEY)

    clock.now += LIFETIME + 1
    assert await has(key_set, KEY)
    clock.now += OUTAGE - 1
    assert await has(key_set, KEY)
    clock.now += 1
    with pytest.raises(DependencyUnavailable):
        await key_set.find(KEY.id)


async def test_is_unavailable_if_the_issuer_refuses_the_first_connection(
    make_key_set: MakeKeySet,
) -> None:
    async with an_issuer(KEY) as issuer:
        key_set = make_key_set(issuer.url)

    with pytest.raises(DependencyUnavailable):
        await key_set.find(KEY.id)


async def test_is_unavailable_if_the_url_is_invalid(
    make_key_set: MakeKeySet,
) -> None:
    key_set = make_key_set("http://issuer:80a/")

    with pytest.raises(DependencyUnavailable):
        await key_set.find(KEY.id)


GARBAGE = [
    pytest.param(Response("<html>Welcome</html>"), id="not_json"),
    pytest.param(Response(b'{"keys": ["\xff"]}'), id="not_utf_8"),
    pytest.param(Response(), id="nothing"),
    pytest.param(Response("[" * 100_000), id="deeply_nested"),
    pytest.param(Response('{"keys": [' + "9" * 5000 + "]}"), id="number_too_long"),
    pytest.param(JSONResponse([KEY.jwk]), id="array"),
    pytest.param(JSONResponse(None), id="null"),
    pytest.param(JSONResponse({"jwks": [KEY.jwk]}), id="no_keys"),
    pytest.param(JSONResponse({"keys": None}), id="keys_null"),
    pytest.param(JSONResponse({"keys": {"autumn": KEY.jwk}}), id="keys_an_object"),
    pytest.param(JSONResponse({"keys": [KEY.jwk]}, status_code=500), id="status_500"),
    pytest.param(JSONResponse({"keys": [KEY.jwk]}, status_code=404), id="status_404"),
    pytest.param(
        JSONResponse({"keys": [KEY.jwk], "more": " " * KEY_SET_MAX_BYTES}), id="too_large"
    ),
    pytest.param(
        Response(gzip.compress(b" " * 10_000_000), headers={"Content-Encoding": "gzip"}),
        id="too_large_when_decompressed",
    ),
    pytest.param(
        Response("not compressed", headers={"Content-Encoding": "gzip"}), id="not_gzip_as_said"
    ),
    pytest.param(break_off, id="shorter_than_announced"),
]


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_keeps_the_old_keys_if_the_answer_is_no_key_set(
    key_set: KeySet, issuer: Issuer, clock: HandClock, garbage: ASGIApp
) -> None:
    assert await has(key_set, KEY)
    issuer.answer = garbage
    clock.now += LIFETIME + 1

    assert await has(key_set, KEY)
    assert issuer.fetches == 2


@pytest.mark.parametrize("garbage", GARBAGE)
async def test_is_unavailable_if_the_first_answer_is_no_key_set(
    key_set: KeySet, issuer: Issuer, garbage: ASGIApp
) -> None:
    issuer.answer = garbage

    with pytest.raises(DependencyUnavailable):
        await key_set.find(KEY.id)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_follows_no_redirect(
    key_set: KeySet, issuer: Issuer, new_issuer: NewIssuer, status: int
) -> None:
    elsewhere = new_issuer(KEY)
    issuer.answer = RedirectResponse(elsewhere.url, status)

    with pytest.raises(DependencyUnavailable):
        await key_set.find(KEY.id)
    assert elsewhere.fetches == 0


@pytest.mark.parametrize("answer", [hang, drip])
async def test_is_unavailable_if_the_first_answer_takes_too_long(
    make_key_set: MakeKeySet, issuer: Issuer, answer: ASGIApp
) -> None:
    issuer.answer = answer
    patient = asyncio.create_task(make_key_set(issuer.url, timeout=3600).find(KEY.id))
    await issuer.asked.wait()

    with pytest.raises(DependencyUnavailable):
        await make_key_set(issuer.url, timeout=0.05).find(KEY.id)
    assert not patient.done()
    patient.cancel()


@pytest.mark.parametrize("answer", [hang, drip])
async def test_keeps_the_old_keys_if_the_answer_takes_too_long(
    make_key_set: MakeKeySet, issuer: Issuer, clock: HandClock, answer: ASGIApp
) -> None:
    key_set = make_key_set(issuer.url, timeout=60)
    assert await has(key_set, KEY)
    issuer.answer = answer
    key_set._timeout = 0.05  # noqa: SLF001  the first fetch may take longer
    clock.now += LIFETIME + 1

    assert await has(key_set, KEY)


async def test_its_own_timeout_overrides_that_of_the_http_client(
    make_key_set: MakeKeySet, issuer: Issuer
) -> None:
    async with httpx2.AsyncClient(timeout=1e-9, verify=NO_AUTHORITIES) as client:
        assert await has(make_key_set(issuer.url, client=client), KEY)


async def test_finds_a_known_key_at_once_during_an_outage(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    assert await has(key_set, KEY)
    issuer.answer = Response(status_code=500)
    clock.now += LIFETIME + 1
    assert await has(key_set, KEY)
    issuer.publish(NEXT_KEY)
    issuer.shut_gate()
    clock.now += COOLDOWN

    assert await has(key_set, KEY)

    await issuer.asked.wait()
    issuer.gate.set()
    assert await has(key_set, NEXT_KEY), "by the fetch that was under way"
    assert issuer.fetches == 3


async def test_does_not_repeat_a_failed_fetch_before_the_cooldown_is_over(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    issuer.answer = Response(status_code=500)
    for _ in range(10):
        with pytest.raises(DependencyUnavailable):
            await key_set.find(KEY.id)
    assert issuer.fetches == 1

    clock.now += COOLDOWN
    issuer.publish(KEY)

    assert await has(key_set, KEY)
    assert issuer.fetches == 2


async def test_does_not_repeat_a_failed_refresh_before_the_cooldown_is_over(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    assert await has(key_set, KEY)
    issuer.answer = Response(status_code=500)
    clock.now += LIFETIME + 1

    for _ in range(10):
        assert await has(key_set, KEY)
    assert issuer.fetches == 2


async def test_is_unavailable_for_an_unknown_key_while_the_issuer_is_down(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    assert await has(key_set, KEY)
    issuer.answer = Response(status_code=500)
    clock.now += COOLDOWN

    for _ in range(2):
        with pytest.raises(DependencyUnavailable):
            await key_set.find("unknown")
    assert await has(key_set, KEY)

    clock.now += COOLDOWN
    issuer.publish(KEY)
    assert await key_set.find("unknown") is None


# Many at once


async def test_fetches_once_for_many_callers_at_once(key_set: KeySet, issuer: Issuer) -> None:
    issuer.shut_gate()
    finds = [asyncio.create_task(has(key_set, KEY)) for _ in range(50)]
    await issuer.asked.wait()
    issuer.gate.set()

    assert all(await asyncio.gather(*finds))
    assert issuer.fetches == 1


async def test_fetches_once_for_many_callers_that_need_a_new_key(
    key_set: KeySet, issuer: Issuer
) -> None:
    assert await has(key_set, KEY)
    issuer.publish(NEXT_KEY)
    issuer.shut_gate()
    finds = [asyncio.create_task(has(key_set, NEXT_KEY)) for _ in range(50)]
    await issuer.asked.wait()
    issuer.gate.set()

    assert all(await asyncio.gather(*finds))
    assert issuer.fetches == 2


async def test_one_failed_fetch_answers_many_callers_at_once(
    key_set: KeySet, issuer: Issuer
) -> None:
    issuer.answer = Response(status_code=500)
    issuer.shut_gate()
    finds = [asyncio.create_task(key_set.find(KEY.id)) for _ in range(50)]
    await issuer.asked.wait()
    issuer.gate.set()

    outcomes = await asyncio.gather(*finds, return_exceptions=True)

    assert {type(outcome) for outcome in outcomes} == {DependencyUnavailable}
    assert issuer.fetches == 1


async def test_fetches_once_for_many_unknown_keys_before_the_cooldown_is_over(
    key_set: KeySet, issuer: Issuer, clock: HandClock
) -> None:
    assert await has(key_set, KEY)

    for number in range(20):
        assert await key_set.find(f"unknown-{number}") is None
    assert issuer.fetches == 2

    clock.now += COOLDOWN
    assert await key_set.find("unknown-0") is None
    assert issuer.fetches == 3


async def test_a_cancelled_caller_does_not_cancel_the_fetch_of_the_others(
    key_set: KeySet, issuer: Issuer
) -> None:
    issuer.shut_gate()
    impatient = asyncio.create_task(has(key_set, KEY))
    patient = asyncio.create_task(has(key_set, KEY))
    await issuer.asked.wait()

    impatient.cancel()
    await asyncio.wait([impatient])
    issuer.gate.set()

    assert impatient.cancelled()
    assert await patient
    assert issuer.fetches == 1


async def test_waiting_callers_learn_that_it_is_unavailable_when_it_closes(
    key_set: KeySet, issuer: Issuer
) -> None:
    issuer.shut_gate()
    find = asyncio.create_task(key_set.find(KEY.id))
    await issuer.asked.wait()

    await key_set.close()
    issuer.gate.set()

    with pytest.raises(DependencyUnavailable):
        await find


# Keys that no token is checked with


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({"kty": "oct", "k": "c2VjcmV0" * 8, "alg": "HS256"}, id="oct"),
        pytest.param({"kty": "oct"}, id="oct_without_value"),
        pytest.param({"kty": "RSA", "alg": "none"}, id="alg_none"),
        pytest.param(KEY.jwk | {"alg": "RS256"}, id="alg_of_another_type"),
        pytest.param(RSA_KEY.jwk | {"alg": "PS256"}, id="alg_not_supported"),
        pytest.param(KEY.jwk | {"alg": ["ES256"]}, id="alg_a_list"),
        pytest.param(KEY.jwk | {"use": "enc"}, id="for_encryption"),
        pytest.param(KEY.jwk | {"use": ["sig"]}, id="use_a_list"),
        pytest.param(an_rs256_key("weak", bits=1024).jwk, id="weak_rsa"),
        pytest.param(P_384, id="p_384"),
        pytest.param(P_384 | {"alg": "ES256"}, id="p_384_that_says_es256"),
        pytest.param(ED25519, id="ed25519"),
        pytest.param(KEY.private_jwk, id="private_ec"),
        pytest.param(RSA_KEY.private_jwk, id="private_rsa"),
        pytest.param(KEY.jwk | {"x": KEY.jwk["y"]}, id="point_not_on_the_curve"),
        pytest.param(KEY.jwk | {"x": None}, id="x_null"),
        pytest.param(KEY.jwk | {"x": "\ud800"}, id="x_a_surrogate"),
        pytest.param(KEY.jwk | {"crv": ["P-256"]}, id="crv_a_list"),
        pytest.param(RSA_KEY.jwk | {"n": "AA"}, id="modulus_0"),
        pytest.param(RSA_KEY.jwk | {"e": "AQ"}, id="exponent_1"),
        pytest.param(KEY.jwk | {"kty": None}, id="kty_null"),
        pytest.param({}, id="empty"),
    ],
)
async def test_ignores_keys_for_other_uses_and_algorithms(
    key_set: KeySet, issuer: Issuer, odd: dict[str, Any]
) -> None:
    issuer.answer = Response(json.dumps({"keys": [odd | {"kid": "odd"}, KEY.jwk]}))

    assert await key_set.find("odd") is None
    assert await has(key_set, KEY)


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param({**KEY.jwk, "kid": None}, id="kid_null"),
        pytest.param({**KEY.jwk, "kid": 7}, id="kid_a_number"),
        pytest.param({**KEY.jwk, "kid": ["autumn"]}, id="kid_a_list"),
        pytest.param("autumn", id="string"),
        pytest.param(None, id="null"),
        pytest.param([KEY.jwk], id="array"),
    ],
)
async def test_ignores_malformed_keys(key_set: KeySet, issuer: Issuer, odd: Any) -> None:
    issuer.answer = JSONResponse({"keys": [odd, KEY.jwk, odd]})

    assert await has(key_set, KEY)


# Through the app


@pytest.fixture
async def lone_issuer() -> AsyncIterator[Issuer]:
    """An issuer on the event loop of the test, where the app also runs."""
    async with an_issuer(KEY) as issuer:
        yield issuer


@pytest.mark.asyncio(loop_scope="function")
async def test_returns_503_if_the_issuer_is_down_when_the_app_starts(
    start_app: StartApp, database: TestDatabase
) -> None:
    async with an_issuer(KEY) as issuer:
        url = issuer.url
    app = await start_app(jwt_secret=None, jwks_url=url)
    session = await database.a_session()
    before = await database.row(session)

    response = await app.fail(session, headers=bearer(KEY.token(session.user_id)))

    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert response.json() == {
        "error": {
            "code": "DEPENDENCY_UNAVAILABLE",
            "message": "Something that the service depends on cannot be reached. Try again.",
            "details": {"requestId": response.headers["X-Request-Id"]},
        }
    }
    assert "WWW-Authenticate" not in response.headers
    assert await database.row(session) == before
    assert await database.events() == []


@pytest.mark.asyncio(loop_scope="function")
async def test_returns_503_when_the_issuer_hangs(
    start_app: StartApp, database: TestDatabase, lone_issuer: Issuer
) -> None:
    lone_issuer.answer = hang
    app = await start_app(jwt_secret=None, jwks_url=lone_issuer.url, jwks_timeout_seconds=0.05)
    session = await database.a_session()

    response = await app.fail(session, headers=bearer(KEY.token(session.user_id)))

    assert response.status_code == 503
    assert response.json()["error"]["code"] == "DEPENDENCY_UNAVAILABLE"


@pytest.mark.asyncio(loop_scope="function")
async def test_returns_200_once_the_issuer_is_up_again(
    start_app: StartApp, database: TestDatabase, lone_issuer: Issuer
) -> None:
    lone_issuer.answer = Response(status_code=503)
    app = await start_app(jwt_secret=None, jwks_url=lone_issuer.url, jwks_cooldown_seconds=1e-9)
    session = await database.a_session()
    headers = bearer(KEY.token(session.user_id))
    down = await app.fail(session, headers=headers)
    lone_issuer.publish(KEY)

    up = await app.fail(session, headers=headers)

    assert [down.status_code, up.status_code] == [503, 200]


@pytest.mark.asyncio(loop_scope="function")
async def test_returns_200_for_a_key_published_after_the_start(
    start_app: StartApp, database: TestDatabase, lone_issuer: Issuer
) -> None:
    app = await start_app(jwt_secret=None, jwks_url=lone_issuer.url)
    old, new = await database.a_session(), await database.a_session()
    before = await app.fail(old, headers=bearer(KEY.token(old.user_id)))
    lone_issuer.publish(NEXT_KEY)

    after = await app.fail(new, headers=bearer(NEXT_KEY.token(new.user_id)))

    assert [before.status_code, after.status_code] == [200, 200]
    assert lone_issuer.fetches == 2


@pytest.mark.asyncio(loop_scope="function")
async def test_returns_200_for_hs256_while_the_issuer_is_down(
    start_app: StartApp, database: TestDatabase, lone_issuer: Issuer
) -> None:
    lone_issuer.answer = hang
    app = await start_app(jwks_url=lone_issuer.url, jwks_timeout_seconds=0.05)
    session, other = await database.a_session(), await database.a_session()
    by_key = await app.fail(other, headers=bearer(KEY.token(other.user_id)))
    fetches = lone_issuer.fetches

    by_secret = await app.fail(session, headers=bearer(a_token(session.user_id)))

    assert [by_key.status_code, by_secret.status_code] == [503, 200]
    assert lone_issuer.fetches == fetches


@pytest.mark.asyncio(loop_scope="function")
@pytest.mark.parametrize(
    "token",
    [
        pytest.param("gymbag", id="no_token_at_all"),
        pytest.param(
            KEY.token(headers={"jku": "https://evil.example/"}), id="header_not_understood"
        ),
        pytest.param(RSA_KEY.token(headers={"alg": "PS256"}), id="alg_not_supported"),
        pytest.param(a_token(headers={"kid": KEY.id}), id="hs256"),
        pytest.param(a_token(key=KEY.private, algorithm="ES256"), id="no_kid"),
    ],
)
async def test_returns_401_without_a_fetch_for_a_token_that_no_key_can_verify(
    start_app: StartApp, database: TestDatabase, lone_issuer: Issuer, token: str
) -> None:
    app = await start_app(jwt_secret=None, jwks_url=lone_issuer.url)

    response = await app.fail(await database.a_session(), headers=bearer(token))

    assert response.status_code == 401
    assert lone_issuer.fetches == 0
