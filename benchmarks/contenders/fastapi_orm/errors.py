# SPDX-License-Identifier: MIT
"""Responses to errors."""

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from benchmarks.contenders.contract import Refused


async def on_refused(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, Refused)  # noqa: S101  it is registered for no other
    return JSONResponse(exc.body(request.state.request_id), exc.status_code, exc.headers)


async def on_invalid(request: Request, exc: Exception) -> JSONResponse:
    assert isinstance(exc, RequestValidationError)  # noqa: S101  the same
    issues = [
        {"path": list(error["loc"]), "code": error["type"], "message": error["msg"]}
        for error in exc.errors()
    ]
    refused = Refused("VALIDATION_ERROR", "The request is not valid.", {"issues": issues})
    return await on_refused(request, refused)
