"""Fail commands as they have to end when they run one at a time: the contract, in plain terms."""

from copy import deepcopy
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True)
class Asked:
    """`if_match` None accepts any version."""

    session_id: UUID
    reason: str | None
    key: str | None
    if_match: frozenset[int] | None


Answer = tuple[str, int | None]
"""A code, and the version of the session that comes with a success or a replay."""


@dataclass
class User:
    """One user's sessions: users have nothing to do with each other."""

    sessions: dict[UUID, tuple[str, int]] = field(default_factory=dict)
    keys: dict[str, tuple[tuple[UUID, str | None], int]] = field(default_factory=dict)
    events: set[tuple[UUID, int, str | None, str | None]] = field(default_factory=set)

    def after(self, commands: list[Asked]) -> tuple["User", list[Answer]]:
        """This user, and the answers, after the commands in this order."""
        user = deepcopy(self)
        return user, [user.fail(command) for command in commands]

    def fail(self, asked: Asked) -> Answer:
        if asked.key in self.keys:
            command, version = self.keys[asked.key]
            same = command == (asked.session_id, asked.reason)
            return ("REPLAYED", version) if same else ("IDEMPOTENCY_KEY_REUSED", None)
        if asked.session_id not in self.sessions:
            return "SESSION_NOT_FOUND", None
        status, version = self.sessions[asked.session_id]
        if status == "planned":
            return "TOO_EARLY", None
        if status != "in_progress":
            return "TOO_LATE", None
        if asked.if_match is not None and version not in asked.if_match:
            return "PRECONDITION_FAILED", None
        self.sessions[asked.session_id] = ("failed", version + 1)
        self.events.add((asked.session_id, version + 1, asked.reason, asked.key))
        if asked.key:
            self.keys[asked.key] = ((asked.session_id, asked.reason), version + 1)
        return "DONE", version + 1
