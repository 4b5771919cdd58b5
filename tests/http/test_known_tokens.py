# SPDX-License-Identifier: MIT
"""Verified tokens are kept until they expire or their key changes, and no longer."""

import time
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import jwt
import pytest
import pytest_asyncio

from service.application.errors import DependencyUnavailable
from service.http import auth
from service.http.auth import Authenticator
from service.http.claims import LEEWAY_SECONDS
from service.http.errors import Unauthenticated
from service.http.key_set import KeySet
from service.http.observing import KeySetFetch, ObserveTokenCheck, TokenCheck, ignore
from service.http.token_refusals import RefusedTokens
from tests.builders import SECRET, a_token
from tests.http.issuer import NewIssuer, an_es256_key, break_off, issuers
from tests.running import NO_AUTHORITIES

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIFETIME = 3600
NOW = int(time.time())
KEY, NEXT_KEY = an_es256_key("autumn"), an_es256_key("autumn")


class HandClock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def new_issuer() -> AsyncIterator[NewIssuer]:
    async with issuers() as new:
        yield new


def an_authenticator(
    clock: HandClock,
    key_set: KeySet | None = None,
    *,
    secret: str = SECRET,
    observe: ObserveTokenCheck = ignore,
) -> Authenticator:
    return Authenticator(
        secret=secret,
        key_set=key_set,
        audience="authenticated",
        issuer=None,
        refused=RefusedTokens(),
        clock=clock,
        observe=observe,
    )


async def test_tells_how_each_check_ended() -> None:
    seen: list[TokenCheck] = []
    clock, token = HandClock(NOW), a_token(iat=NOW, exp=NOW + LIFETIME)
    authenticator = an_authenticator(clock, observe=seen.append)
    for _ in range(2):
        await authenticator.authenticate([f"Bearer {token}"])
    clock.now = NOW + LIFETIME + LEEWAY_SECONDS

    for refused in ([f"Bearer {token}"], []):
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(refused)

    assert seen == ["verified", "known", "refused", "refused"]


async def test_tells_of_fetches_and_of_tokens_that_no_key_set_can_check(
    new_issuer: NewIssuer,
) -> None:
    fetches: list[KeySetFetch] = []
    checks: list[TokenCheck] = []
    issuer = new_issuer(KEY)
    async with httpx2.AsyncClient(verify=NO_AUTHORITIES) as client:
        key_set = KeySet(
            client, issuer.url, lifetime=600, outage=0, cooldown=60, timeout=5,
            observe=fetches.append,
        )  # fmt: skip
        authenticator = an_authenticator(HandClock(NOW), key_set, observe=checks.append)
        await authenticator.authenticate([f"Bearer {KEY.token(iat=NOW)}"])
        issuer.answer = break_off
        with pytest.raises(DependencyUnavailable):
            await authenticator.authenticate([f"Bearer {an_es256_key('winter').token(iat=NOW)}"])

    assert fetches == ["ok", "failed"]
    assert checks == ["verified", "unavailable"]


@pytest.mark.parametrize("secret", ["W" * 33, "=" * 32, "é" * 20], ids=["W", "=", "accents"])
async def test_verifies_with_every_character_of_the_secret(secret: str) -> None:
    """In base64 the first ends with X, which is a letter like any other."""
    user_id = uuid4()
    authenticator = an_authenticator(HandClock(NOW), secret=secret)

    token = a_token(user_id, key=secret, iat=NOW)

    assert await authenticator.authenticate([f"Bearer {token}"]) == user_id


async def test_a_kept_token_is_not_verified_again(monkeypatch: pytest.MonkeyPatch) -> None:
    user_id = uuid4()
    authenticator = an_authenticator(HandClock(NOW))
    header = [f"Bearer {a_token(user_id, iat=NOW)}"]
    assert await authenticator.authenticate(header) == user_id

    monkeypatch.setattr(jwt.PyJWS, "decode", None)

    assert await authenticator.authenticate(header) == user_id


async def test_a_kept_token_expires() -> None:
    user_id = uuid4()
    clock = HandClock(NOW)
    authenticator = an_authenticator(clock)
    header = [f"Bearer {a_token(user_id, iat=NOW, exp=NOW + LIFETIME)}"]
    assert await authenticator.authenticate(header) == user_id

    clock.now += LIFETIME + LEEWAY_SECONDS - 1
    assert await authenticator.authenticate(header) == user_id
    clock.now += 1
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(header)


async def test_a_kept_token_is_refused_once_its_key_has_changed(new_issuer: NewIssuer) -> None:
    """The issuer publishes another key with the same id."""
    user_id = uuid4()
    issuer = new_issuer(KEY)
    keys_age = HandClock(0)
    async with httpx2.AsyncClient(verify=NO_AUTHORITIES) as client:
        key_set = KeySet(
            client, issuer.url, lifetime=60, outage=0, cooldown=0, timeout=30, clock=keys_age
        )
        authenticator = an_authenticator(HandClock(NOW), key_set)
        token = KEY.token(user_id, iat=NOW, exp=NOW + 3600)
        assert await authenticator.authenticate([f"Bearer {token}"]) == user_id
        assert await authenticator.authenticate([f"Bearer {token}"]) == user_id

        issuer.publish(NEXT_KEY)
        keys_age.now += 61
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate([f"Bearer {token}"])
        await key_set.close()


async def test_keeps_a_bounded_number_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "VERIFIED_TOKENS_MAX", 2)
    users = [uuid4() for _ in range(5)]
    authenticator = an_authenticator(HandClock(NOW))
    headers = [[f"Bearer {a_token(each, iat=NOW, exp=NOW + 3600)}"] for each in users]

    for user_id, header in list(zip(users, headers, strict=True)) * 2:
        assert await authenticator.authenticate(header) == user_id
        assert len(authenticator._verified) <= 2  # noqa: SLF001  no public way shows it


async def test_a_full_cache_forgets_the_token_that_was_verified_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(auth, "VERIFIED_TOKENS_MAX", 2)
    seen: list[TokenCheck] = []
    authenticator = an_authenticator(HandClock(NOW), observe=seen.append)
    first, second, third = ([f"Bearer {a_token(iat=NOW, exp=NOW + 3600)}"] for _ in range(3))

    for header in (first, second, third, second, third, first):
        await authenticator.authenticate(header)

    assert seen == ["verified", "verified", "verified", "known", "known", "verified"]
