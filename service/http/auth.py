"""Who is calling: Supabase access tokens (RFC 7519), checked as RFC 8725 advises."""

import base64
import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import jwt

from service.http.errors import Unauthenticated
from service.http.fields import canonical_uuid
from service.http.jwks import KeySet

LEEWAY_SECONDS = 30
TOKEN_MAX_LENGTH = 8192
ROLE = "authenticated"

_TIMES = ("exp", "nbf", "iat")
_ASYMMETRIC = {"ES256", "RS256"}
_NOT_UNDERSTOOD = {"crit", "b64", "jwk", "jku", "x5c", "x5u"}
"""Headers that ask for more than is done here, or bring a key of their own."""


class Authenticator:
    """Checks tokens with `secret` (HS256), with keys of `key_set` (ES256, RS256), or both.

    Where a key came from decides which algorithm it is for; what the token says only chooses
    among the keys. `issuer` None takes any.
    """

    def __init__(
        self, *, secret: str | None, key_set: KeySet | None, audience: str, issuer: str | None
    ) -> None:
        self._secret = secret
        self._key_set = key_set
        self._audience = audience
        self._issuer = issuer

    async def user_id(self, authorization: Sequence[str]) -> UUID:
        """The user whom these `Authorization` headers name.

        Raises Unauthenticated, and DependencyUnavailable where the keys cannot be had.
        """
        token = _bearer_token(authorization)
        try:
            key, algorithm = await self._key_for(_header_of(token))
            claims = jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer,
                leeway=LEEWAY_SECONDS,
                options={
                    "require": ["exp", "sub", "aud", "role"],
                    "enforce_minimum_key_length": True,
                },
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            raise Unauthenticated from None
        user_id = canonical_uuid(claims["sub"])
        if user_id is None or claims["role"] != ROLE or not _times_are_numbers(claims):
            raise Unauthenticated
        return user_id

    async def _key_for(self, header: dict[str, Any]) -> tuple[Any, str]:
        if _NOT_UNDERSTOOD & header.keys():
            raise Unauthenticated
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == "HS256" and self._secret:
            return self._secret, "HS256"
        if algorithm in _ASYMMETRIC and self._key_set and isinstance(key_id, str):
            key = await self._key_set.find(key_id)
            if key:
                return key.key, key.algorithm_name
        raise Unauthenticated


def _header_of(token: str) -> dict[str, Any]:
    """Enough to choose a key by; PyJWT would check the whole token to tell it, and then again."""
    header = json.loads(base64.urlsafe_b64decode(token.partition(".")[0] + "=="))
    if not isinstance(header, dict):
        raise TypeError("a header is an object")
    return header


def _times_are_numbers(claims: dict[str, Any]) -> bool:
    """RFC 7519, section 2 (NumericDate); PyJWT takes whatever `int` takes."""
    return all(type(claims[name]) in {int, float} for name in _TIMES if name in claims)


def _bearer_token(authorization: Sequence[str]) -> str:
    if not authorization:
        raise Unauthenticated(token_given=False)
    if len(authorization) > 1:
        raise Unauthenticated
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(token_given=False)
    if len(token) > TOKEN_MAX_LENGTH or not token.isascii():
        raise Unauthenticated
    return token.strip()
