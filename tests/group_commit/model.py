"""Commands as they have to end when they run one at a time: the contract, in plain terms."""

from copy import deepcopy
from dataclasses import dataclass, field
from uuid import UUID

REQUIRED = {"start": "planned", "complete": "in_progress", "fail": "in_progress"}
BECOMES = {"start": "in_progress", "complete": "completed", "fail": "failed"}
ORDER = ["planned", "in_progress", "completed", "failed"]


@dataclass(frozen=True)
class Asked:
    """`kind`: plan, plan_and_start, start, complete or fail; a plan's `session_id` is a new one.

    `words`: the reason of a failure, the notes of a plan. `if_match` None accepts any version.
    """

    kind: str
    session_id: UUID
    words: str | None
    key: str | None
    if_match: frozenset[int] | None

    @property
    def is_plan(self) -> bool:
        return self.kind.startswith("plan")

    @property
    def command(self) -> tuple[object, ...]:
        """What makes two commands the same."""
        words = self.words if self.is_plan or self.kind == "fail" else None
        return self.kind, None if self.is_plan else self.session_id, words


Answer = tuple[str, UUID | None, int | None]
"""A code; with a success or a replay, the session and its version, with ACTIVE, that session."""

Event = tuple[UUID, int, str, str | None, str | None]
"""Session, version, kind, reason and idempotency key."""


@dataclass
class User:
    """One user's sessions: users have nothing to do with each other."""

    sessions: dict[UUID, tuple[str, int]] = field(default_factory=dict)
    keys: dict[str, tuple[tuple[object, ...], UUID, int]] = field(default_factory=dict)
    events: set[Event] = field(default_factory=set)

    def after(self, commands: list[Asked]) -> tuple["User", list[Answer]]:
        """This user, and the answers, after the commands in this order."""
        user = deepcopy(self)
        return user, [user.answer_to(command) for command in commands]

    def answer_to(self, asked: Asked) -> Answer:
        if asked.key in self.keys:
            command, session_id, version = self.keys[asked.key]
            if command == asked.command:
                return "REPLAYED", session_id, version
            return "IDEMPOTENCY_KEY_REUSED", None, None
        refusal = self._refusal_of_plan(asked) if asked.is_plan else self._refusal(asked)
        if refusal:
            return refusal
        version = self._do(asked)
        if asked.key:
            self.keys[asked.key] = (asked.command, asked.session_id, version)
        return "DONE", asked.session_id, version

    @property
    def _active(self) -> UUID | None:
        found = (each for each, (status, _) in self.sessions.items() if status == "in_progress")
        return next(found, None)

    def _refusal_of_plan(self, asked: Asked) -> Answer | None:
        if asked.kind == "plan_and_start" and self._active:
            return "ACTIVE_SESSION_EXISTS", self._active, None
        return None

    def _refusal(self, asked: Asked) -> Answer | None:
        if asked.session_id not in self.sessions:
            return "SESSION_NOT_FOUND", None, None
        status, version = self.sessions[asked.session_id]
        if status != REQUIRED[asked.kind]:
            early = ORDER.index(status) < ORDER.index(REQUIRED[asked.kind])
            return "TOO_EARLY" if early else "TOO_LATE", None, None
        if asked.kind == "start" and self._active:
            return "ACTIVE_SESSION_EXISTS", self._active, None
        if asked.if_match is not None and version not in asked.if_match:
            return "PRECONDITION_FAILED", None, None
        return None

    def _do(self, asked: Asked) -> int:
        """Returns the session's version."""
        _, version = self.sessions.get(asked.session_id, ("", 0))
        if not asked.is_plan:
            return self._becomes(asked, BECOMES[asked.kind], version, asked.key)
        version = self._becomes(asked, "planned", version, asked.key)
        if asked.kind == "plan_and_start":
            version = self._becomes(asked, "in_progress", version, None)
        return version

    def _becomes(self, asked: Asked, status: str, version: int, key: str | None) -> int:
        self.sessions[asked.session_id] = (status, version + 1)
        kind = "started" if status == "in_progress" else status
        reason = asked.words if status == "failed" else None
        self.events.add((asked.session_id, version + 1, f"session_{kind}", reason, key))
        return version + 1
