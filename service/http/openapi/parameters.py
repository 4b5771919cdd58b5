# SPDX-License-Identifier: MIT
"""Parameters of paths and queries."""

from collections.abc import Iterator
from typing import Any

from service.http.openapi.examples import SESSION_ID
from service.http.openapi.schemas import inlined_schema
from service.http.parameters import QueryParameters

SESSION_ID_PARAMETER = {
    "name": "sessionId",
    "in": "path",
    "required": True,
    "description": "The form 8-4-4-4-12, in either case.",
    "schema": {"type": "string", "format": "uuid"},
    "example": str(SESSION_ID),
}


def query_parameters(query: type[QueryParameters]) -> Iterator[dict[str, Any]]:
    for name, field in inlined_schema(query)["properties"].items():
        schema = _without_null(field)
        yield {
            "name": name,
            "in": "query",
            "description": schema.pop("description"),
            "schema": schema,
        }


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """A query cannot say null: the parameter is absent then."""
    given = {key: value for key, value in schema.items() if value is not None and key != "anyOf"}
    [*kinds] = (each for each in schema.get("anyOf", []) if each != {"type": "null"})
    return given | (kinds[0] if kinds else {})
