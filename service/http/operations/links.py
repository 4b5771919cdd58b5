# SPDX-License-Identifier: MIT
"""Links: where an answer leads, by the names that OpenAPI gives to parts of a request or answer."""

from collections.abc import Mapping

Links = Mapping[str, tuple[str, Mapping[str, str]]]
"""By name: the id of the operation, and its parameters."""

_THIS = {"sessionId": "$response.body#/data/session/id"}
_CURSOR = {"cursor": "$response.body#/meta/nextCursor"}

TO_READS: Links = {"session": ("getSession", _THIS), "history": ("listEvents", _THIS)}
TO_START: Links = {"start": ("startSession", _THIS)}
TO_UPDATE: Links = {"update": ("updateSession", _THIS)}
TO_ENDS: Links = {"complete": ("completeSession", _THIS), "fail": ("failSession", _THIS)}
FROM_SESSIONS: Links = {
    "first": ("getSession", {"sessionId": "$response.body#/data/sessions/0/id"}),
    "next": ("listSessions", _CURSOR),
}
FROM_EVENTS: Links = {
    "next": ("listEvents", {"sessionId": "$request.path.sessionId", **_CURSOR}),
}
