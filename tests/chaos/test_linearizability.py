# SPDX-License-Identifier: MIT
"""The search for an order of operations, tried on a register."""

from dataclasses import dataclass
from math import inf

import pytest

from tests.chaos import linearizability
from tests.chaos.linearizability import Undecided, order_of


@dataclass(frozen=True)
class Op:
    kind: str
    value: int
    begun: float
    ended: float


def write(value: int, begun: float, ended: float = inf) -> Op:
    return Op("write", value, begun, ended)


def read(value: int, begun: float, ended: float) -> Op:
    return Op("read", value, begun, ended)


def step(state: int, operation: Op) -> int | None:
    if operation.kind == "write":
        return operation.value
    return state if operation.value == state else None


def is_explained(*operations: Op) -> bool:
    return order_of(operations, 0, step, hash).explains_all


@pytest.mark.parametrize(
    "operations",
    [
        [],
        [write(1, 0, 1), read(1, 2, 3)],
        [write(1, 0, 5), read(0, 1, 2), read(1, 3, 4)],
        [write(1, 0, 5), write(2, 0, 5), read(2, 6, 7)],
        [write(1, 0, 5), write(2, 0, 5), read(1, 6, 7)],
        [write(1, 0), read(0, 1, 2), read(1, 3, 4)],
        [write(1, 0), read(0, 1, 2)],
        [write(1, 0), write(2, 1, 2), read(2, 3, 4), read(1, 5, 6)],
    ],
    ids=[
        "none", "one after the other", "a read before and one after the write takes effect",
        "two writes at once", "two writes at once in the other order", "unknown, seen late",
        "unknown, never seen", "unknown, takes effect after a later write",
    ],
)  # fmt: skip
def test_finds_an_order_that_explains_all_answers(operations: list[Op]) -> None:
    assert is_explained(*operations)


@pytest.mark.parametrize(
    "operations",
    [
        [write(1, 0, 1), read(0, 2, 3)],
        [write(1, 0, 5), read(1, 1, 2), read(0, 3, 4)],
        [write(1, 0, 1), write(2, 2, 3), read(1, 4, 5)],
        [read(1, 0, 1), write(1, 2, 3)],
        [read(1, 0, 1)],
        [write(1, 0), read(1, 1, 2), read(0, 3, 4)],
    ],
    ids=[
        "stale read", "a write is seen and not seen again", "reordered writes", "read too early",
        "never written", "unknown, seen and lost",
    ],
)  # fmt: skip
def test_finds_none_if_an_answer_is_impossible(operations: list[Op]) -> None:
    assert not is_explained(*operations)


def test_says_which_operations_it_cannot_explain() -> None:
    order = order_of([write(1, 0, 1), read(0, 2, 3)], 0, step, hash)

    assert order.operations == (write(1, 0, 1),)
    assert order.stuck == (read(0, 2, 3),)


def test_searches_no_state_twice() -> None:
    """Twelve concurrent writes have more orders than can be tried."""
    writes = [write(number % 2, 0, 10) for number in range(12)]

    assert not is_explained(*writes, read(5, 11, 12))


def test_gives_up_after_too_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linearizability, "STEPS_MAX", 10)

    with pytest.raises(Undecided):
        is_explained(*(write(number, 0, 10) for number in range(20)), read(99, 11, 12))
