# SPDX-License-Identifier: MIT
"""Reads the rows that a contender wrote, and hides rows from it by a policy."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from benchmarks.cluster import Cluster
from benchmarks.contenders.contract import timestamp

HISTORY = """
    SELECT event_type, event_data, session_version, sessions.status, sessions.version,
        count(outbox) AS queued
    FROM events
        JOIN sessions ON (sessions.user_id, sessions.id) = (events.user_id, session_id)
        LEFT JOIN outbox ON (outbox.user_id, event_id) = (events.user_id, events.id)
    WHERE events.user_id = $1
    GROUP BY events.user_id, events.id, sessions.user_id, sessions.id
    ORDER BY session_id, session_version
"""
UNSTART = "UPDATE sessions SET status = 'planned', started_at = NULL WHERE user_id = '{user}'"
POLICY = "service_acts_for_users"
POLICY_TEXT = "SELECT qual FROM pg_policies WHERE tablename = 'sessions' AND policyname = $1"


@dataclass(frozen=True)
class Rows:
    cluster: Cluster
    database: str

    def history(self, user: UUID) -> list[dict[str, Any]]:
        """The user's events, with the state of their sessions and the event's rows in outbox."""
        rows = self.cluster.fetch(self.database, HISTORY, user)
        return [{**row, "event_data": _loaded(row["event_data"])} for row in rows]

    def unstart(self, user: UUID) -> None:
        self.cluster.execute(self.database, UNSTART.format(user=user))

    @contextmanager
    def hidden_by_policy(self) -> Iterator[None]:
        """Hides all sessions by a policy: a contender that finds one bypasses the policies."""
        qual = self.cluster.value(self.database, POLICY_TEXT, POLICY)
        change = f"ALTER POLICY {POLICY} ON sessions USING"
        self.cluster.execute(self.database, f"{change} (false)")
        try:
            yield
        finally:
            self.cluster.execute(self.database, f"{change} ({qual})")


def _loaded(event_data: str) -> dict[str, Any]:
    """With the date in one writing: JavaScript writes milliseconds that are zero."""
    data: dict[str, Any] = json.loads(event_data)
    if "sessionDate" in data:
        data["sessionDate"] = timestamp(datetime.fromisoformat(data["sessionDate"]))
    return data
