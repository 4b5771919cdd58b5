# SPDX-License-Identifier: MIT
"""Measures the size of the outbox while events pass through it."""

from dataclasses import dataclass

from tests.faults.world import until
from tests.running import TestDatabase

AT_ONCE = 5_000

PUT = """
    INSERT INTO outbox (user_id, event_id)
    SELECT gen_random_uuid(), gen_random_uuid() FROM generate_series(1, $1)
"""


@dataclass(frozen=True)
class Growth:
    """Sizes in bytes, the index included."""

    events: int
    largest: int
    last: int


async def grown(database: TestDatabase, events: int) -> Growth:
    """Inserts and deletes rows of the outbox; only autovacuum cleans up."""
    largest = 0
    for _ in range(0, events, AT_ONCE):
        await database.execute(PUT, AT_ONCE)
        largest = max(largest, await _size(database))
        await database.execute("DELETE FROM outbox")
    await until(lambda: _is_vacuumed(database))
    return Growth(events, largest, await _size(database))


async def _is_vacuumed(database: TestDatabase) -> bool:
    return bool(await database.value("SELECT pg_relation_size('outbox') = 0"))


async def _size(database: TestDatabase) -> int:
    return int(await database.value("SELECT pg_total_relation_size('outbox')"))
