# SPDX-License-Identifier: MIT
"""Late answers are found, unless a harmed connection of the user explains them."""

import re
from uuid import uuid4

import pytest

from tests.chaos import bounds
from tests.chaos.bounds import late
from tests.chaos.history import Attempt
from tests.chaos.nemesis import Span
from tests.chaos.users import PATIENT_SECONDS
from tests.system.processes import ROOT


def asked(seconds: float, code: str | None = None) -> Attempt:
    return Attempt("request-1", uuid4(), "list", begun=100, left=100 + seconds, code=code)


@pytest.mark.parametrize(("seconds", "count"), [(69, 0), (71, 1)])
def test_finds_an_answer_that_took_too_long(seconds: float, count: int) -> None:
    faults = [Span("replica frozen", 90, 120)]

    assert len(list(late([asked(seconds)], faults))) == count


@pytest.mark.parametrize(("begun", "healed", "count"), [(110, 120, 0), (80, 90, 1), (180, 190, 1)])
def test_excuses_it_only_if_the_connection_of_the_user_was_harmed_meanwhile(
    begun: float, healed: float, count: int
) -> None:
    faults = [Span("half-open connections: clients to balancer", begun, healed)]

    assert len(list(late([asked(71)], faults))) == count


@pytest.mark.parametrize(
    ("seconds", "code", "fault", "count"),
    [
        (29, "OVERLOADED", "PostgreSQL frozen", 0),
        (31, "OVERLOADED", "PostgreSQL frozen", 1),
        (36, "OVERLOADED", "replica frozen", 0),
        (38, "OVERLOADED", "replica frozen", 1),
        (36, "OVERLOADED", "latency of 200 ms: clients to balancer", 0),
        (31, "OVERLOADED", "latency of 200 ms: replica to database", 1),
        (31, "DEPENDENCY_UNAVAILABLE", "PostgreSQL frozen", 0),
    ],
)
def test_finds_a_late_overloaded_beyond_the_time_in_which_a_fault_has_delayed_it(
    seconds: float, code: str, fault: str, count: int
) -> None:
    faults = [Span(fault, 90, 107), Span(fault, 200, 206)]  # for 7 s of the request

    assert len(list(late([asked(seconds, code)], faults))) == count


def test_patient_users_wait_longer_than_an_answer_may_take() -> None:
    assert PATIENT_SECONDS > bounds.ANSWER_SECONDS


@pytest.mark.parametrize(
    ("page", "sentence", "seconds"),
    [
        ("docs/deploy.md", r"longest command, (\d+) s with the default", bounds.REPLICA_SECONDS),
        ("docs/decisions/balancer.md", r"of a replica within (\d+) s", bounds.REPLICA_SECONDS),
        ("docs/decisions/balancer.md", r"answers within (\d+) s", bounds.BALANCER_SECONDS),
        ("docs/reliability.md", r"Each answer comes within (\d+) s", bounds.ANSWER_SECONDS),
        ("docs/reliability.md", r"`OVERLOADED` comes within (\d+) s", bounds.OVERLOADED_SECONDS),
    ],
)
def test_the_pages_say_the_bounds_that_are_judged(page: str, sentence: str, seconds: float) -> None:
    text = " ".join((ROOT / page).read_text().split())

    assert [float(each) for each in re.findall(sentence, text)] == [seconds]
