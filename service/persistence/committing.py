# SPDX-License-Identifier: MIT
"""COMMIT of the service's transactions, and what it waits for."""

from typing import Any

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from service.application.errors import CommitUnknown
from service.persistence.driver import driver_connection
from service.persistence.errors import translate_commit_errors

CLIENT_MIN_MESSAGES = "warning"
"""A setting of transactions. Logins may have another one, and would not get what `commit` hears."""

_HAS_SYNCHRONOUS_STANDBYS = """
    SELECT current_setting('synchronous_standby_names') <> ''
    FROM set_config('client_min_messages', 'warning', true)
"""
_WRITE_WAL = "SELECT pg_logical_emit_message(true, 'training-sessions', '')"
"""Without a record in the WAL, PostgreSQL lets no COMMIT wait for a standby."""

_CAN_SEE_WAITS = sa.text("""
    SELECT current_setting('synchronous_standby_names') <> ''
        AND has_table_privilege('pg_stat_activity', 'SELECT')
""")
# Of this login alone: those of others are hidden from it. A standby that is only slow takes less.
_HAS_WAIT = sa.text("""
    SELECT EXISTS (
        SELECT FROM pg_stat_activity
        WHERE usename = session_user AND wait_event = 'SyncRep'
            AND query_start < clock_timestamp() - interval '2 s'
    )
""")


def commit(connection: sa.Connection) -> None:
    """Raises CommitUnknown also if PostgreSQL was told not to wait for a standby any more.

    After `pg_cancel_backend`, it answers such a COMMIT with success and a warning.
    """
    messages: list[Any] = []
    driver = driver_connection(connection)

    def hear(_driver: object, message: Any) -> None:
        messages.append(message)

    driver.add_log_listener(hear)
    try:
        with translate_commit_errors():
            connection.commit()
    finally:
        driver.remove_log_listener(hear)
    if any(isinstance(each, asyncpg.PostgresWarning) for each in messages):
        raise CommitUnknown("no synchronous standby has confirmed COMMIT")


def confirm(connection: sa.Connection) -> None:
    """Waits until the synchronous standbys have everything that this transaction sees.

    They may lack it: when the server recovers from a crash, or the backend of a COMMIT that waits
    for them is terminated, the rows become visible although no standby has them.
    """
    if connection.exec_driver_sql(_HAS_SYNCHRONOUS_STANDBYS).scalar():
        connection.exec_driver_sql(_WRITE_WAL)
        commit(connection)


async def waits_for_standby(connection: AsyncConnection) -> bool:
    """True if a COMMIT of the login waits for a standby.

    Also one of another process, or one whose client was cut off.
    """
    return bool(await connection.scalar(_CAN_SEE_WAITS) and await connection.scalar(_HAS_WAIT))
