# SPDX-License-Identifier: MIT
"""What users asked and what they were told, with the times of both."""

import json
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from math import inf
from typing import Any
from uuid import UUID

READS = {"get", "list", "events"}
REFUSED_BEFORE = {"OVERLOADED", "TOO_MANY_REQUESTS", "UNAUTHENTICATED"}
"""Codes that say: certainly not executed."""


class Known(Enum):
    """What the user knows of the result."""

    DONE = "a success"
    REFUSED = "a refusal by the domain"
    NOT_EXECUTED = "a refusal that promises that the command was not executed"
    NOTHING = "no answer, or one that promises nothing"


@dataclass
class Attempt:
    """One request and its answer. Times in seconds of one clock.

    `ended`: infinite if the result is not known. `left`: when the user stopped waiting.

    `signed_by`: the id of the key that signed the token.

    `events`: how many events of the database name this request; None if that was not looked up.
    """

    request_id: str
    user_id: UUID
    verb: str
    session_id: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    if_match: int | None = None
    begun: float = 0.0
    ended: float = inf
    left: float = inf
    status: int | None = None
    code: str | None = None
    etag: str | None = None
    is_replay: bool = False
    content: bytes = b""
    error: str | None = None
    signed_by: str | None = None
    is_patient: bool = False
    retry_after: float = 0.0
    events: int | None = None
    made: str | None = None

    @property
    def known(self) -> Known:
        if self.status is None or (self.status >= 500 and self.code not in REFUSED_BEFORE):
            return Known.NOTHING
        if self.status < 400:
            return Known.DONE
        return Known.NOT_EXECUTED if self.code in REFUSED_BEFORE else Known.REFUSED

    @property
    def asked(self) -> tuple[str, str | None, str]:
        """Two requests of a key must ask the same."""
        return self.verb, self.session_id, json.dumps(self.body, sort_keys=True)

    @cached_property
    def data(self) -> dict[str, Any]:
        return _object(self.content, "data")

    @cached_property
    def details(self) -> dict[str, Any]:
        return _object(self.content, "error", "details")

    def __str__(self) -> str:
        times = f"{self.begun:.3f}–{self.ended:.3f}"
        answer = f"{self.status} {self.code or ''}".strip() if self.status else self.error
        return (
            f"{self.request_id} [{times}] user {self.user_id} {self.verb} {self.session_id or ''}"
            f" {json.dumps(self.body)} key={self.key} if_match={self.if_match} → {answer}"
            f" etag={self.etag} replay={self.is_replay} events={self.events}"
        )


def _object(content: bytes, *names: str) -> dict[str, Any]:
    """The object of these names in the JSON; empty if it is not there, which no model expects."""
    try:
        found = json.loads(content)
        for name in names:
            found = found[name]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class Wrong:
    """A finding: its kind, a sentence, and the requests that prove it."""

    kind: str
    sentence: str
    proof: tuple[Attempt, ...] = ()

    def __str__(self) -> str:
        return "\n    ".join([f"{self.kind}: {self.sentence}", *map(str, self.proof)])
