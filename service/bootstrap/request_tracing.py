# SPDX-License-Identifier: MIT
"""Composes what goes around the requests, groups and transactions of the API: traces, or nothing.

Imports OpenTelemetry, which is an extra, only if tracing is on.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from starlette.middleware import Middleware

from service.application.group_commit.pending import WrapGroups, leave_unwrapped
from service.bootstrap.settings import Settings
from service.bootstrap.tracing import close, exporting_provider

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

Run = TypeVar("Run", bound=Callable[..., Awaitable[Any]])


class WrapTransactions(Protocol):
    def __call__(self, run: Run, /) -> Run:
        """The function that runs each transaction instead of `run`, and calls it."""


def _leave_transactions(run: Run) -> Run:
    return run


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrappers:
    """`exporting`: the provider whose spans must be exported when the app ends."""

    middleware: tuple[Middleware, ...] = ()
    groups: WrapGroups = leave_unwrapped
    transactions: WrapTransactions = _leave_transactions
    exporting: "TracerProvider | None" = None

    @asynccontextmanager
    async def lifetime(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self.exporting:
                await close(self.exporting)


NO_WRAPPERS = Wrappers()


def compose_wrappers(settings: Settings, provider: "TracerProvider | None" = None) -> Wrappers:
    """A given provider is left open. Raises WrongSettings."""
    exporting = None if provider else exporting_provider(settings, "training-sessions")
    provider = provider or exporting
    if provider is None:
        return NO_WRAPPERS

    from service.observability.tracing.requests import RequestTracing  # noqa: PLC0415  an extra

    tracing = RequestTracing(provider)
    return Wrappers(
        middleware=(Middleware(tracing.trace_requests),),
        groups=tracing.trace_groups,
        transactions=tracing.trace_transactions,
        exporting=exporting,
    )
