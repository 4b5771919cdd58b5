# SPDX-License-Identifier: MIT
"""A 401 is true only if the key of the token was withdrawn, or is new."""

from uuid import UUID

import pytest

from tests.chaos.history import Attempt
from tests.chaos.tokens import NOTICED_SECONDS, untrue_refusals

FIRST, SECOND = "first", "second"
ROTATED, WITHDRAWN = 1000.0, 1001.0
NOTICED = ROTATED + NOTICED_SECONDS
PUBLISHED = [(0.0, {FIRST}), (ROTATED, {FIRST, SECOND}), (WITHDRAWN, {SECOND})]


def a_refusal(signed_by: str, begun: float, seconds: float = 0.5) -> Attempt:
    return Attempt(
        "request-1", UUID(int=1), "get", begun=begun, ended=begun + seconds, status=401,
        code="UNAUTHENTICATED", signed_by=signed_by,
    )  # fmt: skip


@pytest.mark.parametrize(
    "refusal",
    [
        a_refusal(FIRST, WITHDRAWN + 1), a_refusal(FIRST, 2000.0),
        a_refusal(FIRST, WITHDRAWN - 1, seconds=3), a_refusal(SECOND, ROTATED + 0.1),
        a_refusal(SECOND, NOTICED - 1),
    ],
    ids=["withdrawn", "withdrawn long ago", "withdrawn amid it", "new", "new to a worker"],
)  # fmt: skip
def test_excuses_a_key_that_a_worker_may_not_know(refusal: Attempt) -> None:
    assert not list(untrue_refusals([refusal], PUBLISHED))


@pytest.mark.parametrize(
    "refusal",
    [
        a_refusal(FIRST, 0.5), a_refusal(FIRST, 500.0), a_refusal(FIRST, ROTATED + 0.1, 0.2),
        a_refusal(SECOND, NOTICED + 2), a_refusal(SECOND, 5000.0),
    ],
    ids=["from the start", "long published", "before it is withdrawn", "known", "long known"],
)  # fmt: skip
def test_finds_the_refusal_of_a_key_that_every_worker_knows(refusal: Attempt) -> None:
    [wrong] = untrue_refusals([refusal], PUBLISHED)

    assert wrong.kind == "untrue"


def test_looks_at_401_alone() -> None:
    answered = a_refusal(FIRST, 500.0)
    answered.status = 200

    assert not list(untrue_refusals([answered], PUBLISHED))
