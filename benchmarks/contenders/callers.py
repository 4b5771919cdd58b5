# SPDX-License-Identifier: MIT
"""The caller of a request, for both conventional Python contenders."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import jwt
from starlette.requests import HTTPConnection

from benchmarks.contenders.configuration import Configuration
from benchmarks.contenders.contract import Refused, fingerprint, idempotency_key


class Tokens:
    def __init__(self, configuration: Configuration) -> None:
        self._secret = configuration.secret
        self._key_set = (
            jwt.PyJWKClient(configuration.jwks_url, lifespan=600)
            if configuration.jwks_url
            else None
        )

    def user_id(self, token: str | None) -> UUID:
        if not token:
            raise Refused("UNAUTHENTICATED", "An access token is needed.")
        try:
            claims = jwt.decode(
                token,
                self._key(token),
                algorithms=["HS256"] if self._secret else ["ES256"],
                audience="authenticated",
                leeway=30,
                options={"require": ["exp", "sub", "aud", "role"]},
            )
            if claims["role"] == "authenticated":
                return UUID(claims["sub"])
        except (jwt.PyJWTError, ValueError):
            pass
        raise Refused("UNAUTHENTICATED", "The access token is not valid.")

    def _key(self, token: str) -> Any:
        if self._key_set is None:
            return self._secret
        return self._key_set.get_signing_key_from_jwt(token).key


@dataclass(frozen=True, slots=True)
class Caller:
    """The user of a request, and its headers that matter to a command."""

    user_id: UUID
    request_id: str
    idempotency_key: str | None
    if_match: str | None

    @classmethod
    def of(cls, request: HTTPConnection[Any], tokens: Tokens) -> "Caller":
        headers = request.headers
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return cls(
            user_id=tokens.user_id(token if scheme.lower() == "bearer" else None),
            request_id=request.scope["state"]["request_id"],
            idempotency_key=idempotency_key(headers.get("idempotency-key")),
            if_match=headers.get("if-match"),
        )

    def fingerprint(self, *asked: object) -> bytes | None:
        """The fingerprint of the command; None without an idempotency key."""
        return fingerprint(*asked) if self.idempotency_key else None
