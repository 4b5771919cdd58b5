# SPDX-License-Identifier: MIT
"""An operation: what its route is made of, and its description."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.domain.errors import ServiceError
from service.http.parameters import QueryParameters
from service.http.schemas import CommandBody

Endpoint = Callable[[Request[Any]], Awaitable[Response]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A success. `content`: the type of its JSON; None if it has no body, or is a page (`is_html`).

    `headers`: those besides the headers of every answer. `links` lead on: the name of each, the id
    of its operation and the parameters, as runtime expressions of OpenAPI.
    """

    status: HTTPStatus = HTTPStatus.OK
    summary: str
    content: Any = None
    is_html: bool = False
    example: bytes = b""
    headers: tuple[str, ...] = ()
    links: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Operation:
    """`id` is unique. `headers`: names of request headers. `errors` besides those of all paths."""

    id: str
    method: str
    path: str
    endpoint: Endpoint
    tag: str
    summary: str
    description: str = ""
    needs_token: bool = True
    headers: tuple[str, ...] = ()
    query: type[QueryParameters] | None = None
    body: type[CommandBody] | None = None
    body_example: Mapping[str, Any] = field(default_factory=dict)
    answers: tuple[Answer, ...]
    errors: tuple[type[ServiceError], ...] = ()
    examples: Mapping[type[ServiceError], ServiceError] = field(default_factory=dict)
