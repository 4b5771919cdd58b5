"""Commands applied one after another to sessions in memory, as if each were alone."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from service.application.commands import Command, MemoryKey, SessionKey, Situation
from service.application.ports import Change, Found, Memory, NewId
from service.domain.errors import IdempotencyKeyReused
from service.domain.session import Session, SessionStatus


@dataclass(frozen=True, slots=True)
class Outcome:
    """`replayed`: the command was executed earlier, and this is what it led to."""

    session: Session
    replayed: bool = False


@dataclass(slots=True, kw_only=True)
class Batch:
    """`active`: the session in progress of each user who has one and is claimed by a command."""

    at: datetime
    new_id: NewId
    sessions: dict[SessionKey, Session] = field(default_factory=dict)
    active: dict[UUID, UUID] = field(default_factory=dict)
    memories: dict[MemoryKey, Memory] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    _freed: set[UUID] = field(default_factory=set)

    @classmethod
    def of(cls, found: Iterable[tuple[Command, Found]], *, at: datetime, new_id: NewId) -> Self:
        """What the commands met, before any of them is applied."""
        batch = cls(at=at, new_id=new_id)
        for command, each in found:
            if each.session:
                batch.sessions[command.session_key] = each.session
            if each.active_session_id:
                batch.active[command.user_id] = each.active_session_id
            if each.memory and command.memory_key:
                batch.memories[command.memory_key] = each.memory
        return batch

    def has_to_wait(self, command: Command) -> bool:
        """Whether a session of the user ended in this batch, and the command may start another.

        The write would meet the index on sessions in progress, which sees row after row.
        """
        return command.claims_user and command.user_id in self._freed

    def basis_of(self, command: Command) -> set[SessionKey]:
        """The sessions whose state in this batch may be why the command is refused or replayed."""
        basis = {command.session_key}
        if command.claims_user and command.user_id in self.active:
            basis.add((command.user_id, self.active[command.user_id]))
        if command.memory_key in self.memories:
            basis.add((command.user_id, self.memories[command.memory_key].session.id))
        return basis

    def apply(self, command: Command, event_id: UUID) -> Outcome:
        """Raises the domain error that refuses the command; then nothing has changed.

        `event_id` is the first event's.
        """
        if replay := self._replay(command):
            return replay
        before = self.sessions.get(command.session_key)
        situation = Situation(at=self.at, active_session_id=self.active.get(command.user_id))
        after, happened = command.apply(before, situation)
        ids = [event_id, *(self.new_id() for _ in happened[1:])]
        events = tuple(zip(ids, happened, strict=True))
        self._remember(Change(command=command, session=after, events=events))
        return Outcome(after)

    def _replay(self, command: Command) -> Outcome | None:
        if command.memory_key is None or command.memory_key not in self.memories:
            return None
        memory = self.memories[command.memory_key]
        if memory.fingerprint != command.fingerprint():
            raise IdempotencyKeyReused
        return Outcome(memory.session, replayed=True)

    def _remember(self, change: Change) -> None:
        command = change.command
        self.changes.append(change)
        self.sessions[command.session_key] = change.session
        self._keep_active(change.session)
        if command.memory_key is not None:
            memory = Memory(fingerprint=command.fingerprint(), session=change.session)
            self.memories[command.memory_key] = memory

    def _keep_active(self, session: Session) -> None:
        if session.status is SessionStatus.IN_PROGRESS:
            self.active[session.user_id] = session.id
        elif self.active.get(session.user_id) == session.id:
            del self.active[session.user_id]
            self._freed.add(session.user_id)
