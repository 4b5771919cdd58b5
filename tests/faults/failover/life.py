# SPDX-License-Identifier: MIT
"""The life of a user: one session that is planned, started, updated, and failed.

Every fourth user trains until the run ends, so that some sessions are older than any fault.
"""

from itertools import count
from typing import Any
from uuid import uuid4

from tests.chaos.history import Attempt, Known
from tests.chaos.users import User

UPDATES = 3
REPS_MAX = 1000
DATE = "2026-11-22T09:00:00Z"


async def live(user: User) -> None:
    """Goes on after a refusal, as a user does who looks again. Ends early when the run ends."""
    planned = await _command(user, "plan", body={"sessionDate": DATE, "sets": [], "startNow": True})
    if planned.known is not Known.DONE:
        return
    session_id = planned.data["session"]["id"]
    for number in count() if user.is_patient else range(UPDATES):
        await user.think()
        if user.crowd.ends.is_set():
            return
        await _command(user, "update", session_id, body={"sets": [1 + number % REPS_MAX]})
        await user.do("get", session_id)
    await user.think()
    await _command(user, "fail", session_id, body={"reason": "shoulder pain"})
    await user.do("events", session_id)


async def _command(
    user: User, verb: str, session_id: str | None = None, *, body: dict[str, Any]
) -> Attempt:
    return await user.do(verb, session_id, key=uuid4().hex, body=body)
