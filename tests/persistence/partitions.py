# SPDX-License-Identifier: MIT
"""The schema of the migrations, with sessions and events in hash partitions."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

PARTITIONS = 8
PARTITIONED = ("sessions", "events")


@contextmanager
def partitioning() -> Iterator[None]:
    """Within this context, migrations create partitioned tables."""
    event.listen(Engine, "before_cursor_execute", _with_partitions, retval=True)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", _with_partitions)


def _with_partitions(
    _connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any
) -> tuple[str, Any]:
    found = re.match(r"\s*CREATE TABLE (\w+) ", statement)
    if found is None or found[1] not in PARTITIONED:
        return statement, parameters
    cursor.execute(f"{statement} PARTITION BY HASH (user_id)")
    *others, last = [
        f"CREATE TABLE {found[1]}_{number} PARTITION OF {found[1]}"
        f" FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {number})"
        for number in range(PARTITIONS)
    ]
    for other in others:
        cursor.execute(other)
    return last, parameters
