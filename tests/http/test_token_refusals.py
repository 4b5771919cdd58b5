# SPDX-License-Identifier: MIT
"""Why tokens are refused: the reason for each bad token, and how often it is reported."""

import time
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx2
import pytest
import pytest_asyncio

from service.application.errors import DependencyUnavailable
from service.http.auth import Authenticator
from service.http.errors import Unauthenticated
from service.http.key_set import KeySet
from service.http.token_refusals import LOG_INTERVAL_SECONDS, RefusedTokens, TokenRefusal
from tests.builders import a_token
from tests.http.issuer import an_es256_key, an_issuer, an_rs256_key
from tests.running import NO_AUTHORITIES

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = int(time.time())
A_DAY = 86_400  # no run of the tests takes as long
ISSUER = "https://abc.supabase.co/auth/v1"
KEY, IMPOSTOR, STRANGER = an_es256_key("autumn"), an_es256_key("autumn"), an_es256_key("unknown")
RSA_KEY, SHORT_KEY = an_rs256_key("autumn-rsa"), an_rs256_key("short", bits=1024)
OTHER_SECRET = "a secret of another project that is long enough"
USER = uuid4()

BY_SECRET: dict[str, tuple[str, TokenRefusal]] = {
    "a word": ("token", TokenRefusal.MALFORMED),
    "two segments": (a_token().rpartition(".")[0], TokenRefusal.MALFORMED),
    "signature cut": (a_token()[:-3] + "=", TokenRefusal.MALFORMED),
    "not ASCII": (a_token() + "é", TokenRefusal.MALFORMED),
    "too long": ("x" * 10_000, TokenRefusal.MALFORMED),
    "publishable key": ("sb_publishable_" + "x" * 30, TokenRefusal.API_KEY),
    "secret key": ("sb_secret_" + "x" * 30, TokenRefusal.API_KEY),
    "anon key": (a_token(role="anon", sub=None, aud=None), TokenRefusal.API_KEY),
    "service key": (a_token(role="service_role", sub=None, aud=None), TokenRefusal.API_KEY),
    "anon role": (a_token(role="anon"), TokenRefusal.API_KEY),
    "jku": (a_token(headers={"jku": "https://evil.example"}), TokenRefusal.UNSUPPORTED_HEADER),
    "crit": (a_token(headers={"crit": ["exp"]}), TokenRefusal.UNSUPPORTED_HEADER),
    "HS512": (a_token(key="x" * 64, algorithm="HS512"), TokenRefusal.UNSUPPORTED_ALGORITHM),
    "none": (a_token(key=None, algorithm="none"), TokenRefusal.UNSUPPORTED_ALGORITHM),
    "another secret": (a_token(key=OTHER_SECRET), TokenRefusal.BAD_HS256_SIGNATURE),
    "tampered": (a_token()[:-8] + "A" * 8, TokenRefusal.BAD_HS256_SIGNATURE),
    "expired": (a_token(exp=NOW - 60), TokenRefusal.EXPIRED),
    "iat ahead": (a_token(iat=NOW + A_DAY), TokenRefusal.NOT_YET_VALID),
    "nbf ahead": (a_token(nbf=NOW + A_DAY), TokenRefusal.NOT_YET_VALID),
    "exp a word": (a_token(exp=[NOW + 3600]), TokenRefusal.WRONG_DATE),
    "exp digits": (a_token(exp=str(NOW + 3600)), TokenRefusal.WRONG_DATE),
    "exp infinite": (a_token(exp=float("inf")), TokenRefusal.WRONG_DATE),
    "nbf a word": (a_token(nbf="now"), TokenRefusal.WRONG_DATE),
    "iat a word": (a_token(iat="now"), TokenRefusal.WRONG_DATE),
    "iat true": (a_token(iat=True), TokenRefusal.WRONG_DATE),
    "no exp": (a_token(exp=None), TokenRefusal.MISSING_EXP),
    "no sub": (a_token(sub=None), TokenRefusal.MISSING_SUB),
    "no aud": (a_token(aud=None), TokenRefusal.MISSING_AUD),
    "empty aud": (a_token(aud=""), TokenRefusal.MISSING_AUD),
    "no role": (a_token(role=None), TokenRefusal.MISSING_ROLE),
    "no iss": (a_token(iss=None), TokenRefusal.MISSING_ISS),
    "slash": (a_token(iss=ISSUER + "/"), TokenRefusal.ISSUER_SLASH),
    "another letter": (a_token(iss=ISSUER + "X"), TokenRefusal.WRONG_ISSUER),
    "another project": (
        a_token(iss=ISSUER.replace("abc", "xyz")),
        TokenRefusal.WRONG_ISSUER,
    ),
    "another aud": (a_token(aud="1034.apps.example.com"), TokenRefusal.WRONG_AUDIENCE),
    "aud a list": (a_token(aud=["admin"]), TokenRefusal.WRONG_AUDIENCE),
    "another role": (a_token(role="coach"), TokenRefusal.WRONG_ROLE),
    "sub an address": (a_token(sub="runner@example.com"), TokenRefusal.WRONG_SUBJECT),
    "sub of Firebase": (a_token(sub="7xJ2mZ0sKqYvN4tPbR1cD8eF9gH3"), TokenRefusal.WRONG_SUBJECT),
    "sub of Auth0": (a_token(sub="auth0|507f1f77bcf86cd799439011"), TokenRefusal.WRONG_SUBJECT),
    "sub of Clerk": (a_token(sub="user_2b7Xk9PqLmNcVdRt"), TokenRefusal.WRONG_SUBJECT),
    "by a key": (KEY.token(), TokenRefusal.KEY_SET_NOT_CONFIGURED),
}
BY_KEY_SET: dict[str, tuple[str, TokenRefusal]] = {
    "by a secret": (a_token(), TokenRefusal.HS256_NOT_CONFIGURED),
    "no kid": (a_token(key=KEY.private, algorithm="ES256"), TokenRefusal.KEY_ID_ABSENT),
    "unknown kid": (STRANGER.token(), TokenRefusal.UNKNOWN_KEY_ID),
    "short key": (RSA_KEY.token(headers={"kid": SHORT_KEY.id}), TokenRefusal.UNKNOWN_KEY_ID),
    "impostor": (IMPOSTOR.token(), TokenRefusal.BAD_SIGNATURE),
    "alg of another key": (KEY.token(headers={"kid": RSA_KEY.id}), TokenRefusal.ALGORITHM_OF_KEY),
    "expired": (KEY.token(exp=NOW - 60), TokenRefusal.EXPIRED),
}


