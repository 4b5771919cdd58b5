# SPDX-License-Identifier: MIT
"""Plans: every statement finds its rows by key, and every page costs the same.

In tables of 40,000 sessions and 60,000 events: one user has half of the sessions, the others have
ten each; one session has 20,000 events, the others have one each.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from service.application.commands import StartSession
from service.application.ports import (
    FindSession,
    ListSessions,
    LoadRequest,
    Position,
    ReadHistory,
    SessionFilter,
)
from service.domain.session import Session, SessionStatus
from service.persistence.database import Database
from tests.builders import MORNING, a_command, a_session
from tests.persistence.conftest import LIMITS, in_both_layouts
from tests.persistence.partitions import PARTITIONS
from tests.persistence.plans import Plan, an_explained_engine, scans
from tests.persistence.stepping import open_reader
from tests.persistence.transacting import applied
from tests.running import TestDatabase

pytestmark = in_both_layouts

GROUP = 10
MANY = 20_000
PAGE = 20
TID_SCAN = "Tid Scan"

MANY_SESSIONS = f"""
    INSERT INTO sessions
    SELECT user_id, gen_random_uuid(), 'failed', $2::timestamptz - n * interval '1 hour',
        now(), now(), '{{12,10}}', 7, NULL, 2, now(), now()
    FROM (
        SELECT $1::uuid AS user_id, {MANY} AS count
        UNION ALL SELECT gen_random_uuid(), 10 FROM generate_series(1, {MANY} / 10)
    ) AS owners, generate_series(1, count) AS n
"""
AN_EVENT_OF_EACH = """
    INSERT INTO events
    SELECT user_id, gen_random_uuid(), id, 2, 'session_failed', '{}', now(), 'r', id::text,
        '\\x00', '{}'
    FROM sessions WHERE status = 'failed'
"""
MANY_EVENTS_OF_ONE = f"""
    INSERT INTO events
    SELECT $1, gen_random_uuid(), $2, n, 'session_updated', '{{}}', now(), 'r'
    FROM generate_series(1, {MANY}) AS n
