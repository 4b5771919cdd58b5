# SPDX-License-Identifier: MIT
"""Hooks of Schemathesis, which loads them into its process: what no schema can say."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import schemathesis

from service.http.cursors import (
    InvalidCursor,
    decode_position,
    decode_version,
    encode_position,
    encode_version,
)

POSITION = encode_position((datetime(2026, 11, 22, tzinfo=UTC), UUID(int=7)))
VERSION = encode_version(1)


@schemathesis.hook
def before_call(_context: Any, case: schemathesis.Case[Any], _options: Any) -> None:
    """Makes valid what the schema calls valid; requests that are meant to be wrong stay so."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if "cursor" in (case.query or {}):
        case.query["cursor"] = _cursor(case.path, case.query["cursor"])
    if isinstance(case.body, dict):
        case.body = _with_integers(case.body)


def _cursor(path: str, given: str) -> str:
    """The service makes cursors, those of histories in another way."""
    is_history = path.endswith("/events")
    try:
        (decode_version if is_history else decode_position)(given)
    except InvalidCursor:
        return VERSION if is_history else POSITION
    return given


def _with_integers(value: Any) -> Any:
    """JSON Schema takes 7.0 for an integer, and the service does not."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [_with_integers(each) for each in value]
    if isinstance(value, dict):
        return {name: _with_integers(each) for name, each in value.items()}
    return value
