# SPDX-License-Identifier: MIT
"""The story of the tour: the life of two sessions of one user."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from service.dev.tour_requests import Tour, read_header, read_next_cursor


def play(tour: Tour) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    plan = {"sessionDate": tomorrow.isoformat(), "sets": [12, 10, 8], "notes": "leg day"}
    planned = tour.tell("Plan a session for tomorrow.", "POST /sessions", 201, body=plan)
    first = tour.path_of(planned)
    tour.tell(
        "Start it, if it has not changed since.",
        f"POST {first}/start",
        200,
        headers={"If-Match": read_header(planned, "ETag")},
    )
    now = {"startNow": True}
    tour.tell(
        "Start another at the same time: refused, one at a time.", "POST /sessions", 409, body=now
    )
    done = {"sets": [12, 10, None], "rpe": 8}
    tour.tell(
        "Complete it, with the sets that were done.", f"POST {first}/complete", 200, body=done
    )
    second = tour.tell("Now another one can start at once.", "POST /sessions", 201, body=now)
    _interrupt(tour, tour.path_of(second))
    _read_back(tour, tour.path_of(second))


def _interrupt(tour: Tour, session: str) -> None:
    reason = {"reason": "shoulder pain"}
    done = {"sets": [12, 6]}
    tour.tell("Record the sets that were done so far.", f"PATCH {session}", 200, body=done)
    key = {"Idempotency-Key": str(uuid4())}
    fail = f"POST {session}/fail"
    tour.tell(
        "The shoulder hurts: fail the session. It keeps its sets.",
        fail,
        200,
        body=reason,
        headers=key,
    )
    tour.tell(
        "The answer was lost: send the same request again.", fail, 200, body=reason, headers=key
    )
    tour.tell("Without the key: the session has failed already.", fail, 409, body=reason)


def _read_back(tour: Tour, session: str) -> None:
    read = tour.tell("Read the session.", f"GET {session}", 200)
    known = {"If-None-Match": read_header(read, "ETag")}
    tour.tell(
        "Read it again, with the version already known.", f"GET {session}", 304, headers=known
    )
    page = tour.tell("List all sessions, one to a page.", "GET /sessions?limit=1", 200)
    next_page = f"GET /sessions?limit=1&cursor={read_next_cursor(page)}"
    tour.tell("The next page.", next_page, 200)
    tour.tell("List the failed sessions.", "GET /sessions?status=failed", 200)
    tour.tell("Read the history of the last session.", f"GET {session}/events", 200)
