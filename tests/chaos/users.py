# SPDX-License-Identifier: MIT
"""Users who live whole lives of sessions, and repeat what they have no answer to."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from time import monotonic, time
from typing import Any, Protocol
from uuid import UUID, uuid4

import orjson

from tests.chaos.history import Attempt, Known
from tests.chaos.http_client import Client, NoAnswer, Response

IMPATIENT_SECONDS, PATIENT_SECONDS = 10.0, 75.0
"""How long a user waits for an answer. The patient ones wait longer than the service may take."""

PAUSE_SECONDS, PAUSE_MAX_SECONDS = 0.1, 3.0
GIVES_UP = 0.01
TOKEN_HOURS = {"iat": -2, "exp": +4}
"""Valid also on a replica whose clock is an hour early or late."""

PATHS = {
    "plan": ("POST", "/sessions"),
    "list": ("GET", "/sessions"),
    "get": ("GET", "/sessions/{}"),
    "update": ("PATCH", "/sessions/{}"),
    "events": ("GET", "/sessions/{}/events"),
    **{verb: ("POST", f"/sessions/{{}}/{verb}") for verb in ("start", "complete", "fail")},
}


class Signs(Protocol):
    @property
    def id(self) -> str: ...

    def token(self, user_id: UUID, **claims: Any) -> str:
        """A token of this user."""


@dataclass
class Crowd:
    """What all users share. `sessions`: of any user, for strangers to try."""

    client: Client
    random: Random
    signing_key: Callable[[], Signs]
    live_once: Callable[["User"], Awaitable[None]]
    patient_seconds: float = PATIENT_SECONDS
    history: list[Attempt] = field(default_factory=list)
    sessions: deque[tuple[UUID, str]] = field(default_factory=lambda: deque(maxlen=50))
    ends: asyncio.Event = field(default_factory=asyncio.Event)
    think_seconds: float = 0.4

    async def live(self, users: int) -> None:
        """Until `ends` is set: as many users as this at a time."""
        async with asyncio.TaskGroup() as group:
            for number in range(users):
                group.create_task(self._one_after_another(number))

    async def _one_after_another(self, number: int) -> None:
        while not self.ends.is_set():
            await self.live_once(User(self, is_patient=number % 4 == 0))


class User:
    """One user with two devices, whose requests may be under way at the same time."""

    def __init__(self, crowd: Crowd, *, is_patient: bool) -> None:
        self.crowd = crowd
        self.id = uuid4()
        self.is_patient = is_patient
        self._take_token()

    def _take_token(self) -> None:
        now = int(time())
        times: dict[str, Any] = {name: now + hours * 3600 for name, hours in TOKEN_HOURS.items()}
        key = self.crowd.signing_key()
        self._token, self._signed_by = key.token(self.id, **times), key.id

    async def do(
        self, verb: str, session_id: str | None = None, *, key: str | None = None, **more: Any
    ) -> Attempt:
        """Repeats the request, with the same key, until the result is known; returns the last."""
        pause = PAUSE_SECONDS
        while True:
            attempt = await self._attempt(verb, session_id, key, more)
            if attempt.known in {Known.DONE, Known.REFUSED}:
                return attempt
            may_repeat = key or verb in {"get", "list", "events"}
            promised = attempt.known is Known.NOT_EXECUTED
            if self.crowd.ends.is_set() or not (may_repeat or promised):
                return attempt
            if self.crowd.random.random() < GIVES_UP:
                return attempt
            if attempt.status == 401:
                self._take_token()
            wait = max(attempt.retry_after, self.crowd.random.uniform(0, pause))
            pause = min(2 * pause, PAUSE_MAX_SECONDS)
            await asyncio.sleep(wait)

    async def think(self) -> None:
        await asyncio.sleep(self.crowd.random.uniform(0, 2 * self.crowd.think_seconds))

    async def _attempt(
        self, verb: str, session_id: str | None, key: str | None, more: dict[str, Any]
    ) -> Attempt:
        attempt = Attempt(
            uuid4().hex, self.id, verb, session_id, more.get("body", {}), key,
            more.get("if_match"), signed_by=self._signed_by, is_patient=self.is_patient,
        )  # fmt: skip
        self.crowd.history.append(attempt)
        attempt.begun = monotonic()
        try:
            self._note(attempt, await self._send(attempt))
        except (OSError, NoAnswer, TimeoutError) as exc:
            attempt.error = f"{type(exc).__name__} after {monotonic() - attempt.begun:.3f} s: {exc}"
        attempt.left = monotonic()
        return attempt

    async def _send(self, attempt: Attempt) -> Response:
        method, path = PATHS[attempt.verb]
        headers = {"Authorization": f"Bearer {self._token}", "X-Request-Id": attempt.request_id}
        if attempt.key:
            headers["Idempotency-Key"] = attempt.key
        if attempt.if_match:
            headers["If-Match"] = f'"{attempt.if_match}"'
        body = orjson.dumps(attempt.body) if attempt.body else b""
        timeout = self.crowd.patient_seconds if self.is_patient else IMPATIENT_SECONDS
        return await self.crowd.client.request(
            method, path.format(attempt.session_id), headers, body, timeout=timeout
        )

    def _note(self, attempt: Attempt, answer: Response) -> None:
        attempt.content, attempt.status = answer.body, answer.status
        attempt.etag = answer.headers.get("etag")
        attempt.is_replay = "idempotent-replayed" in answer.headers
        attempt.retry_after = float(answer.headers.get("retry-after", 0))
        if answer.status >= 400:
            attempt.code = orjson.loads(answer.body)["error"]["code"]
        if attempt.known is not Known.NOTHING:
            attempt.ended = monotonic()
        if attempt.verb == "plan" and attempt.known is Known.DONE:
            attempt.made = attempt.data["session"]["id"]
            self.crowd.sessions.append((self.id, attempt.made))
