# SPDX-License-Identifier: MIT
"""What the pause between two groups adds for requests that arrive whether or not others are done.

The figures are those of docs/decisions/pause-between-groups.md.
"""

import asyncio
import random
from collections.abc import Callable
from statistics import quantiles

import pytest

from service.application.group_commit import gathering, scheduler
from service.application.group_commit.pending import PendingRead
from service.application.group_commit.scheduler import Scheduler, SchedulerLimits
from service.application.ports import FindSession
from tests.builders import a_session
from tests.simulated_time import SimulatedTimeLoop

TRANSACTION_SECONDS = 0.003
SECONDS = 10
LIMITS = SchedulerLimits(groups_in_flight=1, group_size_max=64, queue_max=5000, timeout=60)


class BusyLoop(SimulatedTimeLoop):
    """Each iteration takes at least so many seconds, as with other work to do."""

    def __init__(self, iteration: float) -> None:
        super().__init__()
        self._iteration = iteration

    def pass_time(self, seconds: float) -> None:
        super().pass_time(max(seconds, self._iteration))


async def run_group(group: list[PendingRead]) -> list[PendingRead]:
    await asyncio.sleep(TRANSACTION_SECONDS)
    for pending in group:
        pending.settle(None)
    return []


async def latencies(rate: float) -> list[float]:
    """Milliseconds from the moment at which each request is due until its answer."""
    requests, session = Scheduler(run_group, LIMITS), a_session()
    arrivals = random.Random(1)  # noqa: S311  the same arrivals in every run
    loop, found, tasks = asyncio.get_running_loop(), list[float](), list[asyncio.Task[None]]()

    async def send(due: float) -> None:
        pending = PendingRead(request=FindSession(session.user_id, session.id))
        requests.submit(pending)
        await pending.answer
        found.append(1000 * (loop.time() - due))

    def arrive(due: float) -> None:
        tasks.append(loop.create_task(send(due)))

    due = loop.time()
    end = due + SECONDS
    while (due := due + arrivals.expovariate(rate)) < end:
        loop.call_at(due, arrive, due)
    await asyncio.sleep(SECONDS + 1)
    await asyncio.gather(*tasks)
    return found


def median_and_p99(rate: float, iteration: float) -> tuple[float, float]:
    with asyncio.Runner(loop_factory=lambda: BusyLoop(iteration)) as runner:
        percentiles = quantiles(runner.run(latencies(rate)), n=100)
    return percentiles[49], percentiles[98]


def begin_at_once(patch: pytest.MonkeyPatch) -> None:
    async def let_grow(_queue: object, _is_group_full: object) -> None:
        pass

    patch.setattr(scheduler, "let_grow", let_grow)


def pause_with_a_bound(_patch: pytest.MonkeyPatch) -> None:
    pass


def pause_as_long_as_the_queue_grows(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(gathering, "PAIRS_MAX", 64)


@pytest.mark.parametrize(
    ("pause", "load", "expected"),
    [
        (begin_at_once, (150, 0.010), (72, 87)),
        (pause_with_a_bound, (150, 0.010), (118, 179)),
        (pause_as_long_as_the_queue_grows, (150, 0.010), (237, 502)),
        (begin_at_once, (600, 0.002), (17, 21)),
        (pause_with_a_bound, (600, 0.002), (26, 40)),
        (pause_as_long_as_the_queue_grows, (600, 0.002), (44, 111)),
    ],
)
def test_a_bound_on_the_pause_bounds_the_time_until_an_answer(
    monkeypatch: pytest.MonkeyPatch,
    pause: Callable[[pytest.MonkeyPatch], None],
    load: tuple[float, float],
    expected: tuple[float, float],
) -> None:
    """`load`: requests per second, and seconds of an iteration of the event loop."""
    pause(monkeypatch)

    assert median_and_p99(*load) == pytest.approx(expected, rel=0.1)
