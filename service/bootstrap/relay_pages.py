# SPDX-License-Identifier: MIT
"""The metrics and probes of the relay, on a port of their own."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus

from service.bootstrap.metrics import serving_pages
from service.bootstrap.settings import RelaySettings
from service.observability.server import Page
from service.persistence.database_url import parse_database_url
from service.relay.connection import FIRST_ANSWER_SECONDS
from service.relay.health import Health
from service.relay.observing import (
    ObservedTurn,
    ObserveStep,
    ObserveTurn,
    ignore_step,
    ignore_turn,
)


@dataclass(frozen=True, slots=True)
class Observers:
    turn: ObserveTurn = ignore_turn
    step: ObserveStep = ignore_step


@contextmanager
def observing(settings: RelaySettings) -> Iterator[Observers]:
    """Serves metrics and probes if the settings name a port. Raises CannotListen."""
    if settings.metrics_port is None:
        yield Observers()
        return
    # A relay without metrics pays nothing for them.
    from service.observability import catalogue, exposition  # noqa: PLC0415  see above
    from service.observability.process import process_snapshot  # noqa: PLC0415  the same
    from service.observability.relay_metrics import RelayMetrics  # noqa: PLC0415  the same

    health = Health(stuck_after(settings))
    metrics = RelayMetrics(health)
    collector = exposition.SnapshotCollector(
        (*catalogue.RELAY, *catalogue.PROCESS), lambda: metrics.snapshot() | process_snapshot()
    )

    def observe(turn: ObservedTurn) -> None:
        health.observe(turn)
        metrics.observe(turn)

    registry = exposition.new_registry(collector)
    pages = {"/metrics": exposition.metrics_page(registry)} | probes(health)
    with serving_pages(settings.metrics_host, settings.metrics_port, pages):
        yield Observers(observe, health.step)


def stuck_after(settings: RelaySettings) -> float:
    """Seconds within which a relay goes on: all time limits, one after another."""
    of_url = parse_database_url(settings.database_url.get_secret_value()).connect_timeout
    return (
        FIRST_ANSWER_SECONDS
        + (of_url or settings.database_connect_timeout_seconds)
        + settings.relay_statement_timeout_seconds
        + settings.relay_lease_seconds
        + settings.nats_timeout_seconds
        + settings.relay_poll_max_seconds
    )


def probes(health: Health) -> dict[str, Callable[[], Page]]:
    def livez() -> Page:
        condition = health.condition()
        return _page("alive" if condition.is_alive else condition.text, is_ok=condition.is_alive)

    def readyz() -> Page:
        condition = health.condition()
        return _page(condition.text, is_ok=condition.is_ready)

    return {"/livez": livez, "/readyz": readyz}


def _page(text: str, *, is_ok: bool) -> Page:
    status = HTTPStatus.OK if is_ok else HTTPStatus.SERVICE_UNAVAILABLE
    return Page(f"{text}\n".encode(), status)
