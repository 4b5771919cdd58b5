# SPDX-License-Identifier: MIT
"""The relay: takes turns as long as it leads; in each, publishes events and removes them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from service.application.errors import DependencyUnavailable, TransactionFailed, WrongInstallation
from service.application.outbox import (
    CountBacklog,
    OpenLeadership,
    OpenTurn,
    Turn,
)
from service.application.ports import Clock
from service.relay.batch import Batch
from service.relay.delivery import Delivery, Publisher, deliver
from service.relay.errors import BrokerUnavailable
from service.relay.lease import Lease
from service.relay.observing import (
    ObservedTurn,
    ObserveStep,
    ObserveTurn,
    RelayState,
    ignore_step,
)
from service.relay.pace import Pace
from service.relay.reports import Reports
from service.relay.turn import TakenTurn, settle
from service.relay.waiting import wait_for

BACK_OFF_MAX_SECONDS = 1.0
COUNT_EVERY_SECONDS = 5.0

RequireStream = Callable[[], Awaitable[None]]
"""Raises WrongStream if the stream would lose or duplicate events, and BrokerUnavailable."""


class ConnectedPublisher(Publisher, Protocol):
    def require_connection(self) -> None:
        """Raises BrokerUnavailable."""


class Relay:
    def __init__(
        self,
        open_leadership: OpenLeadership,
        open_turn: OpenTurn,
        count_backlog: CountBacklog,
        publisher: ConnectedPublisher,
        require_stream: RequireStream,
        *,
        clock: Clock,
        pace: Pace,
        observe: ObserveTurn,
        step: ObserveStep = ignore_step,
    ) -> None:
        self._open_leadership = open_leadership
        self._open_turn = open_turn
        self._count_backlog = count_backlog
        self._publisher = publisher
        self._require_stream = require_stream
        self._clock = clock
        self._pace = pace
        self._reports = Reports(observe)
        self._step = step
        self._stop = asyncio.Event()
        self._is_stream_checked = False
        self._pause = pace.poll_min
        self._count_at = 0.0

    def stop(self) -> None:
        """Publishes nothing more; waits for events that were sent, and removes them."""
        self._stop.set()

    async def run(self) -> None:
        """Publishes until stopped, while no other relay leads.

        Raises WrongStream, WrongLogin and WrongInstallation.
        """
        while not self._stop.is_set():
            self._step()
            try:
                await self._lead_or_stand_by()
            except BrokerUnavailable as exc:
                self._back_off(RelayState.BROKER_UNAVAILABLE, str(exc))
            except WrongInstallation:
                raise
            except (TransactionFailed, DependencyUnavailable) as exc:
                self._back_off(RelayState.DATABASE_UNAVAILABLE, exc.cause)
                self._count_at = 0
                self._reports.observe_later(ObservedTurn(state=RelayState.DATABASE_UNAVAILABLE))
            await wait_for(self._stop, within=self._pause)

    async def _lead_or_stand_by(self) -> None:
        outage = await self._check_broker()
        self._step()
        async with self._open_leadership() as leadership:
            if leadership is None:
                self._stand_by(outage)
                return
            async with Lease(leadership, self._pace.lease) as lease:
                while lease.is_held() and not self._stop.is_set():
                    self._step()
                    await self._take_turn(outage or await self._check_broker())
                    await wait_for(self._stop, within=self._pause)

    async def _take_turn(self, outage: BrokerUnavailable | None) -> None:
        """Raises BrokerUnavailable after it has removed the events that were acknowledged.

        Another relay may then lead, with a better connection to the broker.
        """
        began = _now()
        async with self._open_turn() as turn:
            taken = await self._publish_batch(turn, outage) if turn else None
        if taken is None:
            await self._wait_for_turn(outage)
            return
        self._reports.observe_later(taken.observed(seconds=_now() - began, now=self._clock()))
        if taken.delivery.outage:
            self._is_stream_checked = False
            raise taken.delivery.outage
        self._reports.log_state(RelayState.ACTIVE)
        self._pause = self._pace.pause_after(len(taken.batch.queued), self._pause)

    async def _publish_batch(self, turn: Turn, outage: BrokerUnavailable | None) -> TakenTurn:
        backlog = await turn.backlog() if self._is_count_due() else None
        batch = Batch(await turn.oldest(self._pace.batch_size))
        self._step()
        # Deleted events are parked even while the broker is unavailable.
        delivery = Delivery(outage=outage) if outage else await self._deliver(turn, batch)
        await settle(turn, batch, delivery)
        return TakenTurn(
            batch=batch,
            delivery=delivery,
            backlog=backlog,
            is_whole=len(batch.queued) < self._pace.batch_size,
        )

    async def _wait_for_turn(self, outage: BrokerUnavailable | None) -> None:
        """An operator's command has its turn, perhaps for hours, and the queue grows meanwhile."""
        self._pause = self._pace.poll_max
        if self._is_count_due():
            backlog = await self._count_backlog()
            self._reports.observe_later(
                ObservedTurn(
                    state=RelayState.BROKER_UNAVAILABLE if outage else RelayState.ACTIVE,
                    leads=True,
                    pending=backlog.pending,
                    oldest_at=backlog.oldest_at,
                    backlog=backlog,
                )
            )
        if outage:
            raise outage

    async def _check_broker(self) -> BrokerUnavailable | None:
        """Returns the outage, if any, also if there is nothing to publish.

        Checks the stream only at the start and after each outage.
        """
        try:
            if self._is_stream_checked:
                self._publisher.require_connection()
            else:
                await self._require_stream()
        except BrokerUnavailable as exc:
            self._is_stream_checked = False
            return exc
        self._is_stream_checked = True
        return None

    def _is_count_due(self) -> bool:
        now = _now()
        if now < self._count_at:
            return False
        self._count_at = now + COUNT_EVERY_SECONDS
        return True

    async def _deliver(self, turn: Turn, batch: Batch) -> Delivery:
        if not batch.events:
            return Delivery()
        async with Lease(turn, self._pace.lease) as lease:
            return await deliver(
                batch.events,
                self._publisher,
                in_flight=self._pace.in_flight,
                may_go_on=lambda: self._may_go_on(lease),
            )

    def _may_go_on(self, lease: Lease) -> bool:
        self._step()
        return lease.is_held() and not self._stop.is_set()

    def _stand_by(self, outage: BrokerUnavailable | None) -> None:
        self._count_at = 0
        if outage:
            self._reports.observe_later(ObservedTurn(state=RelayState.BROKER_UNAVAILABLE))
            raise outage
        self._pause = self._pace.poll_max
        self._reports.log_state(RelayState.STANDBY)
        self._reports.observe_later(ObservedTurn(state=RelayState.STANDBY))

    def _back_off(self, state: RelayState, reason: str) -> None:
        self._pause = min(max(2 * self._pause, self._pace.poll_max), BACK_OFF_MAX_SECONDS)
        self._reports.log_state(state, reason)


def _now() -> float:
    return asyncio.get_running_loop().time()
