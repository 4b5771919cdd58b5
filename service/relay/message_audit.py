# SPDX-License-Identifier: MIT
"""Looks for the event of each message of the stream in the database."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from service.application.outbox import EventKey, History, OutboxEvent
from service.application.progress import Progress
from service.relay.broker import Broker
from service.relay.findings import PAGE_SIZE, Finding, Kind, Report, ask_for_each, describe
from service.relay.messages import SUBJECTS
from service.relay.stored import TIME, StoredMessage, find_difference
from service.relay.stream_api import StreamState

PREFIX = SUBJECTS.removesuffix(">")


class MessageAudit:
    """A message may be foreign, that is, no event of the database, or a copy.

    `pruned`: messages of events that are so old that the database may have pruned them.
    """

    def __init__(
        self, history: History, broker: Broker, report: Report, progress: Progress
    ) -> None:
        self._history = history
        self._broker = broker
        self._report = report
        self._progress = progress
        self.pruned = 0

    async def run(self, since: datetime) -> int:
        state = await self._broker.stream.state()
        has_copies = state.messages != state.subjects
        count = 0
        first = await self._first_since(since, state)
        total = max(state.last_sequence + 1 - first, 0)
        self._progress.begin("audit of the messages", total, "messages")
        for start in range(first, state.last_sequence + 1, PAGE_SIZE):
            end = min(start + PAGE_SIZE, state.last_sequence + 1)
            page = await self._read(range(start, end))
            await self._judge(page, has_copies=has_copies)
            count += len(page)
            self._progress.advance(end - start)
        return count

    async def _first_since(self, since: datetime, state: StreamState) -> int:
        """The first sequence since then: the times of messages rise with their sequences."""
        low, high = max(state.first_sequence, 1), state.last_sequence + 1
        while low < high:
            middle = (low + high) // 2
            message = await self._broker.stream.next_message(">", middle)
            if message is None or message.stored_at >= since:
                high = middle
            else:
                low = message.sequence + 1
        return low

    async def _read(self, sequences: Iterable[int]) -> list[StoredMessage]:
        """Without messages that were deleted, and those of other publishers' subjects."""
        found = await ask_for_each(self._broker.stream.message, sequences)
        return [each for each in found if each and each.subject.startswith(PREFIX)]

    async def _judge(self, page: Sequence[StoredMessage], *, has_copies: bool) -> None:
        keys = {key for message in page if (key := _key(message))}
        events = {event.key: event for event in await self._history.find(list(keys))}
        # Asked after the events: a pruning is recorded together with the first one that it deletes.
        before = await self._history.pruned_before() if keys - events.keys() else None
        for message in page:
            key = _key(message)
            event = events.get(key) if key else None
            if event is None and key and _is_older(message, before):
                self.pruned += 1
            elif event is None:
                text = "the database has no such event" if key else "is not an event"
                self._report_foreign(message, text)
            elif difference := find_difference(message, self._broker.message(event)):
                self._report_foreign(message, difference)
            elif has_copies or message.subject != self._broker.message(event).subject:
                await self._judge_copy(message, event)

    async def _judge_copy(self, message: StoredMessage, event: OutboxEvent) -> None:
        own, difference = await self._broker.find(event)
        if own is None or difference:
            self._report_foreign(message, "has the subject of another event")
        elif own.sequence != message.sequence:
            text = f"message {message.sequence} repeats message {own.sequence}: {describe(event)}"
            self._report(Finding(Kind.DOUBLED, text))

    def _report_foreign(self, message: StoredMessage, text: str) -> None:
        place = f"message {message.sequence}, {message.subject}"
        self._report(Finding(Kind.FOREIGN, f"{place}: {text}"))


def _is_older(message: StoredMessage, before: datetime | None) -> bool:
    try:
        return before is not None and datetime.fromisoformat(message.headers[TIME]) < before
    except (KeyError, ValueError, TypeError):  # TypeError: it has no time zone
        return False


def _key(message: StoredMessage) -> EventKey | None:
    """None if the message names no event."""
    user_id = message.user_id
    try:
        return (user_id, UUID(message.event_id)) if user_id and message.event_id else None
    except ValueError:
        return None
