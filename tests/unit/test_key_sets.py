# SPDX-License-Identifier: MIT
"""Keys that a key set holds but that verify no token: named by their `kid`, with the reason."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import structlog.testing
from cryptography.hazmat.primitives.asymmetric import ec
from jwt import get_algorithm_by_name

from service.application.errors import DependencyUnavailable
from service.http.jwks import KEY_ID_SHOWN, read_keys
from service.http.key_set import KeySet
from service.http.key_set_download import KEY_SET_MAX_BYTES
from tests.http.issuer import an_es256_key, an_rs256_key
from tests.running import NO_AUTHORITIES

NO_KID = "it is not an object with a kid"
ANOTHER_USE = "its alg or use is another"
ANOTHER_TYPE = "its type is neither EC with P-256 nor RSA"
TOO_SHORT = "it is shorter than 2048 bits (RFC 7518, section 3.3)"

KEY = an_es256_key("autumn").jwk
SHORT = an_rs256_key("short", bits=1024).jwk
P_384 = get_algorithm_by_name("ES384").to_jwk(
    ec.generate_private_key(ec.SECP384R1()).public_key(), True
)


@pytest.mark.parametrize(
    ("key", "key_id", "why"),
    [
        ({"kid": "2026-11", "d": "secret"}, "2026-11", "it is a private key"),
        ({"kid": "k" * 1000, "d": "secret"}, "k" * KEY_ID_SHOWN, "it is a private key"),
        ({"kid": 7}, None, NO_KID),
        ({"alg": "ES256"}, None, NO_KID),
        ("text", None, NO_KID),
        (None, None, NO_KID),
        (KEY | {"alg": "RS256"}, "autumn", ANOTHER_USE),
        (KEY | {"use": "enc"}, "autumn", ANOTHER_USE),
        (KEY | {"x": "?"}, "autumn", "it is malformed"),
        (SHORT, "short", TOO_SHORT),
        (P_384 | {"kid": "large"}, "large", ANOTHER_TYPE),
        ({"kid": "listed", "kty": ["EC"]}, "listed", ANOTHER_TYPE),
    ],
    ids=[
        "private", "long", "number", "without", "text", "null",
        "alg", "use", "malformed", "short", "curve", "type",
    ],
)  # fmt: skip
def test_names_an_ignored_key_and_the_reason(key: Any, key_id: str | None, why: str) -> None:
    assert read_keys({"keys": [key]}) == ({}, [{"key_id": key_id, "why": why}])


@pytest.mark.parametrize("left_out", ["alg", "use", "alg and use"])
def test_a_key_needs_neither_alg_nor_use(left_out: str) -> None:
    given = {name: value for name, value in KEY.items() if name not in left_out.split()}

    usable, ignored = read_keys({"keys": [given]})

    assert (list(usable), ignored) == (["autumn"], [])


@pytest.mark.parametrize("key_set", [None, [], "text", {}, {"keys": None}, {"keys": {}}])
def test_refuses_what_is_no_key_set(key_set: Any) -> None:
    with pytest.raises(ValueError, match=r"^not a key set$"):
        read_keys(key_set)


ISSUER = "https://abc.supabase.co/auth/v1/.well-known/jwks.json"
IGNORED = {"key_id": "short", "why": TOO_SHORT}


@pytest.mark.parametrize(
    ("key_sets", "lines"),
    [
        ([[KEY]], []),
        ([[KEY, SHORT]], [(1, [IGNORED])]),
        ([[KEY, SHORT], [KEY, SHORT]], [(1, [IGNORED])]),
        ([[KEY], [KEY, SHORT], [KEY], [SHORT]], [(1, [IGNORED]), (0, [IGNORED])]),
        ([[]], [(0, [])]),
        ([[SHORT] * 12], [(0, [IGNORED] * 10)]),
    ],
    ids=["none", "one", "twice the same", "changes", "an empty set", "many"],
)
async def test_logs_the_ignored_keys_when_they_change(
    key_sets: list[list[Any]], lines: list[Any]
) -> None:
    published = iter(key_sets)
    answer = httpx2.MockTransport(lambda _: httpx2.Response(200, json={"keys": next(published)}))
    async with httpx2.AsyncClient(transport=answer, verify=NO_AUTHORITIES) as client:
        key_set = KeySet(client, ISSUER, lifetime=0, outage=0, cooldown=0, timeout=30, clock=float)
        with structlog.testing.capture_logs() as logged:
            for _ in key_sets:
                await key_set.find("spring")

    assert {each["event"] for each in logged} <= {"keys of the key set ignored"}
    assert [(each["usable"], each["ignored"]) for each in logged] == lines


@pytest.mark.parametrize(
    ("answer", "error", "status"),
    [
        (httpx2.Response(500), "HTTPStatusError", 500),
        (httpx2.Response(200, content=b"{"), "JSONDecodeError", None),
        (httpx2.Response(200, content=b" " * KEY_SET_MAX_BYTES + b"{}"), "ValueError", None),
    ],
    ids=["status", "no JSON", "too large"],
)
async def test_logs_why_a_key_set_was_not_fetched_and_names_the_dependency(
    answer: httpx2.Response, error: str, status: int | None
) -> None:
    transport = httpx2.MockTransport(lambda _: answer)
    async with httpx2.AsyncClient(transport=transport, verify=NO_AUTHORITIES) as client:
        key_set = KeySet(client, ISSUER, lifetime=0, outage=0, cooldown=0, timeout=30, clock=float)
        with (
            structlog.testing.capture_logs() as logged,
            pytest.raises(DependencyUnavailable) as caught,
        ):
            await key_set.find("autumn")

    [line] = logged
    assert caught.value.dependency == "key set"
    assert (line["event"], line["error"], line["status"]) == ("key set not fetched", error, status)


async def test_reads_a_key_set_of_the_largest_size_in_parts() -> None:
    whole = json.dumps({"keys": [KEY]}).encode().ljust(KEY_SET_MAX_BYTES)
    parts = [whole[:100], whole[100:]]
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, content=_stream(parts)))
    async with httpx2.AsyncClient(transport=transport, verify=NO_AUTHORITIES) as client:
        key_set = KeySet(client, ISSUER, lifetime=0, outage=0, cooldown=0, timeout=30, clock=float)

        assert await key_set.find("autumn")


async def _stream(parts: list[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def test_names_the_dependency_if_a_key_cannot_be_looked_for() -> None:
    answers = iter([httpx2.Response(200, json={"keys": [KEY]}), httpx2.Response(500)])
    transport = httpx2.MockTransport(lambda _: next(answers))
    async with httpx2.AsyncClient(transport=transport, verify=NO_AUTHORITIES) as client:
        key_set = KeySet(client, ISSUER, lifetime=9, outage=9, cooldown=0, timeout=30, clock=float)
        assert await key_set.find("autumn")

        with pytest.raises(DependencyUnavailable) as caught:
            await key_set.find("winter")

    assert caught.value.dependency == "key set"
