# SPDX-License-Identifier: MIT
"""The page of the API in the demo: it begins with the demo's token and session."""

from typing import Any
from uuid import UUID

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from service.http.docs.page import page_endpoint
from service.http.errors import NotFound
from service.http.routes import prefixes

_GIVEN = "docs/given.json"
_FAIL_SESSION = "#/Sessions/failSession"
"""Swagger UI's link to an operation: its tag and its id."""


def add_page(
    app: Starlette, *, root_path: str, hosts: tuple[str, ...], token: str, session_id: UUID
) -> None:
    """Adds routes before those of the app, whose own page has no token.

    `hosts` are the names of this machine. A page of the internet whose name leads here (DNS
    rebinding) has another one, and does not get the token.
    """
    given = {
        "token": token,
        "parameters": {"sessionId": str(session_id)},
        "fragment": _FAIL_SESSION,
    }
    body = orjson.dumps(given)

    async def lead_to_page(_request: Request[Any]) -> Response:
        return RedirectResponse("docs")

    async def answer_given(request: Request[Any]) -> Response:
        if request.url.hostname not in hosts:
            raise NotFound
        return Response(body, media_type="application/json")

    app.router.routes[:0] = [
        route
        for prefix in prefixes(root_path)
        for route in (
            Route(f"{prefix}/", lead_to_page),
            Route(f"{prefix}/docs", page_endpoint(_GIVEN)),
            Route(f"{prefix}/{_GIVEN}", answer_given),
        )
    ]
