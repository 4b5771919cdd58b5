# SPDX-License-Identifier: MIT
"""Words for what the server says, for logs and operators; without the text of any row."""

import asyncpg

_LANGUAGES = frozenset({"pl_exec.c", "plpy_elog.c", "plperl.c", "pltcl.c"})
"""Source files of PostgreSQL in which functions and triggers raise errors in their own words."""

_MESSAGE_MAX = 300

STANDBY_IS_AWAY = (
    "COMMIT waits for a synchronous standby:"
    " docs/recovery.md#commit-waits-for-a-standby says what to do"
)


_BROKEN = (OSError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError)


def statement_cause(exc: BaseException) -> str:
    """The server's message with its SQLSTATE, or the kind of the error."""
    if isinstance(exc, _BROKEN) and not isinstance(exc, ValueError):
        return "the connection broke, or was closed because the server did not answer in time"
    state = getattr(exc, "sqlstate", None)
    words = server_message(exc) or type(exc).__name__
    return f"{words} ({state})" if state else words


def server_message(exc: BaseException) -> str | None:
    """None if the message is not PostgreSQL's own: that of a trigger may quote a row."""
    message = getattr(exc, "message", None)
    source = getattr(exc, "server_source_filename", None)
    if not isinstance(exc, asyncpg.PostgresError) or not message or source in _LANGUAGES:
        return None
    return " ".join(message.split())[:_MESSAGE_MAX]
