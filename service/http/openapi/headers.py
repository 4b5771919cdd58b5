# SPDX-License-Identifier: MIT
"""Headers of requests and answers: what each means, which values it has, and an example."""

from typing import Any, NamedTuple

from service.http.docs.page import PAGE_HEADERS
from service.http.error_responses import challenge
from service.http.headers import IDEMPOTENCY_KEY_PATTERN
from service.http.openapi.examples import REQUEST_ID, SESSION_ID


class Header(NamedTuple):
    description: str
    schema: dict[str, Any]
    example: str | int


_TEXT = {"type": "string"}
_TAG = {"type": "string", "pattern": '^"[1-9][0-9]{0,9}"$'}
_SECONDS = {"type": "integer", "minimum": 1}
_LINK = {"type": "string", "format": "uri-reference"}

REQUEST_HEADERS = {
    "Idempotency-Key": Header(
        "Makes a retry safe: 1 to 255 visible ASCII characters, bare or as a quoted string."
        " The same key and command of a user get the first answer again, with"
        " `Idempotent-Replayed: true`, and nothing is written twice; of two at once, one is"
        " executed and the other gets the replay. Another command with the key is refused (422"
        " `IDEMPOTENCY_KEY_REUSED`). Only successes are remembered, in the event of the command,"
        " for as long as that event exists.",
        {"type": "string", "pattern": IDEMPOTENCY_KEY_PATTERN},
        "8e03978e-40d5-43dd-bc93-6894a57f9324",
    ),
    "If-Match": Header(
        "The `ETag` of the version that the command may change, or `*` for any; a list may name"
        " several. Else 412. Weak tags never match.",
        _TEXT,
        '"2"',
    ),
    "If-None-Match": Header(
        "The `ETag` of the version that the caller has: 304 if it is still the current one.",
        _TEXT,
        '"2"',
    ),
    "X-Request-Id": Header(
        "1 to 128 characters of `A-Za-z0-9._-`, kept in the log, the event and the answer. Another"
        " value is replaced by a new id.",
        _TEXT,
        REQUEST_ID,
    ),
    "traceparent": Header(
        "W3C Trace Context, version 00; the event is published with it, or with that of its child"
        " if the service is traced. An invalid value is ignored.",
        _TEXT,
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
}
RESPONSE_HEADERS = {
    "X-Request-Id": Header(
        "The caller's, if it is 1 to 128 characters of `A-Za-z0-9._-`; else a new one.",
        {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
        REQUEST_ID,
    ),
    "Cache-Control": Header(
        "No cache may store it.",
        {"type": "string", "const": "no-store"},
        "no-store",
    ),
    "X-Content-Type-Options": Header(
        "The content type is as declared.",
        {"type": "string", "const": "nosniff"},
        "nosniff",
    ),
    "Server-Timing": Header(
        "Milliseconds: `queue`, the wait until the group of the request began; `group`, the time"
        " of its transaction; `total`. Present if the service is set up to say it.",
        _TEXT,
        "queue;dur=1.20, group;dur=2.85, total;dur=4.51",
    ),
    "Timing-Allow-Origin": Header(
        "The origin whose page may read `Server-Timing` of this answer by the Resource Timing API.",
        _TEXT,
        "https://app.example.com",
    ),
    "ETag": Header("Strong: the version of the session.", _TAG, '"2"'),
    "Location": Header("The new session.", _LINK, f"/sessions/{SESSION_ID}"),
    "Content-Location": Header(
        "The session that the body shows, and whose version the `ETag` is.",
        _LINK,
        f"/sessions/{SESSION_ID}",
    ),
    "Idempotent-Replayed": Header(
        "Present if an earlier request with the same `Idempotency-Key` executed the command.",
        {"type": "string", "const": "true"},
        "true",
    ),
    "Retry-After": Header("Seconds to wait before the next try.", _SECONDS, 1),
    "WWW-Authenticate": Header(
        'With `error="invalid_token"` if there was a token.',
        {"type": "string", "enum": [challenge(token_given=given) for given in (False, True)]},
        challenge(token_given=False),
    ),
    **{
        name: Header(
            "For browsers: what the page may do.", {"type": "string", "const": value}, value
        )
        for name, value in PAGE_HEADERS.items()
    },
    "Allow": Header("The methods of this path.", _TEXT, "GET, HEAD, POST"),
    "Accept-Encoding": Header(
        "Present if the `Content-Encoding` of the body was refused.",
        {"type": "string", "const": "identity"},
        "identity",
    ),
}

OPTIONAL = {"Idempotent-Replayed", "Accept-Encoding", "Server-Timing", "Timing-Allow-Origin"}
"""Not in every answer that may have it."""

EVERY_ANSWER = (
    "X-Request-Id",
    "Cache-Control",
    "X-Content-Type-Options",
    "Server-Timing",
    "Timing-Allow-Origin",
)


def parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "header"} | REQUEST_HEADERS[name]._asdict()


def response_header(name: str) -> dict[str, Any]:
    return RESPONSE_HEADERS[name]._asdict() | {"required": name not in OPTIONAL}


def header_references(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}
