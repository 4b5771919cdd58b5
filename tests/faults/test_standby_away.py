# SPDX-License-Identifier: MIT
"""The log, /readyz and the metrics say that COMMIT waits for a synchronous standby that is away."""

import asyncio
import json

from service.persistence.causes import STANDBY_IS_AWAY
from service.persistence.checks import OK
from tests.faults.failover.world import World, connected, url_of
from tests.faults.world import until
from tests.observability.scraping import Metrics
from tests.running import App
from tests.system.processes import Process, a_service

HASTE = {
    "command_timeout_seconds": "1",
    "database_lock_timeout_seconds": "0.5",
    "database_statement_timeout_seconds": "1",
    "database_idle_in_transaction_timeout_seconds": "2",
}


async def test_says_that_writes_fail_until_the_standby_is_back(world: World) -> None:
    """The writer is not probed before it has said it, and the idle replica has written nothing."""
    await world.a_standby(synchronous=True)
    url = url_of([world.primary], world.primary.cluster.api_role)
    async with connected(world.primary) as database:
        session = await database.a_session()
    async with (
        a_service(url, metrics_port="0", **HASTE) as (writer, app),
        a_service(url) as (_, idle),
    ):
        metrics = await Metrics.of(writer)
        world.link.change(closed=True)
        waiting = asyncio.create_task(app.fail(session))
        await writer.line(STANDBY_IS_AWAY)
        await until(lambda: shows(idle, STANDBY_IS_AWAY))
        assert await shows(app, STANDBY_IS_AWAY)
        await metrics.until(lambda scrape: scrape("training_writable") == 0)
        assert (await app.get(session)).status_code == 200
        assert (await waiting).status_code == 503

        world.link.change()
        await writer.line("available again")
        await until(lambda: shows(idle, OK))
        assert await shows(app, OK)
        await metrics.until(lambda scrape: scrape("training_writable") == 1)

    assert outages(writer) == [("writes", STANDBY_IS_AWAY), ("writes", None)]


async def shows(app: App, writes: str) -> bool:
    """Also that everything else is well, and that the replica is ready."""
    answer = await app.client.get("/readyz")
    assert answer.status_code == 200
    checks = answer.json()["data"]["checks"]
    assert {name for name, result in checks.items() if result != OK} <= {"writes"}
    return bool(checks["writes"] == writes)


def outages(process: Process) -> list[tuple[str, str | None]]:
    """The parts and causes in the log; without a cause for the end of an outage."""
    lines = [json.loads(line) for line in process.out]
    return [(line["dependency"], line.get("cause")) for line in lines if "dependency" in line]
