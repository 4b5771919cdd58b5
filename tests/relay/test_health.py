# SPDX-License-Identifier: MIT
"""The health of a relay: its states, and when it counts as stuck."""

import pytest

from service.relay.health import STUCK_FACTOR, Health
from service.relay.observing import ObservedTurn, RelayState

LIMIT = 30.0


class Clock:
    seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(LIMIT, clock)


def test_a_relay_is_alive_but_not_ready_before_its_first_turn(health: Health) -> None:
    condition = health.condition()

    assert (condition.text, condition.is_ready, condition.is_alive) == ("starting", False, True)


@pytest.mark.parametrize(
    ("state", "is_ready"),
    [
        ("active", True),
        ("standby", True),
        ("broker unavailable", False),
        ("database unavailable", False),
    ],
)
def test_a_relay_is_ready_if_it_leads_or_could_take_over(
    health: Health, state: str, is_ready: bool
) -> None:
    health.observe(ObservedTurn(state=RelayState(state)))
    condition = health.condition()

    assert (condition.text, condition.is_ready, condition.is_alive) == (state, is_ready, True)


def test_a_relay_is_stuck_that_takes_no_step_within_its_limit(health: Health, clock: Clock) -> None:
    health.observe(ObservedTurn(state=RelayState.ACTIVE))
    clock.seconds += LIMIT - 0.1
    assert health.condition().is_ready

    clock.seconds += 0.1
    condition = health.condition()

    assert (condition.text, condition.is_ready, condition.is_alive) == ("stuck", False, True)


def test_a_relay_that_is_stuck_for_much_longer_is_not_alive(health: Health, clock: Clock) -> None:
    clock.seconds += STUCK_FACTOR * LIMIT - 0.1
    assert health.condition().is_alive

    clock.seconds += 0.1

    assert not health.condition().is_alive


def test_a_relay_that_goes_on_is_no_longer_stuck(health: Health, clock: Clock) -> None:
    health.observe(ObservedTurn(state=RelayState.STANDBY))
    clock.seconds += STUCK_FACTOR * LIMIT

    health.step()

    assert health.condition().is_ready
    assert health.condition().is_alive


def test_an_outage_never_makes_a_relay_that_goes_on_dead(health: Health, clock: Clock) -> None:
    for _ in range(100):
        clock.seconds += LIMIT / 2
        health.step()
        health.observe(ObservedTurn(state=RelayState.DATABASE_UNAVAILABLE))

    assert (health.condition().is_ready, health.condition().is_alive) == (False, True)
