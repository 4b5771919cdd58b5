# SPDX-License-Identifier: MIT
"""One run: users live while the nemesis breaks parts; then everything is compared."""

import asyncio
from pathlib import Path
from random import Random

from tests.chaos.bounds import late
from tests.chaos.checker import Records, check
from tests.chaos.faults import faults_of, left_out
from tests.chaos.history import Attempt, Wrong
from tests.chaos.http_client import Client
from tests.chaos.installation import Installation, an_installation
from tests.chaos.lives import live
from tests.chaos.nemesis import Nemesis
from tests.chaos.report import Report, report
from tests.chaos.resources import Resources, at_rest, compared, grown, resources
from tests.chaos.stream import judge_stream
from tests.chaos.users import Crowd
from tests.chaos.watch import Watch
from tests.optional_programs import HAPROXY
from tests.running import TestDatabase, a_connection
from tests.system.processes import finished

CALM_SECONDS = 5.0
"""Before the first fault and after the last one; users live meanwhile."""

GRACE_SECONDS = 30.0
SETTLE_SECONDS = 90.0
UNFINISHED = """
    SELECT (SELECT count(*) FROM outbox)
        + (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'
            AND pid <> pg_backend_pid() AND usename LIKE 'training_api%' AND xact_start IS NOT NULL)
"""


async def run(
    *,
    seed: int,
    minutes: float,
    users: int,
    place: Path,
    only: str = "",
) -> Report:
    """`place`: an empty directory that every user of the machine may enter.

    `only`: the faults whose names have this in them.
    """
    async with an_installation(_seeded(seed), place) as installation:
        client = Client(*installation.place)
        crowd = Crowd(client, _seeded(seed), lambda: installation.key, live)
        faults = [each for each in faults_of(installation) if only in each.name]
        nemesis = Nemesis(installation, faults, seed)
        watch = Watch(installation.database.url, crowd.history)
        async with watch.during():
            before = await _live(crowd, nemesis, installation, users, minutes * 60)
        wrong = [*watch.found, *nemesis.wrong, *await _settled(installation)]
        wrong += await _compared(crowd.history, installation)
        if HAPROXY.find():  # the balancer of the tests has no time limits
            wrong += late(crowd.history, nemesis.spans)
        now = await at_rest(installation, before)
        wrong += [Wrong("grown", each) for each in grown(before, now)]
        wrong += [Wrong("stuck", each) for part in installation.parts for each in part.stuck]
        ends = [end for part in installation.parts for end in part.ends]
        looks = f"the watch has looked into the database {watch.looks} times"
        notes = [*left_out(installation), *ends, looks, *compared(before, now)]
        if wrong:
            notes += [part.last_lines() for part in installation.parts]
        return report(
            crowd.history, nemesis.spans, wrong,
            seed=seed, minutes=minutes, users=users, notes=notes,
        )  # fmt: skip


def _seeded(seed: int) -> Random:
    """Each draws its own numbers, so that the order of their tasks does not change them."""
    return Random(seed)  # noqa: S311  no secret


async def _live(
    crowd: Crowd, nemesis: Nemesis, installation: Installation, users: int, seconds: float
) -> Resources:
    """Returns what the parts have before the first fault, while users live."""
    living = asyncio.create_task(crowd.live(users))
    await asyncio.sleep(CALM_SECONDS)
    before = await resources(installation)
    await nemesis.run(seconds - 2 * CALM_SECONDS)
    await asyncio.sleep(CALM_SECONDS)
    crowd.ends.set()
    async with asyncio.timeout(crowd.patient_seconds + GRACE_SECONDS):
        await living
    crowd.client.close()
    return before


async def _settled(installation: Installation) -> list[Wrong]:
    """Waits until no transaction is open and every event is published."""
    try:
        async with (
            asyncio.timeout(SETTLE_SECONDS),
            a_connection(installation.database.url) as connection,
        ):
            while await connection.fetchval(UNFINISHED):  # noqa: ASYNC110  other processes
                await asyncio.sleep(0.1)
    except TimeoutError:
        return [Wrong("late", f"events are not published after {SETTLE_SECONDS:.0f} s")]
    return []


async def _compared(history: list[Attempt], installation: Installation) -> list[Wrong]:
    async with a_connection(installation.database.url) as connection:
        sessions = await connection.fetch("SELECT * FROM sessions")
        events = await connection.fetch("SELECT * FROM events")
    records = Records([dict(each) for each in sessions], [dict(each) for each in events])
    wrong = await asyncio.to_thread(check, history, records, installation.issuer.published)
    stored = await installation.broker.stored()
    wrong += judge_stream((str(event["id"]) for event in events), stored)
    return [*wrong, *await _audited(installation.database, installation)]


async def _audited(database: TestDatabase, installation: Installation) -> list[Wrong]:
    environment = {
        "SERVICE_DATABASE_URL": database.relay_url,
        "SERVICE_NATS_URL": installation.broker.url,
    }
    audit = await finished("relay", "--audit", environment=environment)
    return [Wrong("lost", f"relay --audit: {audit.out}")] if audit.code else []
