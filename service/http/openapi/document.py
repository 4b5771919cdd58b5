# SPDX-License-Identifier: MIT
"""The description of the API, OpenAPI 3.1, made from the table of operations."""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import orjson
from pydantic.alias_generators import to_camel

from service import __version__
from service.http.openapi import introduction
from service.http.openapi.headers import (
    EVERY_ANSWER,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    header_references,
    parameter,
    response_header,
)
from service.http.openapi.operation import Answer, Operation
from service.http.openapi.parameters import SESSION_ID_PARAMETER, query_parameters
from service.http.openapi.refusals import (
    OF_EVERY_PATH,
    details_types,
    error_schemas,
    method_not_allowed,
    refusals,
    unknown_path,
)
from service.http.openapi.schemas import component_schemas, inlined_schema, reference


@cache  # 70 ms; the tests make an app thousands of times
def render(operations: tuple[Operation, ...], root_path: str) -> bytes:
    return orjson.dumps(describe(operations, root_path))


def describe(operations: Iterable[Operation], root_path: str) -> dict[str, Any]:
    operations = list(operations)
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(public_path(each.path), {})[each.method.lower()] = _operation(each)
    return {
        "openapi": "3.1.1",
        "info": {
            "title": introduction.TITLE,
            "version": __version__,
            "summary": introduction.SUMMARY,
            "description": introduction.DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": root_path or "/"}],
        "tags": introduction.TAGS,
        "paths": paths,
        "components": _components(operations),
    }


def public_path(path: str) -> str:
    """With the names of parameters as on the wire."""
    return "/".join(
        f"{{{to_camel(part[1:-1])}}}" if part.startswith("{") else part for part in path.split("/")
    )


def _components(operations: list[Operation]) -> dict[str, Any]:
    answers = [answer.content for each in operations for answer in each.answers]
    bodies = [each.body for each in operations]
    types = dict.fromkeys([*bodies, *answers, *details_types()])
    types.pop(None, None)
    return {
        "schemas": component_schemas(types) | error_schemas(),
        "parameters": {
            "sessionId": SESSION_ID_PARAMETER,
            **{name: parameter(name) for name in REQUEST_HEADERS},
        },
        "headers": {name: response_header(name) for name in RESPONSE_HEADERS},
        "responses": {
            "UnknownPath": unknown_path(),
            "MethodNotAllowed": method_not_allowed(),
        },
        "securitySchemes": {"accessToken": introduction.SECURITY_SCHEME},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described = {
        "operationId": operation.id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "security": [{"accessToken": []}] if operation.needs_token else [],
        "parameters": list(_parameters(operation)),
        "responses": dict(_responses(operation)),
    }
    if operation.body:
        described["requestBody"] = _body(operation)
    return described


def _parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    if "{session_id}" in operation.path:
        yield {"$ref": "#/components/parameters/sessionId"}
    if operation.query:
        yield from query_parameters(operation.query)
    for name in (*operation.headers, "X-Request-Id"):
        yield {"$ref": f"#/components/parameters/{name}"}


def _body(operation: Operation) -> dict[str, Any]:
    return {
        "required": "minProperties" in inlined_schema(operation.body),  # an absent body means {}
        "description": "An absent body means `{}`.",
        "content": {
            "application/json": {
                "schema": reference(operation.body),
                "example": dict(operation.body_example),
            }
        },
    }


def _responses(operation: Operation) -> Iterator[tuple[str, Any]]:
    for answer in operation.answers:
        yield str(int(answer.status)), _answer(answer)
    for status, refusal in refusals([*operation.errors, *OF_EVERY_PATH], operation.examples):
        yield str(int(status)), refusal


def _answer(answer: Answer) -> dict[str, Any]:
    described: dict[str, Any] = {
        "description": answer.summary,
        "headers": header_references(*EVERY_ANSWER, *answer.headers),
    }
    if answer.content:
        json = {"schema": reference(answer.content), "example": orjson.loads(answer.example)}
        described["content"] = {"application/json": json}
    if answer.is_html:
        described["content"] = {"text/html": {"schema": {"type": "string"}}}
    if answer.links:
        described["links"] = {
            name: {"operationId": target, "parameters": dict(parameters)}
            for name, (target, parameters) in answer.links.items()
        }
    return described
