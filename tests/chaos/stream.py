# SPDX-License-Identifier: MIT
"""Judges the stream by the events of the database."""

from collections.abc import Iterable, Sequence

from tests.chaos.history import Wrong
from tests.faults.verdict import verdict
from tests.nats_server import Stored


def judge_stream(events: Iterable[str], stored: Sequence[Stored]) -> list[Wrong]:
    """`events`: the ids of all events. Returns a finding for each kind of wrong message."""
    found = verdict(events, stored, refusals=0, catch_up=0, take_over=None)
    counts = {
        "lost": found.lost,
        "doubled": found.doubled,
        "invented": found.invented,
        "out of order": found.out_of_order,
    }
    return [
        Wrong(kind, f"{count} events in the stream: {found}")
        for kind, count in counts.items()
        if count
    ]
