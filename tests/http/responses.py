# SPDX-License-Identifier: MIT
"""Error responses, and the header of JSON bodies."""

from typing import Any

import httpx2

JSON = {"Content-Type": "application/json"}


def error_of(response: httpx2.Response) -> dict[str, Any]:
    error: dict[str, Any] = response.json()["error"]
    assert error["details"].pop("requestId") == response.headers["X-Request-Id"]
    assert error["message"]
    return error
