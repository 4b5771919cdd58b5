# SPDX-License-Identifier: MIT
"""The log says each outage when it begins, when its cause changes, and when it is over."""

import asyncio
from collections.abc import Iterator, MutableMapping, Sequence
from typing import Any

import pytest
import structlog

from service.application.errors import (
    CommitUnknown,
    ConnectionLost,
    Contended,
    DependencyUnavailable,
    TimedOut,
    TransactionFailed,
)
from service.persistence.outages import CAUSES_MAX, QUIET_SECONDS, REPEAT_SECONDS, Outages

Line = MutableMapping[str, Any]


pytestmark = pytest.mark.simulated_time


@pytest.fixture
def outages() -> Outages:
    return Outages("gym:5432")


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Line]]:
    """The lines of the log. A logger of its own: used ones keep their first configuration."""
    monkeypatch.setattr("service.persistence.outages.log", structlog.get_logger())
    with structlog.testing.capture_logs() as lines:
        yield lines


def causes(lines: Sequence[Line]) -> list[str | None]:
    """The causes that were said; None for the end of an outage."""
    return [line.get("cause") for line in lines]


async def fail(
    outages: Outages, *causes: str, part: str = "database", pause: float = 0.001
) -> None:
    for cause in causes:
        outages.failed(part, cause)
        await asyncio.sleep(pause)


async def recover(outages: Outages, part: str = "database") -> None:
    outages.succeeded(part)
    await asyncio.sleep(QUIET_SECONDS)


async def test_says_the_beginning_and_the_end_once(outages: Outages, lines: list[Line]) -> None:
    await fail(outages, "full", "full", "full", pause=10, part="writes")
    await recover(outages, "writes")
    await recover(outages, "writes")

    begin, end = lines
    assert begin == {
        "event": "unavailable",
        "log_level": "error",
        "dependency": "writes",
        "server": "gym:5432",
        "cause": "full",
    }
    assert end == {
        "event": "available again",
        "log_level": "warning",
        "dependency": "writes",
        "server": "gym:5432",
        "after_seconds": 30.0,
    }


async def test_says_the_end_also_if_the_only_success_comes_right_after_the_last_failure(
    outages: Outages, lines: list[Line]
) -> None:
    await fail(outages, "full")
    await recover(outages)

    assert causes(lines) == ["full", None]
    assert outages.cause("database") is None


async def test_says_a_new_cause(outages: Outages, lines: list[Line]) -> None:
    await fail(outages, "refused", "refused", "starting", "starting")

    assert causes(lines) == ["refused", "starting"]
    assert outages.cause("database") == "starting"


async def test_says_causes_that_alternate_once_and_again_after_a_while(
    outages: Outages, lines: list[Line]
) -> None:
    await fail(outages, *["refused", "starting"] * 10)
    await asyncio.sleep(REPEAT_SECONDS)
    await fail(outages, *["refused", "starting"] * 10)

    assert causes(lines) == ["refused", "starting"] * 2


async def test_says_a_cause_that_stays_only_once(outages: Outages, lines: list[Line]) -> None:
    await fail(outages, *["refused"] * 100, pause=REPEAT_SECONDS)

    assert causes(lines) == ["refused"]


async def test_bounds_the_causes_that_it_says_in_a_while(
    outages: Outages, lines: list[Line]
) -> None:
    await fail(outages, *map(str, range(1000)))

    assert len(lines) == CAUSES_MAX


async def test_is_not_over_if_a_failure_follows_the_success(
    outages: Outages, lines: list[Line]
) -> None:
    """A server that refuses every second connection would else be said all the time."""
    for _ in range(10):
        await fail(outages, "too many connections", pause=QUIET_SECONDS / 2)
        outages.succeeded("database")
    assert causes(lines) == ["too many connections"]

    await asyncio.sleep(QUIET_SECONDS)
    assert causes(lines) == ["too many connections", None]


