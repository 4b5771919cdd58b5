# SPDX-License-Identifier: MIT
"""Commands of many users share a transaction, and none reaches a session of another user."""

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from service.application.command import Command
from service.application.commands import CompleteSession, FailSession, StartSession, UpdateSession
from service.application.ports import Outcome
from service.domain.errors import SessionNotFound
from service.domain.session import SessionStatus
from tests.builders import a_command, a_session
from tests.group_commit.driving import Seen, group_commit
from tests.running import TestDatabase

COUNT = 10


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        (FailSession, {}),
        (CompleteSession, {}),
        (StartSession, {}),
        (UpdateSession, {"changes": {"notes": "shoulder pain"}}),
    ],
)
async def test_a_command_of_a_group_finds_no_session_of_its_neighbours(
    database: TestDatabase, kind: type[Command], details: dict[str, Any]
) -> None:
    status = SessionStatus.PLANNED if kind is StartSession else SessionStatus.IN_PROGRESS
    own = [a_session(status=status) for _ in range(COUNT)]
    await database.insert(*own)
    stolen = [a_session(user_id=uuid4(), id=each.id) for each in own]
    swapped = [
        a_session(user_id=neighbour.user_id, id=each.id)
        for each, neighbour in zip(own, own[1:] + own[:1], strict=True)
    ]
    seen = Seen()

    async with group_commit(database.api_url, seen=seen, groups_in_flight=1) as commands:
        group = [a_command(each, kind, **details) for each in [*stolen, *own, *swapped]]
        _, *results = await asyncio.gather(
            *(commands.execute(each) for each in [a_command(), *group]),  # they wait for the first
            return_exceptions=True,
        )

    assert 3 * COUNT in [group.size for group in seen.groups]
    assert [type(each) for each in results] == (
        [SessionNotFound] * COUNT + [Outcome] * COUNT + [SessionNotFound] * COUNT
    )
    events = await database.events()
    assert {(each["user_id"], each["session_id"]) for each in events} == {
        (each.user_id, each.id) for each in own
    }
    assert len(events) == COUNT
