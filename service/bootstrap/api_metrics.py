# SPDX-License-Identifier: MIT
"""Switches the metrics of the API on. While they are off, nothing that counts is imported."""

import socket
from contextlib import AbstractContextManager, nullcontext

from service.bootstrap.observers import NO_OBSERVERS, Observers, Served
from service.bootstrap.settings import Settings


def served(settings: Settings) -> AbstractContextManager[Served]:
    """For an app in this process, whose metrics are served here. Raises CannotListen."""
    if settings.metrics_port is None:
        return nullcontext(Served())
    from service.bootstrap import api_counting  # noqa: PLC0415  as said above

    return api_counting.served(settings)


def collected(settings: Settings) -> AbstractContextManager[socket.socket | None]:
    """Where workers are to report what is served here, if it is. Raises CannotListen."""
    if settings.metrics_port is None:
        return nullcontext(None)
    from service.bootstrap import api_counting  # noqa: PLC0415  as said above

    return api_counting.collected(settings)


def reporting_to(channel: socket.socket | None, settings: Settings) -> Observers:
    """The observers of a worker's app."""
    if channel is None:
        return NO_OBSERVERS
    from service.bootstrap import api_counting  # noqa: PLC0415  as said above

    return api_counting.reporting_to(channel, settings)
