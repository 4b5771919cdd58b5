# SPDX-License-Identifier: MIT
"""Starlette's routes, made from the table of operations."""

from collections.abc import Iterable
from urllib.parse import unquote

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from service.http.openapi.operation import Endpoint, Operation


def prefixes(root_path: str) -> list[str]:
    """Of the paths behind a proxy that passes `root_path` on, and behind one that strips it.

    In this order, because a stripped path may begin like the root path, such as /sessions.
    """
    return [unquote(root_path), ""] if root_path else [""]


def routes_of(operations: Iterable[Operation], root_path: str) -> list[Route]:
    paths: dict[str, dict[str, Endpoint]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method] = each.endpoint
    return [
        Route(prefix + path, _EndpointApp(endpoints), methods=list(endpoints))
        for prefix in prefixes(root_path)
        for path, endpoints in paths.items()
    ]


class _EndpointApp:
    """The endpoints of one path, by method.

    Of two routes with the same path, Starlette's first would refuse the other's method. Starlette
    wraps an endpoint that is a function, to handle errors; here RequestMiddleware handles them all.
    """

    def __init__(self, endpoints: dict[str, Endpoint]) -> None:
        head = {"HEAD": endpoints["GET"]} if "GET" in endpoints else {}
        self._of_method = endpoints | head

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._of_method[scope["method"]]
        response = await endpoint(Request(scope, receive, send))
        await response(scope, receive, send)
