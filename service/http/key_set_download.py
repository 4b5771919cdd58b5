# SPDX-License-Identifier: MIT
"""Downloads a JSON Web Key Set, and says in words why that failed."""

import json
import ssl
from collections.abc import Iterator
from typing import Any

import httpx2

KEY_SET_MAX_BYTES = 256 * 1024

FETCH_ERRORS = (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError, RecursionError)


async def download(client: httpx2.AsyncClient, url: str) -> Any:
    """The JSON at this URL. Raises FETCH_ERRORS. The caller limits the time of the whole."""
    body = b""
    async with client.stream("GET", url, timeout=None) as response:
        response.raise_for_status()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > KEY_SET_MAX_BYTES:
                raise ValueError  # the caller says its type
    return json.loads(body)


def status_of(error: Exception) -> int | None:
    return error.response.status_code if isinstance(error, httpx2.HTTPStatusError) else None


def fetch_cause(error: Exception) -> str:
    """A clause for people; an error's own words could repeat the URL, which may hold a login."""
    if status := status_of(error):
        return f"it answers with the status {status}"
    if isinstance(error, TimeoutError):
        return "it does not answer in time"
    if isinstance(error, ValueError | RecursionError):
        return "its answer is no key set"
    for cause in _chain(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted ({cause.verify_message})"
        if isinstance(cause, OSError) and cause.strerror:
            return f"it cannot be reached ({cause.strerror})"
    return f"it cannot be reached ({type(error).__name__})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
