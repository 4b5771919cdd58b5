# SPDX-License-Identifier: MIT
"""Cross-origin requests (CORS): lets the pages of other origins call the API from a browser."""

from collections.abc import Callable, Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

AllowOrigins = Callable[[ASGIApp], ASGIApp]

METHODS = ("GET", "HEAD", "POST", "PATCH")
REQUEST_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "X-Request-Id",
    "traceparent",
)
EXPOSED_HEADERS = (
    "ETag",
    "Location",
    "Content-Location",
    "Retry-After",
    "X-Request-Id",
    "Idempotent-Replayed",
)
PREFLIGHT_SECONDS = 7200
"""For which a browser remembers a preflight; Chromium allows no more."""


def allow_no_origin(app: ASGIApp) -> ASGIApp:
    """Adds nothing, so that no page of another origin may read an answer."""
    return app


def allow_origins(origins: Sequence[str], *, server_timing: bool = False) -> AllowOrigins:
    """Answers preflights before the app, and lets these origins read its answers.

    Without credentials: the token travels in a header, and no browser adds that by itself.
    """

    exposed = (*EXPOSED_HEADERS, "Server-Timing") if server_timing else EXPOSED_HEADERS

    def around(app: ASGIApp) -> ASGIApp:
        return CORSMiddleware(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=exposed,
            max_age=PREFLIGHT_SECONDS,
        )

    return around if origins else allow_no_origin
