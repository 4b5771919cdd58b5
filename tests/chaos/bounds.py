# SPDX-License-Identifier: MIT
"""Every request is answered in time, unless the user's own connection was harmed."""

from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.history import Attempt, Wrong
from tests.chaos.nemesis import Span

ANSWER_SECONDS = 70.0
"""60 s in which the balancer waits for a replica, and three connections of 2 s at most."""

CLIENTS = "clients to balancer"


def late(history: Iterable[Attempt], spans: Sequence[Span]) -> Iterator[Wrong]:
    """An answer that tells nothing is an answer; who stopped waiting early proves nothing."""
    harmed = [span for span in spans if span.fault.endswith(CLIENTS)]
    for attempt in history:
        took = attempt.left - attempt.begun
        if took > ANSWER_SECONDS and not any(span.meets(attempt) for span in harmed):
            sentence = f"no answer within {ANSWER_SECONDS:.0f} s, but after {took:.1f} s or never"
            yield Wrong("late", sentence, (attempt,))
