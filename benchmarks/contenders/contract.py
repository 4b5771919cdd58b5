"""The parts of the HTTP contract that both habitual Python contenders need."""

import json
import os
import re
import unicodedata
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import jwt
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REASON_MAX_LENGTH = 500
TIMEOUTS = {
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "10s",
}
"""The same limits as this service's; given at login, so that no transaction pays for them."""

STATUS_OF_CODE = {
    "VALIDATION_ERROR": 400,
    "UNAUTHENTICATED": 401,
    "SESSION_NOT_FOUND": 404,
    "INVALID_REASON": 422,
}
_STAGES = {"planned": 0, "in_progress": 1, "completed": 2, "failed": 2}
_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True)
class Configuration:
    database_url: str
    pool_size: int
    secret: str | None
    jwks_url: str | None

    @classmethod
    def from_environment(cls) -> "Configuration":
        return cls(
            database_url=os.environ["DATABASE_URL"],
            pool_size=int(os.environ["POOL_SIZE"]),
            secret=os.environ.get("JWT_SECRET"),
            jwks_url=os.environ.get("JWKS_URL"),
        )


class Refused(Exception):
    def __init__(
        self,
        code: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details or {}
        self.status = status or STATUS_OF_CODE[code]

    def body(self, request_id: str) -> dict[str, Any]:
        details = {**self.details, "requestId": request_id}
        return {"error": {"code": self.code, "message": self.message, "details": details}}

    def headers(self) -> dict[str, str]:
        challenge = 'Bearer realm="training-sessions"'
        return {"WWW-Authenticate": challenge} if self.code == "UNAUTHENTICATED" else {}


def not_found() -> Refused:
    return Refused("SESSION_NOT_FOUND", "There is no such session.")


def require_in_progress(session_id: UUID, status: str) -> None:
    if status == "in_progress":
        return
    raise Refused(
        "INVALID_STATUS",
        f"The session is {status}; it has to be in_progress.",
        {
            "sessionId": str(session_id),
            "currentStatus": status,
            "requiredStatus": "in_progress",
        },
        status=422 if _STAGES[status] < _STAGES["in_progress"] else 409,
    )


def normal_reason(text: str | None) -> str | None:
    normal = unicodedata.normalize("NFC", text or "").strip()
    if len(normal) > REASON_MAX_LENGTH:
        raise Refused("VALIDATION_ERROR", "The reason is too long.")
    if _FORBIDDEN.search(normal):
        raise Refused("INVALID_REASON", "The reason contains what cannot be kept.")
    return normal or None


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


class ResponseHeaders:
    """Gives every response a request id and safe headers, as a plain ASGI middleware."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else str(uuid4())
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers["Cache-Control"] = "no-store"
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        await self._app(scope, receive, send_with_headers)


def event_data(reason: str | None) -> str:
    return json.dumps({"reason": reason}, ensure_ascii=False)
