# SPDX-License-Identifier: MIT
"""Where the time of an answer went: the header Server-Timing (W3C), in milliseconds."""

from collections.abc import Iterable

from service.application.group_commit.pending import RequestTimes

Header = tuple[bytes, bytes]

_ALLOW_ORIGIN = b"access-control-allow-origin"


def timing_headers(times: RequestTimes, total: float, answered: Iterable[Header]) -> list[Header]:
    """`total` in seconds; `answered`: the headers of the answer so far.

    A browser shows the times to a page of another origin only if Timing-Allow-Origin names it, so
    that goes to the origins that may read the answer.
    """
    origins = [value for name, value in answered if name == _ALLOW_ORIGIN]
    allowed = [(b"timing-allow-origin", origin) for origin in origins]
    return [(b"server-timing", _metrics(times, total).encode()), *allowed]


def _metrics(times: RequestTimes, total: float) -> str:
    named = {"queue": times.queue, "group": times.group} if times.queue or times.group else {}
    return ", ".join(
        f"{name};dur={seconds * 1000:.2f}" for name, seconds in (named | {"total": total}).items()
    )
