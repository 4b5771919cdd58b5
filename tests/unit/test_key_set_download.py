# SPDX-License-Identifier: MIT
"""Why a key set could not be fetched, in words that repeat nothing of its URL."""

import json
import ssl

import httpx2
import pytest

from service.http.key_set_download import fetch_cause, status_of

REQUEST = httpx2.Request("GET", "https://coach:whistle@issuer.example/keys?token=whistle")


def caused(cause: Exception) -> httpx2.ConnectError:
    """As the client raises it: a cause behind its own error, and its URL in the words."""
    between = RuntimeError("whistle")
    between.__context__ = cause
    error = httpx2.ConnectError("whistle")
    error.__cause__ = between
    return error


def a_certificate_error() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "whistle")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            httpx2.HTTPStatusError("whistle", request=REQUEST, response=httpx2.Response(503)),
            "it answers with the status 503",
        ),
        (TimeoutError(), "it does not answer in time"),
        (json.JSONDecodeError("whistle", "", 0), "its answer is no key set"),
        (RecursionError("whistle"), "its answer is no key set"),
        (
            caused(a_certificate_error()),
            "its certificate is not trusted (self-signed certificate)",
        ),
        (
            caused(ConnectionRefusedError(111, "Connection refused")),
            "it cannot be reached (Connection refused)",
        ),
        (caused(OSError("All attempts failed")), "it cannot be reached (ConnectError)"),
        (httpx2.RemoteProtocolError("whistle"), "it cannot be reached (RemoteProtocolError)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_says_why(error: Exception, words: str) -> None:
    assert fetch_cause(error) == words


def test_only_an_answer_has_a_status() -> None:
    assert status_of(TimeoutError()) is None
