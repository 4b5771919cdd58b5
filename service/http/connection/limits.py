# SPDX-License-Identifier: MIT
"""Limits of a connection: what a client may send, and for how long it may let the server wait."""

from dataclasses import dataclass

HEAD_MAX_BYTES = 32 * 1024
"""Also of the trailers and chunk extensions of one body, together."""

TARGET_MAX_BYTES = 8 * 1024
HEADERS_MAX = 100
"""And as many trailers."""

UNWANTED_MAX_BYTES = 1024 * 1024
"""Of a body that still arrives after its request was answered."""

LINGER_MAX_BYTES = 128 * 1024 * 1024
LINGER_SECONDS = 5.0
"""What a client may still send after the last answer, which it would otherwise not get to read."""

LAST_REQUEST_SECONDS = 0.5
"""For a request that is on its way when the server stops: a slow mobile network takes as long."""

SEND_MIN_BYTES = 16 * 1024
"""What a client must read within the time limit, if so much is left."""


@dataclass(frozen=True)
class ConnectionLimits:
    """Times in seconds. `bound_by` names the cause of `connections_max` in the log."""

    connections_max: int
    bound_by: str
    first_byte_timeout: float
    head_timeout: float
    body_timeout: float
    send_timeout: float
    keep_alive: float
