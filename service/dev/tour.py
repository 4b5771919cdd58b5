"""Plays the life of several sessions against a running service; prints requests and answers."""

import json
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
from pydantic import SecretStr

from service.bootstrap.settings import TokenSettings, load
from service.dev.demo import secret_file
from service.dev.postgres import actual_home
from service.dev.tokens import mint

TIMEOUT_SECONDS = 10
WIDTH = 96
SHOWN = ("Location", "ETag", "Idempotent-Replayed")


class TourError(Exception):
    pass


def run(url: str, home: Path) -> int:
    """Acts as a new user of the service at `url`; returns the exit code.

    Signs the token with SERVICE_JWT_SECRET, or else with the secret of the demo whose data is in
    `home`.
    """
    token = mint(_settings(home), uuid4(), lifetime=timedelta(minutes=5))
    headers = {"Authorization": f"Bearer {token}"}
    try:
        with httpx2.Client(base_url=url, headers=headers, timeout=TIMEOUT_SECONDS) as client:
            _play(Tour(client))
    except (TourError, httpx2.HTTPError) as exc:
        print(f"{url}: {exc}. Is the service running there? `make run` starts it.", file=sys.stderr)
        return 1
    print("The tour is over.\n")
    return 0


def _settings(home: Path) -> TokenSettings:
    settings = load(TokenSettings)
    secret = secret_file(actual_home(home))
    if settings.jwt_secret or not secret.exists():
        return settings
    return load(TokenSettings, jwt_secret=SecretStr(secret.read_text()))


@dataclass
class Tour:
    client: httpx2.Client
    step: int = 0

    def tell(
        self,
        story: str,
        request: str,
        expected: int,
        *,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx2.Response:
        """Sends a request, such as "GET /sessions", and prints it with its answer.

        Raises TourError if the status of the answer is not the expected one.
        """
        self.step += 1
        method, path = request.split()
        response = self.client.request(method, path, json=body, headers=headers)
        print(f"{self.step:2}. {story}\n")
        _print(f"{method} {path}", headers or {}, body)
        shown = {name: response.headers[name] for name in SHOWN if name in response.headers}
        answer = response.json() if response.content else None
        _print(f"{response.status_code} {response.reason_phrase}", shown, answer)
        if response.status_code != expected:
            raise TourError(f"it answered {response.status_code}, where {expected} was expected")
        return response

    def path_of(self, created: httpx2.Response) -> str:
        """The path of the new session, below the URL of the service."""
        return created.headers["Location"].removeprefix(self.client.base_url.path.rstrip("/"))


def _print(first: str, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> None:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        text = json.dumps(body, ensure_ascii=False)
        lines += textwrap.wrap(text, WIDTH, break_on_hyphens=False, break_long_words=False)
    print(textwrap.indent("\n".join(lines), "    "), end="\n\n")


def _play(tour: Tour) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    plan = {"sessionDate": tomorrow.isoformat(), "sets": [12, 10, 8], "notes": "leg day"}
    planned = tour.tell("Plan a session for tomorrow.", "POST /sessions", 201, body=plan)
    first = tour.path_of(planned)
    tour.tell(
        "Start it, if it has not changed since.",
        f"POST {first}/start",
        200,
        headers={"If-Match": planned.headers["ETag"]},
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
    key = {"Idempotency-Key": str(uuid4())}
    fail = f"POST {session}/fail"
    tour.tell("The shoulder hurts: fail the session.", fail, 200, body=reason, headers=key)
    tour.tell(
        "The answer was lost: send the same request again.", fail, 200, body=reason, headers=key
    )
    tour.tell("Without the key: the session has failed already.", fail, 409, body=reason)


def _read_back(tour: Tour, session: str) -> None:
    read = tour.tell("Read the session.", f"GET {session}", 200)
    known = {"If-None-Match": read.headers["ETag"]}
    tour.tell(
        "Read it again, with the version already known.", f"GET {session}", 304, headers=known
    )
    page = tour.tell("List all sessions, one to a page.", "GET /sessions?limit=1", 200)
    cursor = page.json()["meta"]["nextCursor"]
    tour.tell("The next page.", f"GET /sessions?limit=1&cursor={cursor}", 200)
    tour.tell("List the failed sessions.", "GET /sessions?status=failed", 200)
    tour.tell("Read the history of the last session.", f"GET {session}/events", 200)
