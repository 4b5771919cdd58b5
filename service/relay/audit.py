# SPDX-License-Identifier: MIT
"""Compares the events of the database with the messages of the stream, and changes nothing."""

from dataclasses import dataclass
from datetime import datetime

from service.application.outbox import Backlog, History
from service.application.ports import Clock
from service.application.progress import NO_PROGRESS, Progress
from service.relay.broker import Broker
from service.relay.event_audit import EventAudit
from service.relay.findings import Report
from service.relay.message_audit import MessageAudit


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """Numbers of compared events and messages, and the events that were left out.

    `pruned`: messages whose events the database no longer keeps; they are among the compared ones.
    """

    events: int
    messages: int
    pruned: int
    left_out: Backlog


async def audit(
    history: History,
    broker: Broker,
    *,
    since: datetime,
    clock: Clock,
    report: Report,
    progress: Progress = NO_PROGRESS,
) -> Audited:
    """Reports each difference. Safe beside a running relay; holds one page at a time.

    Leaves out events that are queued or parked. Raises BrokerUnavailable, TransactionFailed and
    DependencyUnavailable.
    """
    left_out = await history.backlog()
    max_age = (await broker.stream.state()).config.max_age or 0
    progress.begin("audit of the events", await history.count(since), "events")
    events = await EventAudit(broker, max_age, clock, report, progress).run(history, since)
    messages = MessageAudit(history, broker, report, progress)
    count = await messages.run(since)
    return Audited(events=events, messages=count, pruned=messages.pruned, left_out=left_out)
