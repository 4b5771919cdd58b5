"""The paths, and for each the way from a request to a command or a query and back."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypedDict
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.application.group_commit.group_commit import GroupCommit
from service.application.ports import CheckReadiness, NewId, Outcome, SessionFilter
from service.application.queries import Queries
from service.domain.session import Session
from service.http.auth import Authenticator
from service.http.cursors import cursor_of_position, cursor_of_version
from service.http.errors import NotReady
from service.http.headers import idempotency_key, is_named_by, traceparent, versions_accepted
from service.http.parameters import HistoryParameters, ListParameters, session_id_of
from service.http.presenter import (
    envelope,
    etag,
    events_envelope,
    location,
    session_envelope,
    sessions_envelope,
)
from service.http.schemas import (
    Asked,
    CommandBody,
    CompleteSessionBody,
    Facts,
    FailSessionBody,
    PlanSessionBody,
    StartSessionBody,
)


class AppState(TypedDict):
    """What the routes work with, for as long as the app runs.

    `max_lengths`: of each text, in code points.
    """

    authenticator: Authenticator
    commands: GroupCommit
    queries: Queries
    check_readiness: CheckReadiness
    new_id: NewId
    max_lengths: Mapping[str, int]


class State(AppState):
    """The same, and what belongs to one request."""

    request_id: str


Endpoint = Callable[[Request[State]], Awaitable[Response]]


def executes(body_type: type[CommandBody]) -> Endpoint:
    """The endpoint of the command that such a body asks for."""

    async def endpoint(request: Request[State]) -> Response:
        state = request.state
        state["commands"].require_room()
        facts = await _facts(request)
        body = await body_type.of(request, state["max_lengths"])
        asked = Asked(
            facts=facts,
            if_match=versions_accepted(request.headers.getlist("if-match")),
            max_lengths=state["max_lengths"],
        )
        command = body.command(asked)
        outcome = await state["commands"].execute(command)
        return _outcome_response(outcome, created=command.creates)

    return endpoint


async def get_session(request: Request[State]) -> Response:
    user_id = await _user_id(request)
    session = await request.state["queries"].session(user_id, session_id_of(request))
    if is_named_by(request.headers.getlist("if-none-match"), etag(session.version)):
        return Response(status_code=304, headers={"ETag": etag(session.version)})
    return _session_response(session)


async def list_sessions(request: Request[State]) -> Response:
    user_id = await _user_id(request)
    given = ListParameters.of(request)
    wanted = SessionFilter(statuses=given.status, since=given.since, until=given.until)
    page = await request.state["queries"].sessions(
        user_id, wanted, after=given.cursor, limit=given.limit
    )
    cursor = cursor_of_position(page.next) if page.next else None
    return _json_response(sessions_envelope(page.items, cursor))


async def list_events(request: Request[State]) -> Response:
    user_id = await _user_id(request)
    session_id = session_id_of(request)
    given = HistoryParameters.of(request)
    page = await request.state["queries"].history(
        user_id, session_id, after=given.cursor, limit=given.limit
    )
    cursor = cursor_of_version(page.next) if page.next else None
    return _json_response(events_envelope(page.items, cursor))


async def livez(_request: Request[State]) -> Response:
    return _json_response(envelope({"status": "alive"}))


async def readyz(request: Request[State]) -> Response:
    checks = await request.state["check_readiness"]()
    if set(checks.values()) != {"ok"}:
        raise NotReady(dict(checks))
    return _json_response(envelope({"checks": dict(checks)}))


async def _user_id(request: Request[State]) -> UUID:
    return await request.state["authenticator"].user_id(request.headers.getlist("authorization"))


async def _facts(request: Request[State]) -> Facts:
    """A session that a command makes gets its id here, since no path names it."""
    named = "session_id" in request.path_params
    return {
        "user_id": await _user_id(request),
        "session_id": session_id_of(request) if named else request.state["new_id"](),
        "request_id": request.state["request_id"],
        "traceparent": traceparent(request.headers.getlist("traceparent")),
        "idempotency_key": idempotency_key(request.headers.getlist("idempotency-key")),
    }


def _outcome_response(outcome: Outcome, *, created: bool) -> Response:
    response = _session_response(outcome.session, status=201 if created else 200)
    response.headers["Content-Location"] = location(outcome.session)
    if created:
        response.headers["Location"] = location(outcome.session)
    if outcome.replayed:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _session_response(session: Session, *, status: int = 200) -> Response:
    response = _json_response(session_envelope(session), status=status)
    response.headers["ETag"] = etag(session.version)
    return response


def _json_response(body: bytes, *, status: int = 200) -> Response:
    return Response(body, status, media_type="application/json")


def _get_or_post(get: Endpoint, post: Endpoint) -> Endpoint:
    """Of two routes with one path, the first would refuse the other's method."""

    async def endpoint(request: Request[State]) -> Response:
        return await (post if request.method == "POST" else get)(request)

    return endpoint


routes = [
    Route("/sessions/{session_id}/fail", executes(FailSessionBody), methods=["POST"]),
    Route("/sessions/{session_id}/complete", executes(CompleteSessionBody), methods=["POST"]),
    Route("/sessions/{session_id}/start", executes(StartSessionBody), methods=["POST"]),
    Route("/sessions/{session_id}/events", list_events),
    Route("/sessions/{session_id}", get_session),
    Route(
        "/sessions",
        _get_or_post(list_sessions, executes(PlanSessionBody)),
        methods=["GET", "POST"],
    ),
    Route("/livez", livez),
    Route("/readyz", readyz),
]
