# SPDX-License-Identifier: MIT
"""Judges each 401 by the keys that the issuer published around that time."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from math import inf

from tests.chaos.history import Attempt, Wrong

NOTICED_SECONDS = 30.0
"""After this time every worker knows a new key.

Until then a worker may refuse it: a search for another key may forbid a new one for 10 s
(SERVICE_JWKS_COOLDOWN_SECONDS), a fetch may take 3 s (SERVICE_JWKS_TIMEOUT_SECONDS) and bring an
older set, and the worker may be frozen meanwhile.
"""

Published = Sequence[tuple[float, Collection[str]]]
"""The ids of the keys of each key set, with the time since when the issuer served it."""


def untrue_refusals(history: Iterable[Attempt], published: Published) -> Iterator[Wrong]:
    """Finds each 401 to a token whose key was published all the time.

    A withdrawn key excuses a 401 at once. A clock that is an hour wrong excuses none: each token is
    valid from two hours before it was made until four hours after (`users.TOKEN_HOURS`), and a run
    takes two hours at most.
    """
    for attempt in history:
        if attempt.status == 401 and _was_valid(attempt, published):
            yield Wrong("untrue", "a valid token was refused", (attempt,))


def _was_valid(attempt: Attempt, published: Published) -> bool:
    """True without any key set: then no key was ever withdrawn."""
    ends = [*(time for time, _ in published[1:]), inf]
    return all(
        attempt.signed_by in keys
        for (begun, keys), ended in zip(published, ends, strict=False)
        if begun <= attempt.ended and ended >= attempt.begun - NOTICED_SECONDS
    )