async def test_is_not_over_without_a_success(outages: Outages, lines: list[Line]) -> None:
    await fail(outages, "refused", "refused", pause=10 * QUIET_SECONDS)
    outages.succeeded("database")
    await fail(outages, "refused", pause=10 * QUIET_SECONDS)

    assert causes(lines) == ["refused"]


async def test_says_a_second_outage_as_the_first(outages: Outages, lines: list[Line]) -> None:
    for _ in range(2):
        await fail(outages, "refused")
        await recover(outages)

    assert causes(lines) == ["refused", None] * 2


async def test_keeps_the_parts_apart(outages: Outages, lines: list[Line]) -> None:
    await fail(outages, "full", part="writes")
    await fail(outages, "refused", part="database")
    await recover(outages, "database")

    assert causes(lines) == ["full", "refused", None]
    assert outages.cause("database") is None
    assert outages.is_ongoing({"writes", "database"})
    assert not outages.is_ongoing({"reads", "database"})


async def test_a_success_without_an_outage_is_not_said(outages: Outages, lines: list[Line]) -> None:
    await recover(outages)

    assert lines == []


def raise_in_a_transaction(
    outages: Outages, *failures: TransactionFailed | DependencyUnavailable
) -> None:
    for failure in failures:
        with pytest.raises(type(failure)), outages.observing("reads"):
            raise failure


async def test_observes_what_a_transaction_cannot_use(outages: Outages, lines: list[Line]) -> None:
    raise_in_a_transaction(outages, DependencyUnavailable("pooler", "set it"), TimedOut("slow"))

    assert [(line["dependency"], line["cause"]) for line in lines] == [
        ("pooler", "set it"),
        ("reads", "slow"),
    ]


@pytest.mark.parametrize("lost", [ConnectionLost("gone"), CommitUnknown("gone")])
async def test_a_lost_connection_is_an_outage_only_if_the_next_one_is_lost_too(
    outages: Outages, lines: list[Line], lost: TransactionFailed
) -> None:
    raise_in_a_transaction(outages, lost)
    with outages.observing("reads"):
        pass
    raise_in_a_transaction(outages, lost)
    assert lines == []

    raise_in_a_transaction(outages, lost)
    assert causes(lines) == ["gone"]


async def test_a_commit_without_an_answer_keeps_the_cause_that_is_known(
    outages: Outages, lines: list[Line]
) -> None:
    raise_in_a_transaction(outages, CommitUnknown("gone"))
    await fail(outages, "no standby", part="reads")
    raise_in_a_transaction(outages, CommitUnknown("gone"), CommitUnknown("gone"))

    assert causes(lines) == ["no standby"]
    assert outages.cause("reads") == "no standby"


async def test_another_transaction_in_the_way_is_no_outage(
    outages: Outages, lines: list[Line]
) -> None:
    raise_in_a_transaction(outages, Contended("deadlock"), Contended("deadlock"))

    assert lines == []


async def test_a_transaction_that_ends_well_shows_that_the_database_is_reached(
    outages: Outages, lines: list[Line]
) -> None:
    await fail(outages, "refused")
    with outages.observing("reads"):
        pass
    await asyncio.sleep(QUIET_SECONDS)

    assert causes(lines) == ["refused", None]


async def test_wakes_who_waits_for_an_outage_once_for_each(outages: Outages) -> None:
    """Else readiness would be checked for each request that is refused."""
    outages.failed("writes", "full")
    waiting = asyncio.create_task(outages.wait_for_one())
    await fail(outages, *["full"] * 100, part="writes")
    assert not waiting.done()

    outages.failed("database", "refused")
    await waiting


async def test_wakes_who_waits_for_an_outage_also_if_one_is_only_suspected(
    outages: Outages, lines: list[Line]
) -> None:
    """The checks may find a cause, or that there is none."""
    waiting = asyncio.create_task(outages.wait_for_one())
    await asyncio.sleep(0)
    raise_in_a_transaction(outages, CommitUnknown("gone"))

    await waiting
    assert lines == []
