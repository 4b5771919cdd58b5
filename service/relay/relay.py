"""The relay: takes turns as long as it leads; in each, publishes events and removes them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from service.application.errors import DependencyUnavailable, TransactionFailed, WrongInstallation
from service.application.outbox import Backlog, EventToPark, OpenLeadership, OpenTurn, Turn
from service.application.ports import Clock
from service.relay.batch import Batch
from service.relay.conflicts import log_conflicts
from service.relay.delivery import ATOMIC_MIN, Delivery, Publisher, deliver
from service.relay.errors import BrokerUnavailable
from service.relay.lease import Lease
from service.relay.observing import ObservedTurn, ObserveTurn, RelayState
from service.relay.waiting import wait_for

BACK_OFF_MAX_SECONDS = 1.0
COUNT_EVERY_SECONDS = 5.0

RequireStream = Callable[[], Awaitable[None]]
"""Raises WrongStream if the stream would lose or duplicate events, and BrokerUnavailable."""


class ConnectedPublisher(Publisher, Protocol):
    def require_connection(self) -> None:
        """Raises BrokerUnavailable."""


log = structlog.get_logger("service.relay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times in seconds. `lease`: after so long without a sign of life another relay takes over."""

    batch_size: int
    in_flight: int
    poll_min: float
    poll_max: float
    lease: float

    def pause_after(self, taken: int, before: float) -> float:
        """The pause after a turn. `taken`: the events it read; `before`: the pause before it.

        A busy relay waits for more events, because a large batch costs less per event.
        """
        if taken == self.batch_size:
            return 0
        if taken >= ATOMIC_MIN:
            return self.poll_max
        if taken:
            return self.poll_min
        return min(max(2 * before, self.poll_min), self.poll_max)


class Relay:
    def __init__(
        self,
        open_leadership: OpenLeadership,
        open_turn: OpenTurn,
        publisher: ConnectedPublisher,
        require_stream: RequireStream,
        *,
        clock: Clock,
        pace: Pace,
        observe: ObserveTurn,
    ) -> None:
        self._open_leadership = open_leadership
        self._open_turn = open_turn
        self._publisher = publisher
        self._require_stream = require_stream
        self._clock = clock
        self._pace = pace
        self._observe = observe
        self._stop = asyncio.Event()
        self._last_logged: tuple[RelayState, str | None] | None = None
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
            try:
                await self._lead_or_stand_by()
            except BrokerUnavailable as exc:
                self._back_off(RelayState.BROKER_UNAVAILABLE, str(exc))
            except WrongInstallation:
                raise
            except (TransactionFailed, DependencyUnavailable) as exc:
                self._back_off(RelayState.DATABASE_UNAVAILABLE, exc.cause)
                self._observe_later(ObservedTurn(state=RelayState.DATABASE_UNAVAILABLE))
            await wait_for(self._stop, within=self._pause)

    async def _lead_or_stand_by(self) -> None:
        outage = await self._check_broker()
        async with self._open_leadership() as leadership:
            if leadership is None:
                self._stand_by(outage)
                return
            async with Lease(leadership, self._pace.lease) as lease:
                while lease.is_held() and not self._stop.is_set():
                    await self._take_turn(outage or await self._check_broker())
                    await wait_for(self._stop, within=self._pause)

    async def _take_turn(self, outage: BrokerUnavailable | None) -> None:
        """Raises BrokerUnavailable after it has removed the events that were acknowledged.

        Another relay may then lead, with a better connection to the broker.
        """
        async with self._open_turn() as turn:
            if turn is None:  # an operator's command has its turn
                self._pause = self._pace.poll_max
                return
            backlog = await self._backlog(turn)
            batch = Batch(await turn.oldest(self._pace.batch_size))
            # Deleted events are parked even while the broker is unavailable.
            delivery = Delivery(outage=outage) if outage else await self._deliver(turn, batch)
            await _settle(turn, batch, delivery)
        self._observe_later(self._observed(batch, delivery, backlog))
        if delivery.outage:
            self._is_stream_checked = False
            raise delivery.outage
        self._log_state(RelayState.ACTIVE)
        self._pause = self._pace.pause_after(len(batch.queued), self._pause)

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

    async def _backlog(self, turn: Turn) -> Backlog | None:
        now = asyncio.get_running_loop().time()
        if now < self._count_at:
            return None
        self._count_at = now + COUNT_EVERY_SECONDS
        return await turn.backlog()

    async def _deliver(self, turn: Turn, batch: Batch) -> Delivery:
        if not batch.events:
            return Delivery()
        async with Lease(turn, self._pace.lease) as lease:
            return await deliver(
                batch.events,
                self._publisher,
                in_flight=self._pace.in_flight,
                may_go_on=lambda: lease.is_held() and not self._stop.is_set(),
            )

    def _stand_by(self, outage: BrokerUnavailable | None) -> None:
        if outage:
            raise outage
        self._pause = self._pace.poll_max
        self._log_state(RelayState.STANDBY)
        self._observe_later(ObservedTurn(state=RelayState.STANDBY))

    def _back_off(self, state: RelayState, reason: str) -> None:
        self._pause = min(max(2 * self._pause, self._pace.poll_max), BACK_OFF_MAX_SECONDS)
        self._log_state(state, reason)

    def _log_state(self, state: RelayState, reason: str | None = None) -> None:
        """Logs a state once, until it changes."""
        if (state, reason) == self._last_logged:
            return
        self._last_logged = state, reason
        if reason is None:
            log.info("relay", state=state)
        else:
            log.warning("relay", state=state, reason=reason)

    def _observe_later(self, turn: ObservedTurn) -> None:
        """Called by the loop, so that an observer that raises does not take the turn with it."""
        asyncio.get_running_loop().call_soon(self._observe, turn)

    def _observed(self, batch: Batch, delivery: Delivery, backlog: Backlog | None) -> ObservedTurn:
        now = self._clock()
        waited = [(now - event.occurred_at).total_seconds() for event in delivery.published]
        first = next((each.event for each in batch.queued if each.event), None)
        return ObservedTurn(
            state=RelayState.BROKER_UNAVAILABLE if delivery.outage else RelayState.ACTIVE,
            published=len(delivery.published),
            duplicates=len(delivery.duplicates),
            parked=len(batch.to_park(delivery)),
            conflicts=len(delivery.conflicts),
            oldest_at=first.occurred_at if first else None,
            seconds_to_ack=waited,
            backlog=backlog,
        )


async def _settle(turn: Turn, batch: Batch, delivery: Delivery) -> None:
    settled = batch.positions(delivery.acknowledged)
    parked = batch.to_park(delivery)
    if settled:
        await turn.remove(settled)
    if parked:
        await turn.park(parked)
    if settled or parked:
        await turn.commit()
    log_conflicts(delivery.conflicts)
    _log_parked(parked, delivery)


def _log_parked(parked: Sequence[EventToPark], delivery: Delivery) -> None:
    in_conflict = {str(conflict) for _, conflict in delivery.conflicts}
    others = [each.reason for each in parked if each.reason not in in_conflict]
    if others:
        log.warning("events parked", count=len(others), reasons=sorted(set(others)))
