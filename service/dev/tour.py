"""Plays the life of several sessions against a running service; prints requests and answers."""

import io
import json
import os
import re
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

from service.bootstrap.proxies import client_options, find_proxy, is_this_machine
from service.bootstrap.settings import TokenSettings, WrongSettings, load
from service.dev.demo import secret_file
from service.dev.homes import actual_home
from service.dev.tokens import mint
from service.urls import Url, parse_server_url

TIMEOUT_SECONDS = 10
WIDTH = 96
SHOWN = ("Location", "ETag", "Idempotent-Replayed")
IS_IT_OPEN = "Is `make run` open in another terminal?"
WHICH_PORT = "If `make run` listens on another port: PORT=9000 make try."
UNAUTHENTICATED = 401


class UnexpectedStatusError(Exception):
    """The service has answered another status than the tour expects."""


class StrangeAnswerError(Exception):
    """The answer is not one of this service."""


def run(url: str, home: Path) -> int:
    """Acts as a new user of the service at `url`; returns the exit code.

    Signs the token with SERVICE_JWT_SECRET, or else with the secret of the demo whose data is in
    `home`. Raises WrongSettings if there is none, or if the proxy for the URL cannot be used.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an answer may have what the terminal has not
    token = mint(_settings(home), uuid4(), lifetime=timedelta(minutes=5))
    headers = {"Authorization": f"Bearer {token}"}
    options = client_options(url)
    try:
        with httpx2.Client(
            base_url=url, headers=headers, timeout=TIMEOUT_SECONDS, **options
        ) as client:
            _play(Tour(client))
        print("The tour is over.\n", flush=True)
    except (UnexpectedStatusError, StrangeAnswerError, httpx2.HTTPError) as exc:
        print(_sentence(url, exc), file=sys.stderr)
        return 1
    except BrokenPipeError:  # `make try | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _settings(home: Path) -> TokenSettings:
    settings = load(TokenSettings)
    if settings.jwt_secret:
        return settings
    secret = secret_file(actual_home(home))
    try:
        return load(TokenSettings, jwt_secret=SecretStr(secret.read_text()))
    except FileNotFoundError:
        reason = "there is no demo with its data there"
    except OSError as exc:
        reason = f"{exc.strerror}: was the demo started by another user?"
    raise WrongSettings(
        f"SERVICE_JWT_SECRET is not set, and {secret} cannot be read ({reason}). {IS_IT_OPEN}"
    )


def _sentence(text: str, exc: Exception) -> str:
    """Says why the tour ended. Quotes no login of a URL."""
    url = parse_server_url(text, "http", "https")
    proxy = find_proxy(text)
    way = f" through the proxy that {proxy.variable} names" if proxy else ""
    reason = re.sub(r"^\[Errno -?\d+\] ", "", str(exc)).rstrip(".") or type(exc).__name__
    place, is_local = _place(url), is_this_machine(url.addresses[0].host)
    match exc:
        case UnexpectedStatusError():
            return f"{place} {reason}."
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.ProxyError():
            return (
                f"{place} cannot be reached{way}: {reason}.{f' {IS_IT_OPEN}' if is_local else ''}"
            )
        case httpx2.TimeoutException():
            return f"{place} has not answered{way} within {TIMEOUT_SECONDS} seconds."
        case _:
            return (
                f"{place} is not this service{way}: {reason}.{f' {WHICH_PORT}' if is_local else ''}"
            )


def _place(url: Url) -> str:
    [address] = url.addresses
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{url.scheme}://{host}{f':{address.port}' if address.port else ''}"


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

        Raises UnexpectedStatusError, and StrangeAnswerError if another program has answered.
        """
        self.step += 1
        method, path = request.split()
        response = self.client.request(method, path, json=body, headers=headers)
        answer = _answer(response)
        print(f"{self.step:2}. {story}\n")
        _print(f"{method} {path}", headers or {}, body)
        shown = {name: response.headers[name] for name in SHOWN if name in response.headers}
        _print(f"{response.status_code} {response.reason_phrase}", shown, answer)
        if response.status_code != expected:
            raise UnexpectedStatusError(_difference(response, expected))
        return response

    def path_of(self, created: httpx2.Response) -> str:
        """The path of the new session, below the URL of the service."""
        return _header(created, "Location").removeprefix(self.client.base_url.path.rstrip("/"))


def _answer(response: httpx2.Response) -> Any:
    """The body of an answer of this service, or None if it is empty."""
    try:
        answer = response.json() if response.content else None
    except (ValueError, RecursionError):
        answer = ""
    is_ours = "X-Request-Id" in response.headers and (
        answer is None or (isinstance(answer, dict) and answer.keys() & {"data", "error"})
    )
    if not is_ours:
        kind = response.headers.get("Content-Type", "without a content type")
        raise StrangeAnswerError(f"it answered {response.status_code}, {kind}")
    return answer


def _header(response: httpx2.Response, name: str) -> str:
    if name not in response.headers:
        raise StrangeAnswerError(f"its answer has no {name}")
    return response.headers[name]


def _next_cursor(response: httpx2.Response) -> str:
    match response.json():
        case {"meta": {"nextCursor": str(cursor)}}:
            return cursor
        case _:
            raise StrangeAnswerError("its list has no meta.nextCursor")


def _difference(response: httpx2.Response, expected: int) -> str:
    found = f"answered {response.status_code}, where {expected} was expected"
    if response.status_code == UNAUTHENTICATED:
        found += "; SERVICE_JWT_SECRET must be the same as that of the service"
    return found


def _print(first: str, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> None:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    if body is not None:
        text = json.dumps(body, ensure_ascii=False)
        lines += textwrap.wrap(text, WIDTH, break_on_hyphens=False, break_long_words=False)
    print(textwrap.indent("\n".join(lines), "    "), end="\n\n", flush=True)


def _play(tour: Tour) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).replace(microsecond=0)
    plan = {"sessionDate": tomorrow.isoformat(), "sets": [12, 10, 8], "notes": "leg day"}
    planned = tour.tell("Plan a session for tomorrow.", "POST /sessions", 201, body=plan)
    first = tour.path_of(planned)
    tour.tell(
        "Start it, if it has not changed since.",
        f"POST {first}/start",
        200,
        headers={"If-Match": _header(planned, "ETag")},
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
    known = {"If-None-Match": _header(read, "ETag")}
    tour.tell(
        "Read it again, with the version already known.", f"GET {session}", 304, headers=known
    )
    page = tour.tell("List all sessions, one to a page.", "GET /sessions?limit=1", 200)
    next_page = f"GET /sessions?limit=1&cursor={_next_cursor(page)}"
    tour.tell("The next page.", next_page, 200)
    tour.tell("List the failed sessions.", "GET /sessions?status=failed", 200)
    tour.tell("Read the history of the last session.", f"GET {session}/events", 200)
