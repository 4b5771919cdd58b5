# SPDX-License-Identifier: MIT
"""Endpoints: each parses a request, executes a command or query, and presents the result."""

from collections.abc import Callable, Mapping
from typing import TypedDict
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from service.application.errors import UserGone
from service.application.group_commit.group_commit import GroupCommit
from service.application.group_commit.pending import RequestTimes
from service.application.ports import CheckReadiness, NewId, Outcome, SessionFilter
from service.application.queries import Queries
from service.domain.errors import PreconditionFailed
from service.domain.session import Session
from service.http.auth import Authenticator
from service.http.cursors import encode_position, encode_version
from service.http.errors import NotReady
from service.http.header_values import header_values
from service.http.headers import (
    explain_mismatch,
    matches_etag,
    parse_idempotency_key,
    parse_if_match,
    parse_traceparent,
)
from service.http.json_response import NO_HEADERS, JsonResponse
from service.http.openapi.operation import Endpoint
from service.http.parameters import HistoryParameters, ListParameters, parse_session_id
from service.http.presenter import (
    envelope,
    etag,
    events_envelope,
    location,
    session_envelope,
    sessions_envelope,
)
from service.http.schemas import CommandBody, CommandFields
from service.http.token_refusals import RefusedTokens, TokenRefusal


class AppResources(TypedDict):
    """Objects that the endpoints use; they live as long as the app."""

    authenticator: Authenticator
    refused_tokens: RefusedTokens
    commands: GroupCommit
    queries: Queries
    check_readiness: CheckReadiness
    is_stopping: Callable[[], bool]
    new_id: NewId
    root_path: str
    openapi: bytes


class RequestResources(AppResources):
    """The resources of the app, with the facts of one request.

    `user_id` is there when its token has been accepted. `times`: None if `Server-Timing` is off.
    `traceparent`: of the request's own span; None if requests are not traced.
    """

    request_id: str
    user_id: UUID
    times: RequestTimes | None
    traceparent: str | None


def command_endpoint(body_type: type[CommandBody]) -> Endpoint:
    """An endpoint that executes the command of this body."""

    async def endpoint(request: Request[RequestResources]) -> Response:
        state = request.state
        state["commands"].require_room()
        user_id = await _authenticate(request)
        state["commands"].require_user_room(user_id)
        fields = _parse_command_fields(request, user_id)
        body = await body_type.parse(request)
        if_match = header_values(request).get("if-match", ())
        command = body.command(fields, parse_if_match(if_match))
        try:
            outcome = await state["commands"].execute(command, state["times"])
        except PreconditionFailed as exc:
            raise explain_mismatch(exc, if_match) from None
        except UserGone:
            state["refused_tokens"].count(TokenRefusal.UNKNOWN_USER)
            raise
        link = location(outcome.session, state["root_path"])
        return _outcome_response(outcome, link, created=command.creates)

    return endpoint


async def get_session(request: Request[RequestResources]) -> Response:
    user_id = await _authenticate(request)
    state, session_id = request.state, parse_session_id(request)
    session = await state["queries"].session(
        user_id, session_id, state["times"], state["traceparent"]
    )
    if matches_etag(header_values(request).get("if-none-match", ()), etag(session.version)):
        return Response(status_code=304, headers={"ETag": etag(session.version)})
    return _session_response(session)


async def list_sessions(request: Request[RequestResources]) -> Response:
    user_id = await _authenticate(request)
    parameters = ListParameters.parse(request)
    wanted = SessionFilter(
        statuses=parameters.status, since=parameters.since, until=parameters.until
    )
    state = request.state
    page = await state["queries"].sessions(
        user_id,
        wanted,
        after=parameters.cursor,
        limit=parameters.limit,
        times=state["times"],
        traceparent=state["traceparent"],
    )
    cursor = encode_position(page.next) if page.next else None
    return JsonResponse(sessions_envelope(page.items, cursor))


async def list_events(request: Request[RequestResources]) -> Response:
    user_id = await _authenticate(request)
    session_id = parse_session_id(request)
    parameters = HistoryParameters.parse(request)
    state = request.state
    page = await state["queries"].history(
        user_id,
        session_id,
        after=parameters.cursor,
        limit=parameters.limit,
        times=state["times"],
        traceparent=state["traceparent"],
    )
    cursor = encode_version(page.next) if page.next else None
    return JsonResponse(events_envelope(page.items, cursor))


async def livez(_request: Request[RequestResources]) -> Response:
    return JsonResponse(envelope({"status": "alive"}))


async def readyz(request: Request[RequestResources]) -> Response:
    report = await request.state["check_readiness"]()
    if not report.is_ready:
        raise NotReady(dict(report.checks))
    return JsonResponse(envelope({"checks": dict(report.checks)}))


async def openapi(request: Request[RequestResources]) -> Response:
    return JsonResponse(request.state["openapi"])


async def _authenticate(request: Request[RequestResources]) -> UUID:
    authenticator = request.state["authenticator"]
    authorization = header_values(request).get("authorization", ())
    user_id = await authenticator.authenticate(authorization)
    request.state["user_id"] = user_id  # for the line of the request in the log
    return user_id


def _parse_command_fields(request: Request[RequestResources], user_id: UUID) -> CommandFields:
    """A new session gets its id here, because no path names it."""
    state, headers = request.state, header_values(request)
    has_session_id = "session_id" in request.path_params
    return {
        "user_id": user_id,
        "session_id": parse_session_id(request) if has_session_id else state["new_id"](),
        "request_id": state["request_id"],
        "traceparent": state["traceparent"] or parse_traceparent(headers.get("traceparent", ())),
        "idempotency_key": parse_idempotency_key(headers.get("idempotency-key", ())),
    }


def _outcome_response(outcome: Outcome, link: str, *, created: bool) -> Response:
    headers = {"Content-Location": link}
    if created:
        headers["Location"] = link
    if outcome.replayed:
        headers["Idempotent-Replayed"] = "true"
    return _session_response(outcome.session, headers, status=201 if created else 200)


def _session_response(
    session: Session, headers: Mapping[str, str] = NO_HEADERS, *, status: int = 200
) -> Response:
    given = {"ETag": etag(session.version), **headers}
    return JsonResponse(session_envelope(session), status, given)
