"""The log says each outage when it begins, when its cause changes, and when it is over."""

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


class Gym:
    """Outages with a clock that the test moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.outages = Outages("gym:5432", clock=lambda: self.now)

    def fail(self, *causes: str, part: str = "database", pause: float = 0) -> None:
        for cause in causes:
            self.outages.failed(part, cause)
            self.now += pause

    def recover(self, part: str = "database") -> None:
        self.now += QUIET_SECONDS
        self.outages.succeeded(part)


@pytest.fixture
def gym() -> Gym:
    return Gym()


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Line]]:
    """The lines of the log. A logger of its own: used ones keep their first configuration."""
    monkeypatch.setattr("service.persistence.outages.log", structlog.get_logger())
    with structlog.testing.capture_logs() as lines:
        yield lines


def causes(lines: Sequence[Line]) -> list[str | None]:
    """The causes that were said; None for the end of an outage."""
    return [line.get("cause") for line in lines]


def test_says_the_beginning_and_the_end_once(gym: Gym, lines: list[Line]) -> None:
    gym.fail("full", "full", "full", pause=10, part="writes")
    gym.recover("writes")
    gym.recover("writes")

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
        "after_seconds": 31.0,
    }


def test_says_a_new_cause(gym: Gym, lines: list[Line]) -> None:
    gym.fail("refused", "refused", "starting", "starting")

    assert causes(lines) == ["refused", "starting"]
    assert gym.outages.cause("database") == "starting"


def test_says_causes_that_alternate_once_and_again_after_a_while(
    gym: Gym, lines: list[Line]
) -> None:
    gym.fail(*["refused", "starting"] * 10)
    gym.now = REPEAT_SECONDS
    gym.fail(*["refused", "starting"] * 10)

    assert causes(lines) == ["refused", "starting"] * 2


def test_says_a_cause_that_stays_only_once(gym: Gym, lines: list[Line]) -> None:
    gym.fail(*["refused"] * 100, pause=REPEAT_SECONDS)

    assert causes(lines) == ["refused"]


def test_bounds_the_causes_that_it_says_in_a_while(gym: Gym, lines: list[Line]) -> None:
    gym.fail(*map(str, range(1000)))

    assert len(lines) == CAUSES_MAX


def test_is_not_over_with_a_success_right_after_a_failure(gym: Gym, lines: list[Line]) -> None:
    """A server that refuses every second connection would else be said all the time."""
    for _ in range(10):
        gym.fail("too many connections", pause=QUIET_SECONDS / 2)
        gym.outages.succeeded("database")
    gym.recover()

    assert causes(lines) == ["too many connections", None]


def test_says_a_second_outage_as_the_first(gym: Gym, lines: list[Line]) -> None:
    for _ in range(2):
        gym.fail("refused")
        gym.recover()

    assert causes(lines) == ["refused", None] * 2


def test_keeps_the_parts_apart(gym: Gym, lines: list[Line]) -> None:
    gym.fail("full", part="writes")
    gym.fail("refused", part="database")
    gym.recover("database")

    assert causes(lines) == ["full", "refused", None]
    assert gym.outages.cause("database") is None
    assert gym.outages.is_ongoing({"writes", "database"})
    assert not gym.outages.is_ongoing({"reads", "database"})


def test_a_success_without_an_outage_is_not_said(gym: Gym, lines: list[Line]) -> None:
    gym.recover()

    assert lines == []


def raise_in_a_transaction(gym: Gym, *failures: TransactionFailed | DependencyUnavailable) -> None:
    for failure in failures:
        with pytest.raises(type(failure)), gym.outages.observing("reads"):
            raise failure


def test_observes_what_a_transaction_cannot_use(gym: Gym, lines: list[Line]) -> None:
    raise_in_a_transaction(gym, DependencyUnavailable("pooler", "set it"), TimedOut("slow"))

    assert [(line["dependency"], line["cause"]) for line in lines] == [
        ("pooler", "set it"),
        ("reads", "slow"),
    ]


@pytest.mark.parametrize("lost", [ConnectionLost("gone"), CommitUnknown("gone")])
def test_a_lost_connection_is_an_outage_only_if_the_next_one_is_lost_too(
    gym: Gym, lines: list[Line], lost: TransactionFailed
) -> None:
    raise_in_a_transaction(gym, lost)
    with gym.outages.observing("reads"):
        pass
    raise_in_a_transaction(gym, lost)
    assert lines == []

    raise_in_a_transaction(gym, lost)
    assert causes(lines) == ["gone"]


def test_another_transaction_in_the_way_is_no_outage(gym: Gym, lines: list[Line]) -> None:
    raise_in_a_transaction(gym, Contended("deadlock"), Contended("deadlock"))

    assert lines == []


def test_a_transaction_that_ends_well_shows_that_the_database_is_reached(
    gym: Gym, lines: list[Line]
) -> None:
    gym.fail("refused")
    gym.now += QUIET_SECONDS
    with gym.outages.observing("reads"):
        pass

    assert causes(lines) == ["refused", None]
