"""Who is calling: Supabase access tokens (RFC 7519), checked as RFC 8725 advises."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, RSAKey
from joserfc.jwt import JWTClaimsRegistry

from service.http.errors import Unauthenticated
from service.http.fields import canonical_uuid
from service.http.key_set import KeySet

LEEWAY_SECONDS = 30
TOKEN_MAX_LENGTH = 8192
TOKENS_KNOWN = 4096
ROLE = "authenticated"

_ASYMMETRIC = {"ES256", "RS256"}
_ONLY = {
    algorithm: jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    for algorithm in ("HS256", *_ASYMMETRIC)
}
_NOT_UNDERSTOOD = {"crit", "b64", "jwk", "jku", "x5c", "x5u"}
"""Headers that ask for more than is done here, or bring a key of their own."""


Key = OctKey | ECKey | RSAKey


@dataclass(frozen=True, slots=True)
class Known:
    """What was found out about a token when it was checked."""

    user_id: UUID
    expires: float
    header: dict[str, Any]
    key: Key


class Authenticator:
    """Checks tokens with `secret` (HS256), with keys of `key_set` (ES256, RS256), or both.

    Where a key came from decides which algorithm it is for; what the token says only chooses
    among the keys. `issuer` None takes any.

    A token that is known, as up to `TOKENS_KNOWN` are, is not checked again for as long as it has
    not expired and its key is still the issuer's: clients use a token many times.
    """

    def __init__(
        self,
        *,
        secret: str | None,
        key_set: KeySet | None,
        audience: str,
        issuer: str | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._known: dict[bytes, Known] = {}
        self._secret = OctKey.import_key(secret) if secret else None
        self._key_set = key_set
        of_issuer: dict[str, Any] = {"iss": {"essential": True, "value": issuer}} if issuer else {}
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock()),
            leeway=LEEWAY_SECONDS,
            exp={"essential": True},
            sub={"essential": True},
            aud={"essential": True, "value": audience},
            **of_issuer,
        )

    async def user_id(self, authorization: Sequence[str]) -> UUID:
        """The user whom these `Authorization` headers name.

        Raises Unauthenticated, and DependencyUnavailable where the keys cannot be had.
        """
        token = _bearer_token(authorization).encode()
        digest = hashlib.sha256(token).digest()
        known = self._known.get(digest)
        if known is None or not await self._is_valid(known):
            known = await self._check(token)
            self._keep(digest, known)
        return known.user_id

    async def _is_valid(self, known: Known) -> bool:
        key, _ = await self._key_for(known.header)
        return key is known.key and int(self._clock()) < known.expires + LEEWAY_SECONDS

    def _keep(self, digest: bytes, known: Known) -> None:
        if len(self._known) >= TOKENS_KNOWN:
            self._known.clear()
        self._known[digest] = known

    async def _check(self, token: bytes) -> Known:
        try:
            signed = jws.extract_compact(token)
            key, algorithm = await self._key_for(signed.headers())
            if not jws.validate_compact(signed, key, registry=_ONLY[algorithm]):
                raise Unauthenticated
            claims = json.loads(signed.payload)
            if not isinstance(claims, dict):
                raise Unauthenticated
            self._claims.validate(claims)
        except (JoseError, ValueError, TypeError, RecursionError):
            raise Unauthenticated from None
        user_id = canonical_uuid(claims["sub"])
        if user_id is None or claims.get("role") != ROLE:
            raise Unauthenticated
        return Known(user_id, claims["exp"], signed.headers(), key)

    async def _key_for(self, header: Any) -> tuple[Key, str]:
        if not isinstance(header, dict) or _NOT_UNDERSTOOD & header.keys():
            raise Unauthenticated
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm == "HS256" and self._secret:
            return self._secret, "HS256"
        if algorithm in _ASYMMETRIC and self._key_set and isinstance(key_id, str):
            found = await self._key_set.find(key_id)
            if found:
                return found.key, found.algorithm
        raise Unauthenticated


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
