# SPDX-License-Identifier: MIT
"""Reads a JSON Web Key Set (RFC 7517): the keys that may verify tokens, and why not the others."""

from typing import Any, TypedDict

from jwt import PyJWK, PyJWKSet
from jwt.exceptions import PyJWKSetError

_ALGORITHMS: dict[tuple[Any, Any], str] = {("EC", "P-256"): "ES256", ("RSA", None): "RS256"}
"""The algorithm of a key by its `kty` and `crv`."""

ASYMMETRIC_ALGORITHMS = frozenset(_ALGORITHMS.values())
KEY_ID_SHOWN = 64


class IgnoredKey(TypedDict):
    key_id: str | None
    why: str


class _UnusableKey(Exception):
    pass


def read_keys(key_set: Any) -> tuple[dict[str, PyJWK], list[IgnoredKey]]:
    """The keys by their `kid`, and those that verify no token.

    Raises ValueError if this is not a key set.
    """
    if not isinstance(key_set, dict) or not isinstance(key_set.get("keys"), list):
        raise ValueError("not a key set")  # noqa: TRY004  the value came as text
    usable: dict[str, PyJWK] = {}
    ignored: list[IgnoredKey] = []
    for data in key_set["keys"]:
        try:
            usable[data["kid"]] = _read_key(data)
        except _UnusableKey as exc:
            ignored.append({"key_id": _key_id(data), "why": str(exc)})
    return usable, ignored


def _read_key(data: Any) -> PyJWK:
    """PyJWT alone would also accept private and short keys, and other curves and uses."""
    if not isinstance(data, dict) or not isinstance(data.get("kid"), str):
        raise _UnusableKey("it is not an object with a kid")
    if "d" in data:
        raise _UnusableKey("it is a private key")
    if (data.get("alg", _algorithm(data)), data.get("use", "sig")) != (_algorithm(data), "sig"):
        raise _UnusableKey("its alg or use is another")
    try:
        [key] = PyJWKSet([data]).keys
    except PyJWKSetError:
        raise _UnusableKey("it is malformed") from None
    if key.Algorithm.check_key_length(key.key):
        raise _UnusableKey("it is shorter than 2048 bits (RFC 7518, section 3.3)")
    return key


def _algorithm(data: dict[str, Any]) -> str:
    try:
        return _ALGORITHMS[data.get("kty"), data.get("crv")]
    except (KeyError, TypeError):
        raise _UnusableKey("its type is neither EC with P-256 nor RSA") from None


def _key_id(data: Any) -> str | None:
    key_id = data.get("kid") if isinstance(data, dict) else None
    return key_id[:KEY_ID_SHOWN] if isinstance(key_id, str) else None
