# SPDX-License-Identifier: MIT
"""Compares the events in the stream with those in the database."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.nats_server import Stored


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`invented`: events in the stream, never committed. `catch_up`, `take_over`: seconds."""

    committed: int
    in_stream: int
    lost: int
    doubled: int
    invented: int
    out_of_order: int
    refusals: int
    catch_up: float
    take_over: float | None

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.invented or self.out_of_order)


def verdict(
    committed: Iterable[str],
    stored: Sequence[Stored],
    *,
    refusals: int,
    catch_up: float,
    take_over: float | None,
) -> Verdict:
    events, ids = set(committed), [message.id for message in stored]
    return Verdict(
        committed=len(events),
        in_stream=len(ids),
        lost=len(events - set(ids)),
        doubled=len(ids) - len(set(ids)),
        invented=len(set(ids) - events),
        out_of_order=_out_of_order(stored),
        refusals=refusals,
        catch_up=catch_up,
        take_over=take_over,
    )


def _out_of_order(stored: Iterable[Stored]) -> int:
    """The number of events that came after a later event of their session."""
    latest: dict[str, int] = {}
    count = 0
    for message in stored:
        session, version = message.payload["sessionId"], message.payload["sessionVersion"]
        count += version < latest.get(session, 0)
        latest[session] = max(version, latest.get(session, 0))
    return count
