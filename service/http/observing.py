# SPDX-License-Identifier: MIT
"""What observers are told of requests, tokens and the key set."""

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple


class ObservedRequest(NamedTuple):
    """A request that was answered. `route`: its path with the names of the parameters.

    None: the method of a request line that is not valid, the route of an unknown path, the code of
    an answer that is no error. `status` is 499 if the client went away.
    """

    method: str | None
    route: str | None
    status: int
    code: str | None
    seconds: float


class TokenCheck(StrEnum):
    """`KNOWN`: the token was verified before. `UNAVAILABLE`: the key set could not be fetched."""

    KNOWN = "known"
    VERIFIED = "verified"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


class KeySetFetch(StrEnum):
    OK = "ok"
    FAILED = "failed"


ObserveRequest = Callable[[ObservedRequest], None]
ObserveTokenCheck = Callable[[TokenCheck], None]
ObserveKeySetFetch = Callable[[KeySetFetch], None]


def ignore(_observed: object) -> None:
    pass