"""


def a_list(user_id: UUID, after: Position | None = None) -> ListSessions:
    return ListSessions(user_id, SessionFilter(), after, PAGE)


async def fill(database: TestDatabase, session: Session) -> None:
    """Adds many sessions of many users and of this one, and many events of this session."""
    await database.execute("SET session_replication_role = replica")  # checks no foreign key
    await database.execute(MANY_SESSIONS, session.user_id, MORNING)
    await database.execute(AN_EVENT_OF_EACH)
    await database.execute(MANY_EVENTS_OF_ONE, session.user_id, session.id)
    await database.execute("RESET session_replication_role")


@pytest.fixture
async def group(database: TestDatabase) -> list[Session]:
    sessions = [a_session(status=SessionStatus.PLANNED, version=MANY) for _ in range(GROUP)]
    await database.insert(*sessions)
    return sessions


@pytest.fixture
async def explained(database: TestDatabase) -> AsyncIterator[tuple[Database, list[Plan]]]:
    async with an_explained_engine(database, LIMITS.pool_size) as (engine, plans):
        yield Database(engine, LIMITS), plans


async def execute(
    units: Database, plans: list[Plan], sessions: list[Session]
) -> dict[str, list[Plan]]:
    """The plans of the statements of a group and of all reads, which change nothing."""
    users = frozenset(session.user_id for session in sessions)
    keys = [(session.user_id, session.id) for session in sessions]
    starts = [a_command(each, StartSession, idempotency_key="tap-1") for each in sessions]
    requests = [LoadRequest(command=each, uncertain_event=uuid7()) for each in starts]
    changes = [applied(*each) for each in zip(starts, sessions, strict=True)]
    steps: dict[str, Callable[[Any], Any]] = {
        "load": lambda work: work.load(requests),
        "write": lambda work: work.save(changes),
        "find": lambda reader: reader.find([FindSession(*each) for each in keys]),
        "newest": lambda reader: reader.newest([a_list(user_id) for user_id, _ in keys]),
        "histories": lambda reader: reader.histories(
            [ReadHistory(*each, 0, PAGE) for each in keys]
        ),
    }
    found = {}
    for name, step in steps.items():
        plans.clear()
        run = units.run_unit_of_work if name in {"load", "write"} else units.run_read
        await run(users, step)
        await asyncio.sleep(0)  # the driver reports in the next turn of the loop
        found[name] = plans.copy()
    return found


async def searches(database: TestDatabase, nodes: list[Plan]) -> Counter[str]:
    """How often each index was searched; the index of a partition counts as that of the table."""
    rows = await database.fetch("""
        SELECT inhrelid::regclass::text AS name, inhparent::regclass::text AS parent
        FROM pg_inherits
    """)
    parents = {row["name"]: row["parent"] for row in rows}
    counts: Counter[str] = Counter()
    for node in nodes:
        index: str = node["Index Name"]
        counts[parents.get(index) or index] += node["Actual Loops"]
    return counts


@pytest.mark.parametrize("planned", ["on small tables", "without statistics", "with statistics"])
async def test_every_statement_searches_one_index_once_per_key(
    database: TestDatabase,
    group: list[Session],
    explained: tuple[Database, list[Plan]],
    planned: str,
) -> None:
    """Each search is one of one partition, if there are partitions."""
    if planned == "on small tables":
        await database.execute("ANALYZE")  # to read a table of ten rows as a whole is cheap
        await execute(*explained, group)
    await fill(database, group[0])
    if planned == "with statistics":
        await database.execute("ANALYZE")

    found = {name: scans(plans) for name, plans in (await execute(*explained, group)).items()}

    # A lock is taken by the place of the row, which is looked at in partitions until it is there.
    locks = [node for node in found["load"] if node["Node Type"] == TID_SCAN]
    assert GROUP <= sum(node["Actual Loops"] for node in locks) <= GROUP * PARTITIONS
    found["load"] = [node for node in found["load"] if node not in locks]
    every = [node for nodes in found.values() for node in nodes]
    assert {node["Node Type"] for node in every} <= {"Index Scan", "Index Only Scan"}
    assert not any(node.get("Rows Removed by Filter") for node in every)
    # A policy among the conditions of an index would sort the acting users for each search.
    assert not any("InitPlan" in node.get("Index Cond", "") for node in every)
    by_key = [node for name in ("load", "write", "find") for node in found[name]]
    assert max(node["Actual Rows"] for node in by_key) <= 1
    # PostgreSQL itself chooses an index for its checks of the foreign key.
    assert sum(node["Actual Loops"] for node in found.pop("write")) == GROUP
    assert {name: await searches(database, nodes) for name, nodes in found.items()} == {
        "load": {
            "sessions_pkey": GROUP,
            "sessions_one_in_progress_idx": GROUP,
            "events_pkey": GROUP,
            "events_idempotency_key_idx": GROUP,
        },
        "find": {"sessions_pkey": GROUP},
        "newest": {"sessions_newest_first_idx": GROUP},
        "histories": {"sessions_pkey": GROUP, "events_history_idx": GROUP},
    }


async def test_page_1000_reads_as_many_blocks_as_page_1(
    database: TestDatabase, group: list[Session], explained: tuple[Database, list[Plan]]
) -> None:
    units, plans = explained
    session = group[0]
    await fill(database, session)
    await database.execute("ANALYZE")
    [last] = await database.fetch(
        "SELECT session_date, id FROM sessions WHERE user_id = $1"
        f" ORDER BY session_date DESC, id DESC OFFSET {999 * PAGE - 1} LIMIT 1",
        session.user_id,
    )
    position = (last["session_date"], last["id"])

    for after, version in [(None, 0), (position, 999 * PAGE)] * 3:
        plans.clear()
        async with open_reader(units, frozenset({session.user_id})) as reader:
            [sessions] = await reader.newest([a_list(session.user_id, after)])
            [events] = await reader.histories(
                [ReadHistory(session.user_id, session.id, version, PAGE)]
            )
        await asyncio.sleep(0)
        assert len(sessions) == len(events) == PAGE
        blocks = [node["Shared Hit Blocks"] + node["Shared Read Blocks"] for node in scans(plans)]
        assert len(blocks) == 3  # of the sessions, of the session, of its events
        assert max(blocks) <= 2 * PAGE
