"""The contract's statuses and transitions, in plain terms: one table for every model."""

STATUSES = ["planned", "in_progress", "completed", "failed"]
"""In the order of a session's life; the last two are final."""

REQUIRED = {"start": "planned", "complete": "in_progress", "fail": "in_progress"}
"""The status that a session must have for a command."""

BECOMES = {"start": "in_progress", "complete": "completed", "fail": "failed"}
"""The status that a command leads to."""

UPDATABLE = ["planned", "in_progress"]
"""The statuses in which a session can be updated; its date, only in the first."""


def is_too_early(status: str, command: str) -> bool:
    """True if the session has not reached the required status yet; else it has passed it."""
    return STATUSES.index(status) < STATUSES.index(REQUIRED[command])
