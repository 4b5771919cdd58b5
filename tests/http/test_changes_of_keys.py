# SPDX-License-Identifier: MIT
"""Keys of tokens change while users are signed in: to signing keys, and in an emergency."""

import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx2
import pytest

from service.http.auth import Authenticator
from service.http.errors import Unauthenticated
from service.http.key_set import KeySet
from service.http.token_refusals import RefusedTokens, TokenRefusal
from tests.builders import SECRET, a_token, bearer
from tests.conftest import StartApp
from tests.http.issuer import Issuer, NewIssuer, an_es256_key, issuers
from tests.running import NO_AUTHORITIES, App, eventually

USER = uuid4()
LEGACY = a_token(USER)
KEY, NEXT_KEY = an_es256_key("autumn"), an_es256_key("winter")
LIFETIME = 600


@pytest.fixture
async def new_issuer() -> AsyncIterator[NewIssuer]:
    async with issuers() as new:
        yield new


async def statuses(app: App, *tokens: str) -> list[int]:
    answers = [await app.client.get("/sessions", headers=bearer(each)) for each in tokens]
    return [answer.status_code for answer in answers]


async def test_no_token_is_refused_while_a_project_moves_from_its_secret_to_signing_keys(
    start_app: StartApp, new_issuer: NewIssuer
) -> None:
    """Each step ends before the next begins; replicas of both steps run meanwhile."""
    issuer = new_issuer()
    signed = KEY.token(USER)
    of_secret = await start_app(jwt_secret=SECRET)
    assert await statuses(of_secret, LEGACY) == [200]

    issuer.publish(KEY)  # as a standby key
    of_both = await start_app(jwt_secret=SECRET, jwks_url=issuer.url)
    for replica in (of_secret, of_both):
        assert await statuses(replica, LEGACY) == [200]

    # The project rotates its keys: from now on it signs with the new one.
    assert await statuses(of_both, LEGACY, signed) == [200, 200]

    # The last tokens of the secret have expired.
    of_keys = await start_app(jwt_secret=None, jwks_url=issuer.url)
    for replica in (of_both, of_keys):
        assert await statuses(replica, signed) == [200]
    assert await statuses(of_keys, LEGACY) == [401]


async def test_an_anonymous_user_is_served_and_keeps_the_sessions_after_signing_up(
    app: App,
) -> None:
    anonymous = bearer(a_token(USER, is_anonymous=True, email=""))
    signed_up = bearer(a_token(USER, is_anonymous=False, email="runner@example.com"))

    planned = await app.client.post("/sessions", headers=anonymous)
    path = planned.headers["Location"]

    assert planned.status_code == 201
    assert (await app.client.get(path, headers=signed_up)).json() == planned.json()
    assert (await app.client.post(f"{path}/start", headers=signed_up)).status_code == 200


# Revocation


class HandClock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Revoking:
    """An authenticator that knows a token of the key which the issuer then revokes."""

    def __init__(self, client: httpx2.AsyncClient, issuer: Issuer) -> None:
        self.refusals: list[TokenRefusal] = []
        self.age = HandClock()
        self.key_set = KeySet(
            client,
            issuer.url,
            lifetime=LIFETIME,
            outage=3600,
            cooldown=10,
            timeout=30,
            clock=self.age,
        )
        self._authenticator = Authenticator(
            secret=None,
            key_set=self.key_set,
            audience="authenticated",
            issuer=None,
            refused=RefusedTokens(lambda refusal, _count: self.refusals.append(refusal)),
        )
        self._token = KEY.token(USER, iat=int(time.time()))

    async def user_at(self, age: float) -> UUID | None:
        """The user of the token when the keys are so old; None if it is refused."""
        self.age.now = age
        try:
            return await self._authenticator.authenticate([f"Bearer {self._token}"])
        except Unauthenticated:
            return None


@pytest.fixture
async def issuer(new_issuer: NewIssuer) -> Issuer:
    return new_issuer(KEY, NEXT_KEY)


@pytest.fixture
async def revoking(issuer: Issuer) -> AsyncIterator[Revoking]:
    async with httpx2.AsyncClient(verify=NO_AUTHORITIES) as client:
        revoking = Revoking(client, issuer)
        assert await revoking.user_at(0) == USER
        issuer.publish(NEXT_KEY)
        yield revoking
        await revoking.key_set.close()


async def test_a_revoked_key_lives_for_half_of_the_lifetime_under_traffic(
    revoking: Revoking, issuer: Issuer
) -> None:
    """The first request after it starts a fetch, and is still answered with the old keys."""
    assert await revoking.user_at(LIFETIME / 2) == USER
    assert issuer.fetches == 1

    async def is_refused() -> bool:
        return await revoking.user_at(LIFETIME / 2 + 1) is None

    assert not await is_refused()
    await eventually(is_refused)
    assert revoking.refusals == [TokenRefusal.UNKNOWN_KEY_ID]


async def test_a_revoked_key_lives_for_no_more_than_the_lifetime_without_traffic(
    revoking: Revoking,
) -> None:
    assert await revoking.user_at(LIFETIME + 1) is None


async def test_a_restart_refuses_a_key_that_the_issuer_has_revoked(
    start_app: StartApp, issuer: Issuer
) -> None:
    token = KEY.token(USER)
    before = await start_app(jwt_secret=None, jwks_url=issuer.url)
    assert await statuses(before, token) == [200]

    issuer.publish(NEXT_KEY)
    restarted = await start_app(jwt_secret=None, jwks_url=issuer.url)

    assert await statuses(before, token) == [200]
    assert await statuses(restarted, token, NEXT_KEY.token(USER)) == [401, 200]


async def test_a_key_set_of_ones_own_refuses_a_key_that_a_cache_still_serves(
    start_app: StartApp, new_issuer: NewIssuer, issuer: Issuer
) -> None:
    token = KEY.token(USER)
    own = new_issuer(NEXT_KEY)
    behind_the_cache = await start_app(jwt_secret=None, jwks_url=issuer.url)
    assert await statuses(behind_the_cache, token) == [200]

    restarted = await start_app(jwt_secret=None, jwks_url=own.url)

    assert await statuses(restarted, token, NEXT_KEY.token(USER)) == [401, 200]
