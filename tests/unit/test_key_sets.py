"""Keys that a key set holds but that verify no token: named by their `kid`, with the reason."""

from typing import Any

import pytest

from service.http.jwks import KEY_ID_SHOWN, read_keys

NO_KID = "it is not an object with a kid"


@pytest.mark.parametrize(
    ("key", "key_id", "why"),
    [
        ({"kid": "2026-11", "d": "secret"}, "2026-11", "it is a private key"),
        ({"kid": "k" * 1000, "d": "secret"}, "k" * KEY_ID_SHOWN, "it is a private key"),
        ({"kid": 7}, None, NO_KID),
        ({"alg": "ES256"}, None, NO_KID),
        ("text", None, NO_KID),
        (None, None, NO_KID),
    ],
    ids=["private", "long", "number", "without", "text", "null"],
)
def test_names_an_ignored_key_and_the_reason(key: Any, key_id: str | None, why: str) -> None:
    assert read_keys({"keys": [key]}) == ({}, [{"key_id": key_id, "why": why}])


@pytest.mark.parametrize("key_set", [None, [], "text", {}, {"keys": None}, {"keys": {}}])
def test_refuses_what_is_no_key_set(key_set: Any) -> None:
    with pytest.raises(ValueError, match="not a key set"):
        read_keys(key_set)
