# SPDX-License-Identifier: MIT
"""The reads of sessions, as operations."""

from http import HTTPStatus

from service.domain.errors import SessionNotFound
from service.http import endpoints
from service.http.dtos import EventsAnswer, SessionAnswer, SessionsAnswer
from service.http.errors import Unauthenticated, ValidationFailed
from service.http.openapi import examples
from service.http.openapi.operation import Answer, Operation
from service.http.operations import links
from service.http.parameters import HistoryParameters, ListParameters
from service.http.presenter import events_envelope, session_envelope, sessions_envelope

READ_ERRORS = (Unauthenticated, ValidationFailed)

QUERIES = (
    Operation(
        id="listSessions",
        method="GET",
        path="/sessions",
        endpoint=endpoints.list_sessions,
        tag="Sessions",
        summary="List the own sessions",
        description="Newest `sessionDate` first; of two with the same date, the greater id first."
        " Filters combine.",
        query=ListParameters,
        answers=(
            Answer(
                summary="A page of sessions.",
                content=SessionsAnswer,
                example=sessions_envelope([examples.failed_session()], None),
                links=links.FROM_SESSIONS,
            ),
        ),
        errors=READ_ERRORS,
    ),
    Operation(
        id="getSession",
        method="GET",
        path="/sessions/{session_id}",
        endpoint=endpoints.get_session,
        tag="Sessions",
        summary="Read a session",
        headers=("If-None-Match",),
        answers=(
            Answer(
                summary="The session.",
                content=SessionAnswer,
                example=session_envelope(examples.failed_session()),
                headers=("ETag",),
                links={**links.TO_READS, **links.TO_UPDATE, **links.TO_START, **links.TO_ENDS},
            ),
            Answer(
                status=HTTPStatus.NOT_MODIFIED,
                summary="`If-None-Match` names the current version.",
                headers=("ETag",),
            ),
        ),
        errors=(*READ_ERRORS, SessionNotFound),
    ),
    Operation(
        id="listEvents",
        method="GET",
        path="/sessions/{session_id}/events",
        endpoint=endpoints.list_events,
        tag="Sessions",
        summary="List the events of a session",
        description="The history of a session, oldest first.",
        query=HistoryParameters,
        answers=(
            Answer(
                summary="A page of events.",
                content=EventsAnswer,
                example=events_envelope([examples.failure()], None),
                links=links.FROM_EVENTS,
            ),
        ),
        errors=(*READ_ERRORS, SessionNotFound),
    ),
)
