# SPDX-License-Identifier: MIT
"""Authentication: Supabase access tokens (RFC 7519), checked as RFC 8725 advises."""

import base64
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt
from jwt.algorithms import HMACAlgorithm

from service.application.errors import DependencyUnavailable
from service.http.claims import Expected, is_expired, read_claims
from service.http.errors import Unauthenticated
from service.http.jwks import ASYMMETRIC_ALGORITHMS
from service.http.key_set import KeySet
from service.http.observing import ObserveTokenCheck, TokenCheck, ignore
from service.http.token_refusals import RefusedTokens, TokenRefusal

TOKEN_MAX_LENGTH = 8192
VERIFIED_TOKENS_MAX = 4096

_REFUSED_HEADERS = {"crit", "b64", "jwk", "jku", "x5c", "x5u"}
"""Headers that demand features which are missing here, or that bring a key of their own."""

_SIGNATURES = jwt.PyJWS(["HS256", *ASYMMETRIC_ALGORITHMS])

_API_KEYS = ("sb_publishable_", "sb_secret_")
"""How API keys of Supabase begin, which are no tokens."""


@dataclass(frozen=True, slots=True)
class TokenHeader:
    algorithm: str
    key_id: str | None


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    user_id: UUID
    expires: float
    header: TokenHeader
    key: jwt.PyJWK


class Authenticator:
    """Checks tokens with `secret` (HS256), with keys of `key_set` (ES256, RS256), or both.

    The origin of a key fixes its algorithm; the header of a token only chooses among the keys.
    `issuer` None accepts any issuer. `refused` counts the refused tokens by reason; `observe` is
    told how each check ended.

    Clients use a token many times, so up to `VERIFIED_TOKENS_MAX` verified tokens are kept. A kept
    token is accepted until it expires or its key is no longer the issuer's.
    """

    def __init__(
        self,
        *,
        secret: str | None,
        key_set: KeySet | None,
        audience: str,
        issuer: str | None,
        refused: RefusedTokens,
        clock: Callable[[], float] = time.time,
        observe: ObserveTokenCheck = ignore,
    ) -> None:
        self._refused = refused
        self._observe = observe
        self._clock = clock
        self._verified: OrderedDict[str, VerifiedToken] = OrderedDict()
        self._secret = _symmetric_key(secret) if secret else None
        self._key_set = key_set
        self._audience = audience
        self._issuer = issuer

    async def authenticate(self, authorization: Sequence[str]) -> UUID:
        """The user of the token in these `Authorization` headers.

        Raises Unauthenticated, and DependencyUnavailable if the key set cannot be fetched.
        """
        try:
            token = _parse_bearer_token(authorization)
            verified = self._verified.get(token)
            check = TokenCheck.KNOWN
            if verified is None or not await self._is_still_valid(verified):
                verified = await self._verify(token)
                self._keep(token, verified)
                check = TokenCheck.VERIFIED
        except Unauthenticated as exc:
            self._refused.count(exc.refusal)
            self._observe(TokenCheck.REFUSED)
            raise
        except DependencyUnavailable:
            self._observe(TokenCheck.UNAVAILABLE)
            raise
        self._observe(check)
        return verified.user_id

    async def _is_still_valid(self, verified: VerifiedToken) -> bool:
        key = await self._find_key(verified.header)
        return key is verified.key and not is_expired(verified.expires, self._clock())

    def _keep(self, token: str, verified: VerifiedToken) -> None:
        self._verified[token] = verified
        if len(self._verified) > VERIFIED_TOKENS_MAX:
            self._verified.popitem(last=False)

    async def _verify(self, token: str) -> VerifiedToken:
        self._verified.pop(token, None)
        header = _parse_header(token.partition(".")[0])
        key = await self._find_key(header)
        payload = _verify_signature(token, key)
        claims = read_claims(payload, Expected(self._audience, self._issuer, self._clock()))
        return VerifiedToken(claims.sub, claims.exp, header, key)

    async def _find_key(self, header: TokenHeader) -> jwt.PyJWK:
        if header.algorithm == "HS256":
            if self._secret:
                return self._secret
            raise Unauthenticated(TokenRefusal.HS256_NOT_CONFIGURED)
        if header.algorithm not in ASYMMETRIC_ALGORITHMS:
            raise Unauthenticated(TokenRefusal.UNSUPPORTED_ALGORITHM)
        if self._key_set is None:
            raise Unauthenticated(TokenRefusal.KEY_SET_NOT_CONFIGURED)
        if not header.key_id:
            raise Unauthenticated(TokenRefusal.KEY_ID_ABSENT)
        key = await self._key_set.find(header.key_id)
        if key is None:
            raise Unauthenticated(TokenRefusal.UNKNOWN_KEY_ID)
        return key


class _PreparedHMAC(HMACAlgorithm):
    """Skips the check of the key's form, which PyJWT repeats for every token."""

    def prepare_key(self, key: str | bytes) -> bytes:
        return key if isinstance(key, bytes) else super().prepare_key(key)


def _symmetric_key(secret: str) -> jwt.PyJWK:
    encoded = base64.urlsafe_b64encode(secret.encode()).rstrip(b"=").decode()
    key = jwt.PyJWK({"kty": "oct", "k": encoded}, "HS256")
    key.Algorithm.prepare_key(key.key)
    key.Algorithm = _PreparedHMAC(HMACAlgorithm.SHA256)
    return key


def _verify_signature(token: str, key: jwt.PyJWK) -> bytes:
    """The payload. The key fixes the algorithm; that of the token's header must be the same."""
    try:
        payload: bytes = _SIGNATURES.decode(token, key, [key.algorithm_name])
    except jwt.InvalidSignatureError:
        is_secret = key.algorithm_name == "HS256"
        refusal = TokenRefusal.BAD_HS256_SIGNATURE if is_secret else TokenRefusal.BAD_SIGNATURE
    except jwt.InvalidAlgorithmError:
        refusal = TokenRefusal.ALGORITHM_OF_KEY
    except jwt.PyJWTError:
        refusal = TokenRefusal.MALFORMED
    else:
        return payload
    raise Unauthenticated(refusal)


def _parse_bearer_token(authorization: Sequence[str]) -> str:
    if not authorization:
        raise Unauthenticated(TokenRefusal.ABSENT)
    if len(authorization) > 1:
        raise Unauthenticated(TokenRefusal.MALFORMED)
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated(TokenRefusal.ABSENT)
    if len(token) > TOKEN_MAX_LENGTH or not token.isascii():
        raise Unauthenticated(TokenRefusal.MALFORMED)
    return token.strip()


@lru_cache(maxsize=64)
def _parse_header(segment: str) -> TokenHeader:
    """Chooses the key. All tokens of a key have the same header, so the result is kept.

    PyJWT parses the header again, more strictly, when it verifies the signature.
    """
    try:
        header: Any = json.loads(base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    except (ValueError, RecursionError):
        is_api_key = segment.startswith(_API_KEYS)
        refusal = TokenRefusal.API_KEY if is_api_key else TokenRefusal.MALFORMED
        raise Unauthenticated(refusal) from None
    if not isinstance(header, dict):
        raise Unauthenticated(TokenRefusal.MALFORMED)
    if _REFUSED_HEADERS & header.keys():
        raise Unauthenticated(TokenRefusal.UNSUPPORTED_HEADER)
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or not isinstance(key_id, str | None):
        raise Unauthenticated(TokenRefusal.MALFORMED)
    return TokenHeader(algorithm, key_id)
