# SPDX-License-Identifier: MIT
"""For every interleaving and group size, the outcome is that of some order, one at a time."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from itertools import permutations
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from uuid_utils.compat import uuid7

from service.application.command import Command
from service.application.commands import (
    CompleteSession,
    FailSession,
    PlanSession,
    StartSession,
    UpdateSession,
)
from service.application.ports import Outcome
from service.domain.errors import (
    ActiveSessionExists,
    ServiceError,
    StatusTooEarly,
    StatusTooLate,
)
from service.domain.session import SessionStatus
from service.domain.text import Notes, Reason
from tests.group_commit.driving import group_commit
from tests.group_commit.model import Answer, Request, User
from tests.running import Cluster, TestDatabase, a_database

USERS = 3
SESSIONS = 3
AT_ONCE = 4  # per user: every order of them is tried against the answers

WITHOUT_ARGUMENTS: dict[str, type[Command]] = {"start": StartSession, "complete": CompleteSession}
KINDS = ["plan", "plan_and_start", "update", "fail", *WITHOUT_ARGUMENTS]

a_command = st.tuples(
    st.integers(0, USERS - 1),
    st.sampled_from([*KINDS, "start", "fail"]),
    st.integers(0, 3 * SESSIONS),
    st.sampled_from([None, "knee", "hip"]),
    st.sampled_from([None, None, "key-1", "key-2"]),
    st.sampled_from([None, None, frozenset({1}), frozenset({2}), frozenset[int]()]),
)


def answer_of(result: Outcome | BaseException) -> Answer:
    match result:
        case Outcome(session, replayed):
            return "REPLAYED" if replayed else "DONE", session.id, session.version
        case StatusTooEarly():
            return "TOO_EARLY", None, None
        case StatusTooLate():
            return "TOO_LATE", None, None
        case ActiveSessionExists():
            return result.code, UUID(str(result.details["activeSessionId"])), None
        case ServiceError():
            return result.code, None, None
    raise result


def command_of(user_id: UUID, request: Request) -> Command:
    facts: dict[str, Any] = {
        "user_id": user_id,
        "session_id": request.session_id,
        "request_id": "a-request",
        "idempotency_key": request.key,
    }
    if request.is_plan:
        start_now = request.kind == "plan_and_start"
        notes = Notes.parse(request.text)
        return PlanSession(**facts, sets=(12,), notes=notes, start_now=start_now)
    facts["if_match"] = request.if_match
    if request.kind == "update":
        return UpdateSession(**facts, changes={"notes": request.text})
    if request.kind == "fail":
        return FailSession(**facts, reason=Reason.parse(request.text))
    return WITHOUT_ARGUMENTS[request.kind](**facts)


class Lives(RuleBasedStateMachine):
    """Two replicas share the database; commands reach them in batches, all at once."""

    runner: asyncio.Runner
    database: TestDatabase

    @initialize(
        group_size_max=st.sampled_from([1, 2, 3, 256]),
        groups_in_flight=st.integers(1, 3),
        statuses=st.lists(
            st.sampled_from(["planned", "in_progress", "completed"]),
            min_size=USERS * SESSIONS,
            max_size=USERS * SESSIONS,
        ),
    )
    def begin(self, group_size_max: int, groups_in_flight: int, statuses: list[str]) -> None:
        self.replicas = AsyncExitStack()
        limits: dict[str, Any] = {
            "group_size_max": group_size_max,
            "groups_in_flight": groups_in_flight,
        }
        self.commands = [
            self.runner.run(
                self.replicas.enter_async_context(group_commit(self.database.api_url, **limits))
            )
            for _ in range(2)
        ]
        # The last id belongs to no session; the ids of new sessions follow.
        self.ids = [[uuid7() for _ in range(SESSIONS + 1)] for _ in range(USERS)]
        self.users = {uuid4(): User() for _ in range(USERS)}
        remaining = iter(statuses)
        for (user_id, user), ids in zip(self.users.items(), self.ids, strict=True):
            for session_id in ids[:SESSIONS]:
                status = next(remaining)
                if status == "in_progress" and (status, 1) in user.sessions.values():
                    status = "planned"  # one at a time per user
                user.sessions[session_id] = (status, 1)
                user.notes[session_id] = None
                self.runner.run(
                    self.database.a_session(
                        user_id=user_id, id=session_id, status=SessionStatus(status), notes=None
                    )
                )

    @rule(batch=st.lists(st.tuples(a_command, st.integers(0, 1)), min_size=1, max_size=12))
    def execute(self, batch: list[tuple[Any, int]]) -> None:
        requests: list[tuple[UUID, Request, int]] = []
        for (number, kind, session, text, key, if_match), replica in batch:
            user_id = list(self.users)[number]
            if sum(each[0] == user_id for each in requests) < AT_ONCE:
                known = self.ids[number]
                session_id = uuid7() if kind.startswith("plan") else known[session % len(known)]
                requests.append((user_id, Request(kind, session_id, text, key, if_match), replica))

        answers = self.runner.run(self._execute(requests))

        for ids, user_id in zip(self.ids, self.users, strict=True):
            ids += [
                command.session_id
                for owner, command, _ in requests
                if owner == user_id and command.is_plan
            ]
            mine = [
                (command, answer)
                for (owner, command, _), answer in zip(requests, answers, strict=True)
                if owner == user_id
            ]
            self.users[user_id] = self._explain(user_id, mine)

    @rule(user=st.integers(0, USERS - 1), session=st.integers(0, SESSIONS - 1))
    def start(self, user: int, session: int) -> None:
        """Another program starts a planned session, if the user has none in progress."""
        user_id = list(self.users)[user]
        model, session_id = self.users[user_id], self.ids[user][session]
        status, version = model.sessions[session_id]
        running = "in_progress" in {each for each, _ in model.sessions.values()}
        if status == "planned" and not running:
            model.sessions[session_id] = ("in_progress", version)
            self.runner.run(
                self.database.execute(
                    "UPDATE sessions SET status = 'in_progress', started_at = now() WHERE id = $1",
                    session_id,
                )
            )

    def teardown(self) -> None:
        if hasattr(self, "replicas"):
            self.runner.run(self.replicas.aclose())

    async def _execute(self, requests: list[tuple[UUID, Request, int]]) -> list[Answer]:
        results = await asyncio.gather(
            *(
                self.commands[replica].execute(command_of(user_id, command))
                for user_id, command, replica in requests
            ),
            return_exceptions=True,
        )
        return [answer_of(result) for result in results]

    def _explain(self, user_id: UUID, mine: list[tuple[Request, Answer]]) -> User:
        """The user after an order of the commands that explains every answer and every row."""
        stored = self.runner.run(self._stored(user_id))
        for order in permutations(mine):
            user, answers = self.users[user_id].after([command for command, _ in order])
            is_answered = answers == [answer for _, answer in order]
            if is_answered and (user.sessions, user.events) == stored:
                return user
        raise AssertionError(f"no order explains {mine} and {stored}")

    async def _stored(self, user_id: UUID) -> tuple[Any, Any]:
        sessions = await self.database.fetch("SELECT * FROM sessions WHERE user_id = $1", user_id)
        events = await self.database.fetch(
            "SELECT * FROM events JOIN outbox ON event_id = id WHERE events.user_id = $1", user_id
        )
        return (
            {row["id"]: (row["status"], row["version"]) for row in sessions},
            {
                (
                    row["session_id"],
                    row["session_version"],
                    row["event_type"],
                    row["event_data"].get("reason"),
                    row["idempotency_key"],
                )
                for row in events
            },
        )


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


def test_groups_are_equivalent_to_commands_one_at_a_time(
    runner: asyncio.Runner, cluster: Cluster, template: str
) -> None:
    stack = AsyncExitStack()
    database = runner.run(stack.enter_async_context(a_database(cluster, template=template)))
    try:
        run_state_machine_as_test(
            type("LivesOnADatabase", (Lives,), {"runner": runner, "database": database}),
            settings=settings(max_examples=60, stateful_step_count=8),
        )
    finally:
        runner.run(stack.aclose())
