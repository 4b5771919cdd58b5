# SPDX-License-Identifier: MIT
"""Refusals: the schema of each error code, and the answer of an operation for each status."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from typing import Any

import orjson

from service.application.errors import DependencyUnavailable, Overloaded
from service.domain.errors import ServiceError
from service.http.error_responses import STATUS_BY_ERROR, error_response
from service.http.errors import (
    BadRequest,
    ExpectationFailed,
    InternalError,
    MethodNotAllowed,
    NotFound,
    RequestHeaderFieldsTooLarge,
    RequestTimeout,
    UriTooLong,
)
from service.http.openapi.details import DETAILS, Details
from service.http.openapi.examples import ERRORS, REQUEST_ID
from service.http.openapi.headers import EVERY_ANSWER, RESPONSE_HEADERS, header_references
from service.http.openapi.schemas import reference

OF_EVERY_PATH: tuple[type[ServiceError], ...] = (
    BadRequest,
    RequestTimeout,
    UriTooLong,
    ExpectationFailed,
    RequestHeaderFieldsTooLarge,
    InternalError,
    Overloaded,
    DependencyUnavailable,
)
"""Mostly refusals by the server, before an operation has begun."""


def schema_name(code: str) -> str:
    words = code.removesuffix("_ERROR").split("_")
    return "".join(word.capitalize() for word in words) + "Error"


def error_schemas() -> dict[str, Any]:
    """By name; one for each code."""
    return {schema_name(code): _error_schema(code) for code in sorted(_CODES)}


def details_types() -> list[Any]:
    return [Details, *DETAILS.values()]


def refusals(
    errors: Iterable[type[ServiceError]], examples: Mapping[type[ServiceError], ServiceError]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each status, and the answer with it. `examples` stand for those of `ERRORS`."""
    ordered = sorted(errors, key=STATUS_BY_ERROR.__getitem__)
    for status, group in groupby(ordered, STATUS_BY_ERROR.__getitem__):
        given = [(kind, (examples[kind],) if kind in examples else ERRORS[kind]) for kind in group]
        yield status, _refusal(status.phrase, given)


def unknown_path() -> dict[str, Any]:
    return _refusal("Unknown path", [(NotFound, ERRORS[NotFound])])


def method_not_allowed() -> dict[str, Any]:
    refusal = _refusal("Wrong method", [(MethodNotAllowed, ERRORS[MethodNotAllowed])])
    refusal["headers"] |= header_references("Allow")
    return refusal


def _refusal(
    phrase: str, given: list[tuple[type[ServiceError], tuple[ServiceError, ...]]]
) -> dict[str, Any]:
    kinds = [kind for kind, _ in given]
    answers = {
        f"{kind.__name__}{number or ''}": error_response(error, REQUEST_ID)
        for kind, errors in given
        for number, error in enumerate(errors)
    }
    codes = sorted({kind.code for kind in kinds})
    return {
        "description": f"{phrase}: {', '.join(f'`{code}`' for code in codes)}.",
        "headers": _headers([answer.headers for answer in answers.values()]),
        "content": {
            "application/json": {
                "schema": _envelope(codes),
                "examples": {
                    name: {"value": orjson.loads(answer.body)} for name, answer in answers.items()
                },
            }
        },
    }


def _headers(of_answers: list[Mapping[str, str]]) -> dict[str, Any]:
    """Those that the answers really have."""
    names = [name for name in RESPONSE_HEADERS if any(name in headers for headers in of_answers)]
    return header_references(*EVERY_ANSWER, *names)


def _envelope(codes: list[str]) -> dict[str, Any]:
    references = [{"$ref": f"#/components/schemas/{schema_name(code)}"} for code in codes]
    mapping = {code: f"#/components/schemas/{schema_name(code)}" for code in codes}
    one_of = {"oneOf": references, "discriminator": {"propertyName": "code", "mapping": mapping}}
    error = references[0] if len(references) == 1 else one_of
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def _error_schema(code: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "code": {"type": "string", "const": code},
            "message": {"type": "string", "description": "For people; it may change."},
            "details": reference(DETAILS.get(code, Details)),
        },
        "required": ["code", "message", "details"],
    }


_CODES = {kind.code for kind in STATUS_BY_ERROR}
