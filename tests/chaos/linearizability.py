# SPDX-License-Identifier: MIT
"""Searches an order of operations that explains all answers (Wing and Gong 1993, Lowe 2017).

Each operation takes effect at one moment between its beginning and its end. An operation whose
result is not known has no end: it may take effect at any time after its beginning, or never.
The search tries the operations that may come next, and remembers which sets of operations led to
which states, so that no state is searched twice.
"""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Generic, Protocol, TypeVar

STEPS_MAX = 500_000


class Operation(Protocol):
    @property
    def begun(self) -> float: ...
    @property
    def ended(self) -> float: ...


State = TypeVar("State")
Op = TypeVar("Op", bound=Operation)


class Undecided(Exception):
    """The search took too many steps."""


@dataclass(frozen=True)
class Order(Generic[Op]):
    """`operations`: the longest order found. `stuck`: those of which none can come next."""

    operations: tuple[Op, ...]
    stuck: tuple[Op, ...]

    @property
    def explains_all(self) -> bool:
        return not self.stuck


def order_of(
    operations: Sequence[Op],
    initial: State,
    step: Callable[[State, Op], State | None],
    fingerprint: Callable[[State], Hashable],
) -> Order[Op]:
    """`step`: the state afterwards, or None if the answer is impossible in this state.

    Raises Undecided.
    """
    history = sorted(operations, key=lambda each: each.begun)
    required = sum(1 << number for number, each in enumerate(history) if each.ended < inf)
    seen: set[tuple[int, Hashable]] = set()
    path: list[int] = []
    longest: list[int] = []
    stack = [(0, initial, _candidates(history, 0))]
    for _ in range(STEPS_MAX):
        done, state, candidates = stack[-1]
        if done & required == required:
            return Order(tuple(history[each] for each in path), ())
        number = next(candidates, None)
        if number is None:
            stack.pop()
            if not stack:
                return _stuck(history, longest)
            path.pop()
            continue
        after = step(state, history[number])
        if after is None:
            continue
        reached = done | 1 << number
        if (reached, mark := fingerprint(after)) in seen:
            continue
        seen.add((reached, mark))
        path.append(number)
        longest = list(path) if len(path) > len(longest) else longest
        stack.append((reached, after, _candidates(history, reached)))
    raise Undecided(f"{STEPS_MAX} steps for {len(history)} operations")


def _stuck(history: Sequence[Op], longest: Sequence[int]) -> Order[Op]:
    done = sum(1 << number for number in longest)
    stuck = tuple(history[each] for each in _candidates(history, done))
    return Order(tuple(history[each] for each in longest), stuck)


def _candidates(history: Sequence[Operation], done: int) -> Iterator[int]:
    """Those that have begun before any other that is left has ended; the first to end first."""
    found: list[int] = []
    earliest_end = inf
    for number, each in enumerate(history):
        if done >> number & 1:
            continue
        if each.begun > earliest_end:
            break
        found.append(number)
        earliest_end = min(earliest_end, each.ended)
    return iter(sorted(found, key=lambda number: history[number].ended))
