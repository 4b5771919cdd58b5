# SPDX-License-Identifier: MIT
"""Server-Timing in milliseconds, and the origins that may read it."""

import pytest

from service.application.group_commit.pending import RequestTimes
from service.http.server_timing import timing_headers


@pytest.mark.parametrize(
    ("times", "value"),
    [
        (RequestTimes(0.0012, 0.00285), b"queue;dur=1.20, group;dur=2.85, total;dur=4.51"),
        (RequestTimes(0, 0.00285), b"queue;dur=0.00, group;dur=2.85, total;dur=4.51"),
        (RequestTimes(5, 0), b"queue;dur=5000.00, group;dur=0.00, total;dur=4.51"),
        (RequestTimes(), b"total;dur=4.51"),
    ],
    ids=["both", "no wait", "no group took it", "of no group"],
)
def test_names_the_times_that_there_are(times: RequestTimes, value: bytes) -> None:
    assert timing_headers(times, 0.00451, []) == [(b"server-timing", value)]


def test_the_origin_that_may_read_the_answer_may_read_the_times() -> None:
    answered = [
        (b"etag", b'"1"'),
        (b"access-control-allow-origin", b"https://gym.example"),
        (b"vary", b"Origin"),
    ]

    _, allowed = timing_headers(RequestTimes(), 1, answered)

    assert allowed == (b"timing-allow-origin", b"https://gym.example")
