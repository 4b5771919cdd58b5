# SPDX-License-Identifier: MIT
"""Looks for each event of the database in the stream."""

from datetime import datetime, timedelta

from service.application.outbox import History, OutboxEvent
from service.application.ports import Clock
from service.application.progress import Progress
from service.relay.broker import Broker
from service.relay.findings import PAGE_SIZE, Finding, Kind, Report, ask_for_each, describe

EXPIRY_MARGIN = timedelta(minutes=1)
"""For the difference between the clocks of the database, the broker and this process."""


class EventAudit:
    """An event may be lost, or stored before an earlier event of its session.

    `max_age`: seconds after which the stream drops messages, or 0.
    """

    def __init__(
        self, broker: Broker, max_age: float, clock: Clock, report: Report, progress: Progress
    ) -> None:
        self._broker = broker
        self._max_age = timedelta(seconds=max_age)
        self._clock = clock
        self._report = report
        self._progress = progress
        self._last: tuple[object, int] = (None, 0)

    async def run(self, history: History, since: datetime) -> int:
        count = 0
        async for page in history.history(since, PAGE_SIZE):
            found = await ask_for_each(self._find, page)
            for event, (message, difference) in zip(page, found, strict=True):
                self._judge(event, message, difference)
            count += len(page)
            self._progress.advance(len(page))
        return count

    async def _find(self, event: OutboxEvent) -> tuple[int | None, str | None]:
        """The sequence of its message, and how it differs from the event."""
        message, difference = await self._broker.find(event)
        return (message.sequence if message else None), difference

    def _judge(self, event: OutboxEvent, sequence: int | None, difference: str | None) -> None:
        if sequence is None:
            if not self._may_have_expired(event):
                self._report(Finding(Kind.LOST, describe(event)))
        elif difference:
            text = f"{describe(event)}: message {sequence} has its subject and {difference}"
            self._report(Finding(Kind.LOST, text))
        else:
            self._judge_order(event, sequence)

    def _judge_order(self, event: OutboxEvent, sequence: int) -> None:
        session, last = self._last
        if session == event.session_key and sequence < last:
            text = f"message {sequence}: {describe(event)}, before an earlier event of its session"
            self._report(Finding(Kind.OUT_OF_ORDER, text))
            sequence = last
        self._last = event.session_key, sequence

    def _may_have_expired(self, event: OutboxEvent) -> bool:
        if not self._max_age:
            return False
        return self._clock() > event.occurred_at + self._max_age - EXPIRY_MARGIN
