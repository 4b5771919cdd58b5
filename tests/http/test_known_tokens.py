"""Tokens that were checked before: known for as long as they are valid, and no longer."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from service.http import auth
from service.http.auth import LEEWAY_SECONDS, Authenticator
from service.http.errors import Unauthenticated
from service.http.key_set import KeySet
from tests.builders import SECRET, a_token
from tests.http.issuer import NewIssuer, an_es256_key, issuers
from tests.running import NO_AUTHORITIES

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIFETIME = 60
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


def an_authenticator(clock: HandClock, key_set: KeySet | None = None) -> Authenticator:
    return Authenticator(
        secret=SECRET, key_set=key_set, audience="authenticated", issuer=None, clock=clock
    )


async def test_a_known_token_expires() -> None:
    user_id = uuid4()
    clock = HandClock(1_000_000)
    authenticator = an_authenticator(clock)
    header = [f"Bearer {a_token(user_id, iat=1_000_000, exp=1_000_000 + LIFETIME)}"]
    assert await authenticator.user_id(header) == user_id

    clock.now += LIFETIME + LEEWAY_SECONDS - 1
    assert await authenticator.user_id(header) == user_id
    clock.now += 1
    with pytest.raises(Unauthenticated):
        await authenticator.user_id(header)


async def test_a_known_token_ends_with_its_key(new_issuer: NewIssuer) -> None:
    """The issuer gives another key the same name."""
    user_id = uuid4()
    issuer = new_issuer(KEY)
    keys_age = HandClock(0)
    async with httpx2.AsyncClient(verify=NO_AUTHORITIES) as client:
        key_set = KeySet(
            client, issuer.url, lifetime=60, outage=0, cooldown=0, timeout=30, clock=keys_age
        )
        authenticator = an_authenticator(HandClock(1_000_000), key_set)
        token = KEY.token(user_id, iat=1_000_000, exp=1_003_600)
        assert await authenticator.user_id([f"Bearer {token}"]) == user_id
        assert await authenticator.user_id([f"Bearer {token}"]) == user_id

        issuer.publish(NEXT_KEY)
        keys_age.now += 61
        with pytest.raises(Unauthenticated):
            await authenticator.user_id([f"Bearer {token}"])
        await key_set.close()


async def test_only_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "TOKENS_KNOWN", 2)
    users = [uuid4() for _ in range(5)]
    authenticator = an_authenticator(HandClock(1_000_000))
    headers = [[f"Bearer {a_token(each, iat=1_000_000, exp=1_003_600)}"] for each in users]

    for _ in range(2):
        assert [await authenticator.user_id(each) for each in headers] == users
    assert len(authenticator._known) <= 2  # noqa: SLF001  nothing else can tell