class Reports:
    """What a log would say."""

    def __init__(self) -> None:
        self.lines: list[tuple[TokenRefusal, int]] = []
        self.now = 1000.0
        self.refused = RefusedTokens(
            lambda refusal, count: self.lines.append((refusal, count)), clock=lambda: self.now
        )


@pytest.fixture
def reports() -> Reports:
    return Reports()


def by_secret(reports: Reports, **overrides: Any) -> Authenticator:
    parts: dict[str, Any] = {
        "secret": "a secret of the tests that is long enough",
        "key_set": None,
        "audience": "authenticated",
        "issuer": ISSUER,
        "refused": reports.refused,
    }
    return Authenticator(**parts | overrides)


async def assert_refuses(authenticator: Authenticator, *authorization: str) -> None:
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(authorization)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def key_set() -> AsyncIterator[KeySet]:
    async with (
        an_issuer(KEY, RSA_KEY, SHORT_KEY) as issuer,
        httpx2.AsyncClient(verify=NO_AUTHORITIES) as client,
    ):
        key_set = KeySet(client, issuer.url, lifetime=600, outage=0, cooldown=0, timeout=30)
        yield key_set
        await key_set.close()


@pytest.mark.parametrize(("token", "refusal"), BY_SECRET.values(), ids=BY_SECRET)
async def test_reports_which_check_refused_a_token(
    reports: Reports, token: str, refusal: TokenRefusal
) -> None:
    await assert_refuses(by_secret(reports), f"Bearer {token}")

    assert reports.lines == [(refusal, 1)]


@pytest.mark.parametrize(("token", "refusal"), BY_KEY_SET.values(), ids=BY_KEY_SET)
async def test_reports_which_check_refused_a_token_by_the_key_set(
    reports: Reports, key_set: KeySet, token: str, refusal: TokenRefusal
) -> None:
    authenticator = by_secret(reports, secret=None, key_set=key_set)

    await assert_refuses(authenticator, f"Bearer {token}")

    assert reports.lines == [(refusal, 1)]


