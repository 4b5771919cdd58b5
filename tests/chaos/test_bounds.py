# SPDX-License-Identifier: MIT
"""Late answers are found, and a harmed connection of the user explains them."""

from uuid import uuid4

import pytest

from tests.chaos.bounds import late
from tests.chaos.history import Attempt
from tests.chaos.nemesis import Span


def asked(seconds: float) -> Attempt:
    return Attempt("request-1", uuid4(), "list", begun=100, left=100 + seconds)


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
