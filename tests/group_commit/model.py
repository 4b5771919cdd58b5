# SPDX-License-Identifier: MIT
"""The model: what each command must lead to when commands run one at a time."""

from copy import deepcopy
from dataclasses import dataclass, field
from uuid import UUID

from tests.contract import BECOMES, RECORDED, REQUIRED, STARTS, is_too_early


@dataclass(frozen=True)
class Request:
    """`kind`: plan, plan_and_start, start, update, complete or fail.

    `session_id` of a plan is a new one. `text`: the reason of a failure, or notes. `if_match` None
    accepts any version.
    """

    kind: str
    session_id: UUID
    text: str | None
    key: str | None
    if_match: frozenset[int] | None

    @property
    def is_plan(self) -> bool:
        return self.kind.startswith("plan")

    @property
    def command(self) -> tuple[object, ...]:
        """Two requests with the same command are the same command."""
        text = self.text if self.is_plan or self.kind in {"fail", "update"} else None
        return self.kind, None if self.is_plan else self.session_id, text


Answer = tuple[str, UUID | None, int | None]
"""A code, the session, and its version; the session in progress if that is the refusal."""

Event = tuple[UUID, int, str, str | None, str | None]
"""Session, version, kind, reason and idempotency key."""


@dataclass
class User:
    """The sessions of one user; users do not affect each other."""

    sessions: dict[UUID, tuple[str, int]] = field(default_factory=dict)
    notes: dict[UUID, str | None] = field(default_factory=dict)
    keys: dict[str, tuple[tuple[object, ...], UUID, int]] = field(default_factory=dict)
    events: set[Event] = field(default_factory=set)

    def after(self, commands: list[Request]) -> tuple["User", list[Answer]]:
        """This user and the answers after the commands, executed in this order."""
        user = deepcopy(self)
        return user, [user.answer_to(command) for command in commands]

    def answer_to(self, request: Request) -> Answer:
        if request.key in self.keys:
            command, session_id, version = self.keys[request.key]
            if command == request.command:
                return "REPLAYED", session_id, version
            return "IDEMPOTENCY_KEY_REUSED", None, None
        refusal = self._refusal_of_plan(request) if request.is_plan else self._refusal(request)
        if refusal:
            return refusal
        before = self.sessions.get(request.session_id)
        version = self._execute(request)
        if request.key and self.sessions[request.session_id] != before:
            self.keys[request.key] = (request.command, request.session_id, version)
        return "DONE", request.session_id, version

    @property
    def _active(self) -> UUID | None:
        found = (each for each, (status, _) in self.sessions.items() if status == "in_progress")
        return next(found, None)

    def _refusal_of_plan(self, request: Request) -> Answer | None:
        if request.kind == "plan_and_start" and self._active:
            return "ACTIVE_SESSION_EXISTS", self._active, None
        return None

    def _refusal(self, request: Request) -> Answer | None:
        if request.session_id not in self.sessions:
            return "SESSION_NOT_FOUND", None, None
        status, version = self.sessions[request.session_id]
        if status not in REQUIRED[request.kind]:
            return "TOO_EARLY" if is_too_early(status, request.kind) else "TOO_LATE", None, None
        if request.kind in STARTS and self._active:
            return "ACTIVE_SESSION_EXISTS", self._active, None
        if request.if_match is not None and version not in request.if_match:
            return "PRECONDITION_FAILED", None, None
        return None

    def _execute(self, request: Request) -> int:
        """Returns the new version of the session."""
        status, version = self.sessions.get(request.session_id, ("", 0))
        if request.kind == "update":
            return self._update(request, status, version)
        if not request.is_plan:
            return self._change(request, request.kind, version, request.key)
        self.notes[request.session_id] = request.text
        version = self._change(request, "plan", version, request.key)
        if request.kind == "plan_and_start":
            version = self._change(request, "start", version, None)
        return version

    def _update(self, request: Request, status: str, version: int) -> int:
        if self.notes[request.session_id] == request.text:
            return version
        self.notes[request.session_id] = request.text
        self.sessions[request.session_id] = (status, version + 1)
        event = (request.session_id, version + 1, RECORDED["update"], None, request.key)
        self.events.add(event)
        return version + 1

    def _change(self, request: Request, kind: str, version: int, key: str | None) -> int:
        self.sessions[request.session_id] = (BECOMES[kind], version + 1)
        reason = request.text if kind == "fail" else None
        self.events.add((request.session_id, version + 1, RECORDED[kind], reason, key))
        return version + 1
