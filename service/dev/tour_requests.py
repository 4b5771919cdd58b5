# SPDX-License-Identifier: MIT
"""Sends the requests of the tour, and prints them with their answers."""

import json
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

WIDTH = 96
SHOWN = ("Location", "ETag", "Idempotent-Replayed")
UNAUTHENTICATED = 401


class UnexpectedStatusError(Exception):
    """The service has answered another status than the tour expects."""


class StrangeAnswerError(Exception):
    """The answer is not one of this service."""


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
        return read_header(created, "Location").removeprefix(self.client.base_url.path.rstrip("/"))


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


def read_header(response: httpx2.Response, name: str) -> str:
    if name not in response.headers:
        raise StrangeAnswerError(f"its answer has no {name}")
    return response.headers[name]


def read_next_cursor(response: httpx2.Response) -> str:
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
