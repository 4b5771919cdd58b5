# SPDX-License-Identifier: MIT
"""Starlette with one route: the token is checked, the body is read, and the answer is constant.

The floor of what a Starlette service costs: no database, no validation, no errors but 401.
"""

from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.contenders.callers import Tokens
from benchmarks.contenders.configuration import Configuration
from benchmarks.contenders.contract import Refused

MOMENT = "2026-01-05T09:00:00.123000Z"
ANSWER = orjson.dumps(
    {
        "data": {
            "session": {
                "id": "0199f5a0-5f6c-7c1e-9d8a-0123456789ab",
                "status": "failed",
                "sessionDate": MOMENT,
                "startedAt": MOMENT,
                "endedAt": MOMENT,
                "sets": [12, 10, None],
                "totalReps": 22,
                "rpe": 7,
                "notes": "knee felt fine",
                "createdAt": MOMENT,
                "updatedAt": MOMENT,
            }
        },
        "meta": {},
    }
)
"""As long as the answers of the other contenders."""


def create_app() -> Starlette:
    tokens = Tokens(Configuration.from_environment())

    async def fail_session(request: Request[Any]) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        tokens.user_id(token if scheme.lower() == "bearer" else None)
        await request.body()
        return Response(ANSWER, media_type="application/json")

    return Starlette(
        routes=[Route("/sessions/{session_id}/fail", fail_session, methods=["POST"])],
        exception_handlers={Refused: on_refused},
    )


async def on_refused(_request: Request[Any], exc: Exception) -> Response:
    assert isinstance(exc, Refused)  # noqa: S101  it is registered for no other
    body = orjson.dumps(exc.body("none"))
    return Response(body, exc.status_code, dict(exc.headers or {}), "application/json")
