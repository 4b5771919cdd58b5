# SPDX-License-Identifier: MIT
"""The contract's statuses and transitions, in plain terms: one table for every model."""

STATUSES = ["planned", "in_progress", "completed", "failed"]
"""In the order of a session's life; the last two are final."""

REQUIRED = {
    "update": ["planned", "in_progress"],
    "move": ["planned"],
    "start": ["planned"],
    "complete": ["in_progress"],
    "fail": ["in_progress"],
}
"""The statuses in which a session accepts a command; `move` is an update of its date."""

BECOMES = {"plan": "planned", "start": "in_progress", "complete": "completed", "fail": "failed"}
"""The status that a command leads to."""

RECORDED = {
    "plan": "session_planned",
    "update": "session_updated",
    "start": "session_started",
    "complete": "session_completed",
    "fail": "session_failed",
}
"""The event that records a command."""

STARTS = {"start"}
"""The commands that are refused while another session of the user is in progress."""


def is_too_early(status: str, command: str) -> bool:
    """True if the session has not reached a required status yet; else it has passed them."""
    return STATUSES.index(status) < min(map(STATUSES.index, REQUIRED[command]))
