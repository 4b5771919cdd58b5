# SPDX-License-Identifier: MIT
"""Users who plan, start and fail one session each, while parts of the system break."""

import asyncio
from dataclasses import dataclass
from itertools import count
from random import Random
from time import monotonic
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from tests.builders import a_token
from tests.chaos.history import Attempt, Known
from tests.chaos.http_client import Client
from tests.chaos.users import Crowd, User
from tests.running import App

AT_ONCE = 10
"""Users who send requests at the same time."""

DATE = "2026-11-22T09:00:00Z"


class Secret:
    """Signs tokens with the secret of the tests."""

    id = "secret"

    def token(self, user_id: UUID, **claims: Any) -> str:
        return a_token(user_id, **claims)


def a_client(app: App) -> Client:
    place = urlsplit(app.url)
    return Client(str(place.hostname), int(place.port or 0))


@dataclass
class Load:
    """So many users, evenly in about so many seconds. `lived`: those who are through."""

    client: Client
    sessions: int
    seconds: float
    lived: int = 0

    def __post_init__(self) -> None:
        self.crowd = Crowd(self.client, Random(1), Secret, self._live)  # noqa: S311  no secret
        self._numbers = count()
        self._may_begin = asyncio.Event()

    def begin(self) -> None:
        self._may_begin.set()

    async def run(self) -> None:
        """Returns when every user is through."""
        await self._may_begin.wait()
        self._begun = monotonic()
        await self.crowd.live(AT_ONCE)
        self.client.close()

    async def _live(self, user: User) -> None:
        number = next(self._numbers)
        if number >= self.sessions:
            await self.crowd.ends.wait()
            return
        await asyncio.sleep(self._begun + self.seconds * number / self.sessions - monotonic())
        await live(user)
        self.lived += 1
        if self.lived == self.sessions:
            self.crowd.ends.set()


async def live(user: User) -> None:
    """Has three events: planned, started, failed. Ends early only at a refusal."""
    planned = await _insist(user, "plan", body={"sessionDate": DATE, "sets": [12, 10, None]})
    if planned.known is Known.REFUSED:
        return
    session_id = planned.data["session"]["id"]
    await _insist(user, "start", session_id)
    await user.do("get", session_id)
    await _insist(user, "fail", session_id, body={"reason": "shoulder pain"})
    await user.do("events", session_id)


async def _insist(user: User, verb: str, session_id: str | None = None, **more: Any) -> Attempt:
    """Repeats the command with its key until its result is known, also if a user gives up."""
    key = uuid4().hex
    while True:
        attempt = await user.do(verb, session_id, key=key, **more)
        if attempt.known in {Known.DONE, Known.REFUSED}:
            return attempt
