# SPDX-License-Identifier: MIT
"""A client that sends the requests of users, each with the token of its user."""

import time
from types import TracebackType
from typing import Any, Self
from uuid import UUID, uuid4

import httpx2

from benchmarks.checks.expectations import require, require_refusal
from benchmarks.fresh import REASON, TOKEN_LIFETIME_SECONDS, session_id, token, user_id
from benchmarks.issuer import Issuer, issuing


class Client:
    def __init__(self, url: str, issuer: Issuer) -> None:
        self._client = httpx2.Client(base_url=url, timeout=30)
        self._issuer = issuer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._client.close()

    def get(self, user: UUID, session: UUID | str, **headers: str) -> httpx2.Response:
        return self._client.get(f"/sessions/{session}", headers=self._headers(user, headers))

    def post(
        self, user: UUID, path: str, body: dict[str, Any] | None = None, **headers: str
    ) -> httpx2.Response:
        """`headers` in snake_case: idempotency_key, if_match."""
        return self._client.post(path, headers=self._headers(user, headers), json=body or {})

    def patch(
        self, user: UUID, session: UUID | str, body: dict[str, Any], **headers: str
    ) -> httpx2.Response:
        path = f"/sessions/{session}"
        return self._client.patch(path, headers=self._headers(user, headers), json=body)

    def list(self, user: UUID, **query: str) -> httpx2.Response:
        return self._client.get("/sessions", headers=self._headers(user, {}), params=query)

    def fail(
        self,
        user: UUID,
        session: UUID | str,
        body: dict[str, Any] | None = None,
        **headers: str,
    ) -> httpx2.Response:
        return self.post(user, f"/sessions/{session}/fail", body, **headers)

    def fail_number(self, number: int, reason: str = REASON, **headers: str) -> httpx2.Response:
        body = {"reason": reason}
        return self.fail(user_id(number), session_id(number), body, **headers)

    def check_authentication(self, method: str, path: str) -> None:
        with issuing(self._issuer.algorithm) as stranger:
            foreign = token(stranger, uuid4(), int(time.time()))
        for headers in ({}, {"Authorization": f"Bearer {foreign}"}):
            answer = self._client.request(method, path, headers=headers)
            require_refusal(answer, 401, "UNAUTHENTICATED")
            require("WWW-Authenticate" in answer.headers, "A 401 says how to authenticate")

    def with_expired_token(self, method: str, path: str) -> httpx2.Response:
        long_ago = int(time.time()) - 2 * TOKEN_LIFETIME_SECONDS
        expired = token(self._issuer, uuid4(), long_ago)
        return self._client.request(method, path, headers={"Authorization": f"Bearer {expired}"})

    def _headers(self, user: UUID, more: dict[str, str]) -> dict[str, str]:
        bearer = token(self._issuer, user, int(time.time()))
        given = {name.replace("_", "-").title(): value for name, value in more.items()}
        return {"Authorization": f"Bearer {bearer}"} | given
