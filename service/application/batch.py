"""Commands applied one after another to sessions in memory, as if each were alone."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from service.application.commands import Command, MemoryKey, SessionKey
from service.application.ports import Change, Memory
from service.domain.errors import IdempotencyKeyReused, PreconditionFailed, SessionNotFound
from service.domain.session import Session


@dataclass(frozen=True, slots=True)
class Outcome:
    """`replayed`: the command was executed earlier, and this is what it led to."""

    session: Session
    replayed: bool = False


@dataclass(slots=True, kw_only=True)
class Batch:
    at: datetime
    sessions: dict[SessionKey, Session]
    memories: dict[MemoryKey, Memory]
    changes: list[Change] = field(default_factory=list)

    def apply(self, command: Command, event_id: UUID) -> Outcome:
        """Raises the domain error that refuses the command; then nothing has changed."""
        if replay := self._replay(command):
            return replay
        before = self.sessions.get(command.session_key)
        if before is None:
            raise SessionNotFound
        after = replace(before)
        event = command.apply(after, at=self.at)
        if command.if_match is not None and before.version not in command.if_match:
            raise PreconditionFailed(command.session_id)
        change = Change(event_id=event_id, event=event, session=after, command=command)
        self._remember(change)
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
        if command.memory_key is not None:
            memory = Memory(fingerprint=command.fingerprint(), session=change.session)
            self.memories[command.memory_key] = memory
