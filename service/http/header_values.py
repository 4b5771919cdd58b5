# SPDX-License-Identifier: MIT
"""The headers of a request, read in one pass."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection
from starlette.types import Scope

HeaderValues = Mapping[str, list[str]]
"""All values of each header, in their order; names in lower case."""


def header_values(request: HTTPConnection[Any]) -> HeaderValues:
    return header_values_of(request.scope)


def header_values_of(scope: Scope) -> HeaderValues:
    """Read once for each request. Starlette's `Headers` goes through all of them for each name."""
    values: dict[str, list[str]] | None = scope.get("training.headers")
    if values is None:
        scope["training.headers"] = values = {}
        for name, value in scope["headers"]:
            values.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    return values
