# SPDX-License-Identifier: MIT
"""Starlette's routes, made from the table of operations."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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
        Route(prefix + path, _by_method(endpoints), methods=list(endpoints))
        for prefix in prefixes(root_path)
        for path, endpoints in paths.items()
    ]


def _by_method(endpoints: dict[str, Endpoint]) -> Endpoint:
    """Of two routes with the same path, Starlette's first would refuse the other's method."""
    if len(endpoints) == 1:
        return next(iter(endpoints.values()))
    of_method = endpoints | ({"HEAD": endpoints["GET"]} if "GET" in endpoints else {})

    async def endpoint(request: Request[Any]) -> Response:
        return await of_method[request.method](request)

    return endpoint
