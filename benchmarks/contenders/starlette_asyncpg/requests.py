# SPDX-License-Identifier: MIT
"""Parses and validates requests."""

import re
from typing import Any, TypeVar
from uuid import UUID

from pydantic import BaseModel
from starlette.requests import Request

from benchmarks.contenders.contract import Refused

_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)

B = TypeVar("B", bound=BaseModel)


def session_id_of(request: Request[Any]) -> UUID:
    given = request.path_params["session_id"]
    if not _CANONICAL_UUID.fullmatch(given):
        raise Refused("VALIDATION_ERROR", "The session's id has to be a UUID.")
    return UUID(given)


async def body_of(request: Request[Any], schema: type[B]) -> B:
    """Raises pydantic's ValidationError; an absent body is an empty object."""
    return schema.model_validate_json(await request.body() or b"{}")
