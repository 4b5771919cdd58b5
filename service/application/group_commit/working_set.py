# SPDX-License-Identifier: MIT
"""Commands applied one after another to sessions in memory, each as if it were alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from service.application.command import Command, CommandContext, IdempotencyKey, SessionKey
from service.application.ports import (
    AppliedCommand,
    IdempotencyRecord,
    LoadedCommand,
    NewId,
    Outcome,
)
from service.domain.errors import IdempotencyKeyReused
from service.domain.session import Session, SessionStatus


@dataclass(slots=True, kw_only=True)
class WorkingSet:
    """`active`: each user's session in progress; known for users that a command locks."""

    at: datetime
    new_id: NewId
    sessions: dict[SessionKey, Session] = field(default_factory=dict)
    active: dict[UUID, UUID] = field(default_factory=dict)
    records: dict[IdempotencyKey, IdempotencyRecord] = field(default_factory=dict)
    applied: list[AppliedCommand] = field(default_factory=list)

    @classmethod
    def of(cls, loaded: Iterable[LoadedCommand], *, at: datetime, new_id: NewId) -> Self:
        working_set = cls(at=at, new_id=new_id)
        for each in loaded:
            command = each.command
            if each.session:
                working_set.sessions[command.session_key] = each.session
            if each.active_session_id:
                working_set.active[command.user_id] = each.active_session_id
            if each.idempotency_record and command.record_key:
                working_set.records[command.record_key] = each.idempotency_record
        return working_set

    def apply(self, command: Command, event_id: UUID) -> Outcome:
        """`event_id` becomes the id of the command's first event.

        Raises the domain error that refuses the command; then nothing has changed.
        """
        if replay := self._replay(command):
            return replay
        before = self.sessions.get(command.session_key)
        context = CommandContext(at=self.at, active_session_id=self.active.get(command.user_id))
        session, events = command.apply(before, context)
        if events:
            ids = [event_id, *(self.new_id() for _ in events[1:])]
            identified = tuple(zip(ids, events, strict=True))
            self._add(AppliedCommand(command=command, session=session, events=identified))
        return Outcome(session)

    def _replay(self, command: Command) -> Outcome | None:
        if command.record_key is None or command.record_key not in self.records:
            return None
        record = self.records[command.record_key]
        if record.fingerprint != command.fingerprint():
            raise IdempotencyKeyReused
        return Outcome(record.session, replayed=True)

    def _add(self, applied: AppliedCommand) -> None:
        command, session = applied.command, applied.session
        self.applied.append(applied)
        self.sessions[command.session_key] = session
        if session.status is SessionStatus.IN_PROGRESS:
            self.active[session.user_id] = session.id
        elif self.active.get(session.user_id) == session.id:
            del self.active[session.user_id]
        if command.record_key is not None:
            self.records[command.record_key] = IdempotencyRecord(
                fingerprint=command.fingerprint(), session=session
            )
