# SPDX-License-Identifier: MIT
"""The life of one user: sessions that are planned, trained, ended, looked at, and mistaken."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.chaos.history import Known
from tests.chaos.users import User

Step = tuple[str, str | None, dict[str, Any]]
"""A verb, a session and what else belongs to the request."""

FIRST_DAY = datetime(2026, 11, 1, 9, 0, tzinfo=UTC)
SESSIONS_MAX = 3
WITHOUT_KEY = 0.05
NOTES = ["legs", "arms and core", None]
REASONS = ["shoulder pain", "the gym closes", None]


async def live(user: User) -> None:
    """Ends early when the run ends."""
    random = user.crowd.random
    for number in range(random.randint(1, SESSIONS_MAX)):
        if user.crowd.ends.is_set():
            return
        date = (FIRST_DAY + timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        await _train(user, date)
    await user.do("list")


async def _train(user: User, date: str) -> None:
    random = user.crowd.random
    body: dict[str, Any] = {"sessionDate": date, "sets": [12, None]}
    if random.random() < 0.3:
        body["startNow"] = True
    planned = await _tap(user, "plan", body=body)
    if planned.known is not Known.DONE:
        return
    session_id = planned.data["session"]["id"]
    steps = [*_early_steps(user, session_id), *_late_steps(user, session_id)]
    for verb, target, more in steps:
        if user.crowd.ends.is_set():
            return
        await user.think()
        if verb in {"get", "list", "events"}:
            await user.do(verb, target)
        elif random.random() < 0.15:
            await asyncio.gather(_tap(user, verb, target, **more), user.do("get", target))
        else:
            await _tap(user, verb, target, **more)


def _early_steps(user: User, session_id: str) -> list[Step]:
    random = user.crowd.random
    steps: list[Step] = [("get", session_id, {})]
    if random.random() < 0.2:
        steps.append((random.choice(["complete", "fail"]), session_id, {}))
    steps.append(("start", session_id, {}))
    if random.random() < 0.3:
        steps += _as_a_stranger(user)
    for _ in range(random.randint(1, 3)):
        body = {"sets": [random.randint(1, 20) for _ in range(3)], "rpe": random.randint(1, 10)}
        more: dict[str, Any] = {"body": body | {"notes": random.choice(NOTES)}}
        if random.random() < 0.2:
            more["if_match"] = random.randint(1, 4)
        steps += [("update", session_id, more), ("get", session_id, {})]
    return steps


def _late_steps(user: User, session_id: str) -> list[Step]:
    random = user.crowd.random
    complete: Step = ("complete", session_id, {"body": {"rpe": random.randint(1, 10)}})
    fail: Step = ("fail", session_id, {"body": {"reason": random.choice(REASONS)}})
    end = random.choice([complete, fail])
    steps: list[Step] = [end, ("get", session_id, {})]
    if random.random() < 0.2:
        steps.append(random.choice([complete, fail, ("start", session_id, {})]))
    return [*steps, ("events", session_id, {}), ("list", None, {})]


def _as_a_stranger(user: User) -> list[Step]:
    others = [session for owner, session in user.crowd.sessions if owner != user.id]
    if not others:
        return []
    target = user.crowd.random.choice(others)
    verb = user.crowd.random.choice(["get", "events", "fail", "update"])
    return [(verb, target, {"body": {"notes": "not mine"}} if verb == "update" else {})]


async def _tap(user: User, verb: str, target: str | None = None, **more: Any) -> Any:
    """Sends the command with a key, sometimes twice at once, as an impatient finger does."""
    chance = user.crowd.random.random()
    key = None if chance < WITHOUT_KEY else uuid4().hex
    first = user.do(verb, target, key=key, **more)
    if key and chance > 0.93:
        answers = await asyncio.gather(first, user.do(verb, target, key=key, **more))
        return answers[0]
    return await first
