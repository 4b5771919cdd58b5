# SPDX-License-Identifier: MIT
"""Finds answers that come later than the documentation says (docs/decisions/balancer.md)."""

import re
from collections.abc import Iterable, Iterator, Sequence

from service.bootstrap.settings import Settings
from tests.chaos.history import Attempt, Wrong
from tests.chaos.nemesis import Span
from tests.system.compose import BALANCER


def _of_balancer(setting: str) -> int:
    found = re.search(rf"^\s*{setting} (\d+)", str(BALANCER), re.MULTILINE)
    assert found, f"docker-compose.yml has no {setting!r}"
    return int(found[1])


def _default(setting: str) -> float:
    return float(Settings.model_fields[setting].default)


BEGIN_SECONDS = _default("command_timeout_seconds")
"""After this time no transaction is begun for a request."""

SILENT_SERVER_SECONDS = _default("database_statement_timeout_seconds") + _default(
    "database_idle_in_transaction_timeout_seconds"
)
REPLICA_SECONDS = BEGIN_SECONDS + 3 * SILENT_SERVER_SECONDS
"""The longest command: it begins, runs, and finds out about its commit in twice that time."""

BALANCER_SECONDS = _of_balancer("timeout server") + _of_balancer("timeout connect") * (
    1 + _of_balancer("retries")
)
"""The balancer waits this long for a replica, after as many connections as it tries to make."""

ANSWER_MARGIN_SECONDS = 4.0
ANSWER_SECONDS = BALANCER_SECONDS + ANSWER_MARGIN_SECONDS
OVERLOADED_MARGIN_SECONDS = 10.0
"""All parts, users and faults share the processors of one machine: each waits for the others."""

OVERLOADED_SECONDS = BEGIN_SECONDS + SILENT_SERVER_SECONDS + OVERLOADED_MARGIN_SECONDS
"""Also the answer if the last transaction has written nothing, because its server was silent."""

OVERLOADED = "OVERLOADED"

CLIENTS = "clients to balancer"
DELAYS = (
    "clients", "balancer", "issuer", "keys", "worker", "replica frozen", "replica killed",
    "restart", "clock",
)  # fmt: skip
"""Words in the names of faults that delay or repeat a request before it waits for its turn, or
delay its answer."""


def late(history: Iterable[Attempt], spans: Sequence[Span]) -> Iterator[Wrong]:
    """An answer that tells nothing is an answer; a user who stops waiting early proves nothing.

    A request is excused if its user's connection was harmed meanwhile. For OVERLOADED, the time
    does not count in which a fault may have delayed the request outside the queue.
    """
    harmed = [span for span in spans if span.fault.endswith(CLIENTS)]
    delays = [span for span in spans if any(name in span.fault for name in DELAYS)]
    for attempt in history:
        took = attempt.left - attempt.begun
        if took > ANSWER_SECONDS and not any(span.meets(attempt) for span in harmed):
            sentence = f"no answer within {ANSWER_SECONDS:.0f} s, but after {took:.1f} s or never"
            yield Wrong("late", sentence, (attempt,))
        elif attempt.code == OVERLOADED and took - _delay(attempt, delays) > OVERLOADED_SECONDS:
            sentence = f"{OVERLOADED} not within {OVERLOADED_SECONDS:.0f} s, but after {took:.1f} s"
            yield Wrong("late", sentence, (attempt,))


def _delay(attempt: Attempt, spans: Iterable[Span]) -> float:
    """The seconds of these faults during the request; more than it took if several were at once."""
    met = (span for span in spans if span.meets(attempt))
    return sum(min(span.healed, attempt.left) - max(span.begun, attempt.begun) for span in met)
