# SPDX-License-Identifier: MIT
"""Composes tracing from settings. Imports OpenTelemetry, which is an extra, only if it is on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from service.bootstrap.settings import TracingSettings, WrongSettings
from service.relay.relay import ConnectedPublisher

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


def exporting_provider(settings: TracingSettings, service_name: str) -> "TracerProvider | None":
    """None if tracing is off. Raises WrongSettings if a variable of OpenTelemetry is wrong."""
    if not settings.tracing:
        return None

    from service.observability.tracing import export  # noqa: PLC0415  an extra

    try:
        return export.exporting_provider(service_name)
    except ValueError as exc:
        raise WrongSettings(f"A variable OTEL_… is wrong: {exc}.") from None


async def close(provider: "TracerProvider") -> None:
    """Exports what is left."""
    from service.observability.tracing import export  # noqa: PLC0415  an extra

    await asyncio.to_thread(export.close, provider)


@asynccontextmanager
async def traced_publisher(
    settings: TracingSettings, publisher: ConnectedPublisher
) -> AsyncIterator[ConnectedPublisher]:
    """The same publisher if tracing is off. Raises WrongSettings."""
    provider = exporting_provider(settings, "training-sessions-relay")
    if provider is None:
        yield publisher
        return

    from service.observability.tracing.publishing import TracedPublisher  # noqa: PLC0415  an extra

    try:
        yield TracedPublisher(publisher, provider)
    finally:
        await close(provider)
