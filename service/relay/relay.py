"""The relay: takes its turn, tells the world what has happened, and lets others have theirs."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog

from service.application.errors import DependencyUnavailable, TransactionFailed
from service.application.outbox import Backlog, Lead, OpenTurn, Turn
from service.application.ports import Clock
from service.relay.batch import Batch
from service.relay.delivery import TOGETHER_MIN, Delivery, Publisher, deliver
from service.relay.errors import BrokerUnavailable
from service.relay.lease import Lease
from service.relay.observing import Observe, ObservedTurn, State
from service.relay.waiting import happens

BACK_OFF_MAX_SECONDS = 1.0
COUNT_EVERY_SECONDS = 5.0

RequireStream = Callable[[], Awaitable[None]]
"""Raises WrongStream where the stream would lose or double events, and BrokerUnavailable."""

log = structlog.get_logger("service.relay")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Times in seconds. `lease`: how long a turn outlives a process that is not heard of."""

    batch_size: int
    in_flight: int
    poll_min: float
    poll_max: float
    lease: float

    def pause_after(self, taken: int, before: float) -> float:
        """Until the next turn, after one that took so many events, and the pause `before` that.

        Where there is much to do it waits for more, which then costs less for each event.
        """
        if taken == self.batch_size:
            return 0
        if taken >= TOGETHER_MIN:
            return self.poll_max
        if taken:
            return self.poll_min
        return min(max(2 * before, self.poll_min), self.poll_max)


class Relay:
    def __init__(
        self,
        lead: Lead,
        open_turn: OpenTurn,
        publisher: Publisher,
        require_stream: RequireStream,
        *,
        clock: Clock,
        pace: Pace,
        observe: Observe,
    ) -> None:
        self._lead = lead
        self._open_turn = open_turn
        self._publisher = publisher
        self._require_stream = require_stream
        self._clock = clock
        self._pace = pace
        self._observe = observe
        self._stop = asyncio.Event()
        self._said: tuple[State, str | None] | None = None
        self._stream_is_right = False
        self._pause = pace.poll_min
        self._count_at = 0.0

    def stop(self) -> None:
        """Sends nothing more; what was sent is waited for, and kept."""
        self._stop.set()

    async def run(self) -> None:
        """Publishes until stopped, whenever nobody else does. Raises WrongStream."""
        while not self._stop.is_set():
            try:
                await self._lead_or_stand_by()
            except BrokerUnavailable as exc:
                self._back_off(State.BROKER_UNAVAILABLE, str(exc))
            except (TransactionFailed, DependencyUnavailable) as exc:
                self._back_off(State.DATABASE_UNAVAILABLE, type(exc).__name__)
                self._tell(ObservedTurn(state=State.DATABASE_UNAVAILABLE))
            await happens(self._stop, within=self._pause)

    async def _lead_or_stand_by(self) -> None:
        outage = await self._outage_of_stream()
        async with self._lead() as leadership:
            if leadership is None:
                self._stand_by(outage)
                return
            async with Lease(leadership, self._pace.lease) as lease:
                while lease.is_held() and not self._stop.is_set():
                    await self._take_turn(outage)
                    await happens(self._stop, within=self._pause)

    async def _take_turn(self, outage: BrokerUnavailable | None) -> None:
        """Raises BrokerUnavailable once what was acknowledged nevertheless has been settled.

        Then another may lead, whose connection to the broker may be better.
        """
        async with self._open_turn() as turn:
            if turn is None:  # somebody puts the queue in order
                self._pause = self._pace.poll_max
                return
            backlog = await self._backlog(turn)
            batch = Batch(await turn.oldest(self._pace.batch_size))
            delivery = Delivery(outage=outage) if outage else await self._deliver(turn, batch)
            await _settle(turn, batch, delivery)
        self._tell(self._observed(batch, delivery, backlog))
        if delivery.outage:
            self._stream_is_right = False
            raise delivery.outage
        self._enter(State.ACTIVE)
        self._pause = self._pace.pause_after(len(batch.queued), self._pause)

    async def _outage_of_stream(self) -> BrokerUnavailable | None:
        """Looks at the stream at first, and again after an outage."""
        if not self._stream_is_right:
            try:
                await self._require_stream()
            except BrokerUnavailable as exc:
                return exc
            self._stream_is_right = True
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
        self._enter(State.STANDBY)
        self._tell(ObservedTurn(state=State.STANDBY))

    def _back_off(self, state: State, reason: str) -> None:
        self._pause = min(max(2 * self._pause, self._pace.poll_max), BACK_OFF_MAX_SECONDS)
        self._enter(state, reason)

    def _enter(self, state: State, reason: str | None = None) -> None:
        """Says so once, however often it is found again."""
        if (state, reason) == self._said:
            return
        self._said = state, reason
        if reason is None:
            log.info("relay", state=state)
        else:
            log.warning("relay", state=state, reason=reason)

    def _tell(self, turn: ObservedTurn) -> None:
        """Apart from the turn, so that an observer that fails takes nothing with it."""
        asyncio.get_running_loop().call_soon(self._observe, turn)

    def _observed(self, batch: Batch, delivery: Delivery, backlog: Backlog | None) -> ObservedTurn:
        now = self._clock()
        waited = [(now - event.occurred_at).total_seconds() for event in delivery.published]
        first = next((each.event for each in batch.queued if each.event), None)
        return ObservedTurn(
            state=State.BROKER_UNAVAILABLE if delivery.outage else State.ACTIVE,
            published=len(delivery.published),
            duplicates=len(delivery.duplicates),
            parked=len(batch.to_park(delivery)),
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
        log.warning("events parked", count=len(parked), reasons=sorted({p.reason for p in parked}))
    if settled or parked:
        await turn.commit()