@pytest.mark.parametrize(
    ("authorization", "refusal"),
    [
        ([], TokenRefusal.ABSENT),
        (["Basic cnVubmVyOnJ1bm5lcg=="], TokenRefusal.ABSENT),
        (["Bearer "], TokenRefusal.ABSENT),
        ([f"Bearer {a_token()}", f"Bearer {a_token()}"], TokenRefusal.MALFORMED),
    ],
    ids=["none", "basic", "empty", "two"],
)
async def test_reports_an_absent_token(
    reports: Reports, authorization: list[str], refusal: TokenRefusal
) -> None:
    await assert_refuses(by_secret(reports), *authorization)

    assert reports.lines == [(refusal, 1)]


async def test_reports_a_slash_that_the_setting_has_and_the_token_lacks(reports: Reports) -> None:
    await assert_refuses(by_secret(reports, issuer=ISSUER + "/"), f"Bearer {a_token()}")

    assert reports.lines == [(TokenRefusal.ISSUER_SLASH, 1)]


async def test_a_letter_that_the_setting_has_and_the_token_lacks_is_no_slash(
    reports: Reports,
) -> None:
    await assert_refuses(by_secret(reports, issuer=ISSUER + "X"), f"Bearer {a_token()}")

    assert reports.lines == [(TokenRefusal.WRONG_ISSUER, 1)]


async def test_reports_nothing_for_accepted_tokens_and_for_a_missing_key_set(
    reports: Reports,
) -> None:
    class Unreachable:
        async def find(self, _key_id: str) -> None:
            raise DependencyUnavailable("key set")

    authenticator = by_secret(reports, key_set=Unreachable())

    assert await authenticator.authenticate([f"Bearer {a_token(USER)}"]) == USER
    with pytest.raises(DependencyUnavailable):
        await authenticator.authenticate([f"Bearer {KEY.token()}"])
    assert reports.lines == []


async def test_reports_that_a_known_token_expired(reports: Reports) -> None:
    clock = [NOW]
    authenticator = by_secret(reports, clock=lambda: clock[0])
    token = f"Bearer {a_token(USER, iat=NOW, exp=NOW + 3600)}"
    assert await authenticator.authenticate([token]) == USER

    clock[0] += 3700
    await assert_refuses(authenticator, token)

    assert reports.lines == [(TokenRefusal.EXPIRED, 1)]


def refuse(reports: Reports, refusal: TokenRefusal, times: int = 1) -> None:
    for _ in range(times):
        reports.refused.count(refusal)


async def test_reports_the_first_refusal_at_once_and_the_others_together(reports: Reports) -> None:
    refuse(reports, TokenRefusal.EXPIRED, 100)
    assert reports.lines == [(TokenRefusal.EXPIRED, 1)]

    reports.now += LOG_INTERVAL_SECONDS - 0.1
    refuse(reports, TokenRefusal.EXPIRED)
    assert len(reports.lines) == 1
    reports.now += 0.1
    refuse(reports, TokenRefusal.EXPIRED, 5)

    assert reports.lines[1:] == [(TokenRefusal.EXPIRED, 101)]


async def test_counts_each_reason_by_itself(reports: Reports) -> None:
    refuse(reports, TokenRefusal.EXPIRED, 2)
    refuse(reports, TokenRefusal.WRONG_ISSUER, 3)
    reports.now += LOG_INTERVAL_SECONDS
    refuse(reports, TokenRefusal.WRONG_ISSUER)

    assert reports.lines == [
        (TokenRefusal.EXPIRED, 1),
        (TokenRefusal.WRONG_ISSUER, 1),
        (TokenRefusal.WRONG_ISSUER, 3),
    ]


async def test_reports_at_most_once_a_minute_for_each_reason(reports: Reports) -> None:
    for _ in range(600):
        refuse(reports, TokenRefusal.BAD_SIGNATURE)
        reports.now += 1

    assert [count for _, count in reports.lines] == [1, *[60] * 9]


async def test_reports_what_is_left_when_it_closes(reports: Reports) -> None:
    refuse(reports, TokenRefusal.EXPIRED, 4)
    refuse(reports, TokenRefusal.MALFORMED)

    reports.refused.close()
    reports.refused.close()

    assert reports.lines[2:] == [(TokenRefusal.EXPIRED, 3)]


async def test_no_two_reasons_say_the_same() -> None:
    reasons = [refusal.reason for refusal in TokenRefusal]
    assert len(set(reasons)) == len(set(TokenRefusal.__members__)) == len(reasons)
