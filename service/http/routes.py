"""The paths, and for each the way from a request to a command or a query and back."""

from typing import TypedDict

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.application.commands import FailSession
from service.application.group_commit import GroupCommit
from service.application.ports import CheckReadiness
from service.application.queries import Queries
from service.domain.reason import Reason
from service.domain.session import Session
from service.http.auth import Authenticator
from service.http.errors import NotReady
from service.http.headers import idempotency_key, is_named_by, traceparent, versions_accepted
from service.http.presenter import envelope, etag, location, session_envelope
from service.http.schemas import FailSessionBody, session_id_of


class AppState(TypedDict):
    """What the routes work with, for as long as the app runs."""

    authenticator: Authenticator
    commands: GroupCommit
    queries: Queries
    check_readiness: CheckReadiness
    reason_max_length: int


class State(AppState):
    """The same, and what belongs to one request."""

    request_id: str


async def fail_session(request: Request[State]) -> Response:
    state = request.state
    state["commands"].require_room()
    user_id = await state["authenticator"].user_id(request.headers.getlist("authorization"))
    session_id = session_id_of(request)
    key = idempotency_key(request.headers.getlist("idempotency-key"))
    limit = state["reason_max_length"]
    body = await FailSessionBody.of(request, reason_max_length=limit)
    command = FailSession(
        user_id=user_id,
        session_id=session_id,
        request_id=state["request_id"],
        traceparent=traceparent(request.headers.getlist("traceparent")),
        idempotency_key=key,
        if_match=versions_accepted(request.headers.getlist("if-match")),
        reason=Reason.parse(body.reason, max_length=limit),
    )
    outcome = await state["commands"].execute(command)
    response = _session_response(outcome.session)
    response.headers["Content-Location"] = location(outcome.session)
    if outcome.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


async def get_session(request: Request[State]) -> Response:
    state = request.state
    user_id = await state["authenticator"].user_id(request.headers.getlist("authorization"))
    session = await state["queries"].session(user_id, session_id_of(request))
    if is_named_by(request.headers.getlist("if-none-match"), etag(session.version)):
        return Response(status_code=304, headers={"ETag": etag(session.version)})
    return _session_response(session)


async def livez(_request: Request[State]) -> Response:
    return Response(envelope({"status": "alive"}), media_type="application/json")


async def readyz(request: Request[State]) -> Response:
    checks = await request.state["check_readiness"]()
    if set(checks.values()) != {"ok"}:
        raise NotReady(dict(checks))
    return Response(envelope({"checks": dict(checks)}), media_type="application/json")


def _session_response(session: Session) -> Response:
    return Response(
        session_envelope(session),
        media_type="application/json",
        headers={"ETag": etag(session.version)},
    )


routes = [
    Route("/sessions/{session_id}/fail", fail_session, methods=["POST"]),
    Route("/sessions/{session_id}", get_session),
    Route("/livez", livez),
    Route("/readyz", readyz),
]
