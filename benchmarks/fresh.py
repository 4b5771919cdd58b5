# SPDX-License-Identifier: MIT
"""Sessions and the requests for them: each of another user, with its own token.

The ids of the n-th user and session follow from n, so that pgbench can compute them. Whole lives
begin with planning, and belong to other users, the newcomers.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from benchmarks.issuer import Issuer
from benchmarks.plan import FAIL, LIVED, MIXED, READ, REREAD

RESERVED = 10
"""Extra sessions, for the check that a contender does the job."""

REASON = "shoulder pain"
COLUMNS = (
    "user_id", "id", "status", "session_date", "started_at", "ended_at", "sets", "rpe", "notes",
    "version", "created_at", "updated_at",
)  # fmt: skip
TOKEN_LIFETIME_SECONDS = 24 * 3600

_STARTED = "2026-01-05 09:00:00.123+00"
_FACTS = (
    f"in_progress\t{_STARTED}\t{_STARTED}\t\\N\t{{12,10,NULL}}\t7\tknee felt fine\t1"
    f"\t{_STARTED}\t{_STARTED}"
)
PLANNED = {"sessionDate": "2026-11-22T09:00:00Z", "sets": [12, 10, None], "notes": "knee felt fine"}


def user_id(number: int) -> UUID:
    return _uuid(f"user {number}")


def session_id(number: int) -> UUID:
    return _uuid(f"session {number}")


def newcomer_id(number: int) -> UUID:
    return _uuid(f"newcomer {number}")


def _uuid(name: str) -> UUID:
    return UUID(hashlib.md5(name.encode(), usedforsecurity=False).hexdigest())


@dataclass(frozen=True)
class Share:
    """The fresh sessions that a run may use: `count` of them, beginning with number `first`."""

    first: int
    count: int


@dataclass(frozen=True)
class Fresh:
    """`count` sessions, numbered from 0, then `RESERVED` more."""

    directory: Path
    count: int

    @property
    def reserved(self) -> range:
        return range(self.count, self.count + RESERVED)

    @property
    def sessions(self) -> Path:
        """The sessions in the text format of COPY."""
        return self.directory / "sessions.copy"

    def requests(self, kind: str, algorithm: str) -> Path:
        """`count` requests of equal length, one after another."""
        return self.directory / f"requests-{PREPARED_AS.get(kind, kind)}-{algorithm}"

    def request_length(self, kind: str, algorithm: str) -> int:
        return self.requests(kind, algorithm).stat().st_size // self.count

    def write(self, issuers: Iterable[tuple[str, Issuer]]) -> None:
        """The sessions, and for each kind of load and issuer the requests with its tokens."""
        numbers = range(self.count + RESERVED)
        _write(
            self.sessions, (f"{user_id(each)}\t{session_id(each)}\t{_FACTS}\n" for each in numbers)
        )
        now = int(time.time())
        for kind, issuer in issuers:
            if self.requests(kind, issuer.algorithm).exists():
                continue
            requests = (REQUESTS[kind](each, issuer, now) for each in range(self.count))
            _write(self.requests(kind, issuer.algorithm), requests)


def _write(path: Path, parts: Iterable[str]) -> None:
    with path.open("w") as file:
        file.writelines(parts)


def token(issuer: Issuer, user: UUID, now: int) -> str:
    """A token with the claims of Supabase; equally long for every user."""
    claims: dict[str, Any] = {
        "iss": "https://abcdefghijklmnopqrst.supabase.co/auth/v1",
        "sub": str(user),
        "aud": "authenticated",
        "exp": now + TOKEN_LIFETIME_SECONDS,
        "iat": now,
        "email": f"{user.hex}@example.com",
        "phone": "",
        "app_metadata": {"provider": "email", "providers": ["email"]},
        "user_metadata": {"email_verified": True},
        "role": "authenticated",
        "aal": "aal1",
        "amr": [{"method": "password", "timestamp": now}],
        "session_id": str(uuid4()),
        "is_anonymous": False,
    }
    return issuer.sign(claims)


def _failing(number: int, issuer: Issuer, now: int) -> str:
    bearer = token(issuer, user_id(number), now)
    return _request(f"POST /sessions/{session_id(number)}/fail", bearer, {"reason": REASON})


def _reading(number: int, issuer: Issuer, now: int) -> str:
    bearer = token(issuer, user_id(number), now)
    return _request(f"GET /sessions/{session_id(number)}", bearer)


def _planning(number: int, issuer: Issuer, now: int) -> str:
    """Carries the number of the user, so that wrk/lives.lua can continue the life of the answer."""
    bearer = token(issuer, newcomer_id(number), now)
    return _request("POST /sessions", bearer, PLANNED, f"X-Request-Id: life-{number:010}\r\n")


def _training(number: int, issuer: Issuer, now: int) -> str:
    """No request, but the session's id and the headers of a user for wrk/lived.lua.

    Users with an even number have their session in progress; the others have none.
    """
    user = newcomer_id(number) if number % 2 else user_id(number)
    head = _head(token(issuer, user, now), f"X-Request-Id: life-{number:010}\r\n")
    return f"{session_id(number)}{head}"


PREPARED_AS = {REREAD: READ}
"""Kinds of load that send the same requests in another way."""

REQUESTS: dict[str, Callable[[int, Issuer, int], str]] = {
    FAIL: _failing,
    READ: _reading,
    REREAD: _reading,
    MIXED: _planning,
    LIVED: _training,
}


def _request(
    method_and_path: str, bearer: str, body: dict[str, Any] | None = None, more: str = ""
) -> str:
    head = f"{method_and_path} HTTP/1.1\r\n{_head(bearer, more)}"
    if body is None:
        return f"{head}\r\n"
    text = json.dumps(body)
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"


def _head(bearer: str, more: str) -> str:
    return (
        "Host: training.example.com\r\n"
        "User-Agent: training/1.0\r\n"
        "Accept: application/json\r\n"
        f"Authorization: Bearer {bearer}\r\n{more}"
    )
