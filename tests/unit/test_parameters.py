# SPDX-License-Identifier: MIT
"""What the answer says of a query parameter that is not valid."""

from typing import Any

import pytest
from starlette.requests import Request

from service.domain.date_time import InvalidDateTime, parse_date_time
from service.http.errors import ValidationFailed
from service.http.parameters import ListParameters, parse_session_id


def issue_of(query: str) -> tuple[str, str]:
    """The code and the message of the only issue."""
    request = Request({"type": "http", "query_string": query.encode()})
    with pytest.raises(ValidationFailed) as caught:
        ListParameters.parse(request)
    issues: Any = caught.value.details["issues"]
    [issue] = issues
    return issue["code"], issue["message"]


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("limit=ten", "invalid_type", "It must be a whole number."),
        ("limit=101", "too_large", "It must be at most 100."),
        ("limit=1&limit=2", "repeated", "It may be given once."),
        ("status=tired", "unknown_value", "This status does not exist."),
        ("page=2", "unknown_field", "This field does not exist."),
    ],
    ids=["number", "bound", "repeated", "status", "name"],
)
def test_says_what_is_wrong(query: str, code: str, message: str) -> None:
    assert issue_of(query) == (code, message)


def test_says_that_a_path_has_no_uuid() -> None:
    request = Request({"type": "http", "path_params": {"session_id": "knee"}})
    with pytest.raises(ValidationFailed) as caught:
        parse_session_id(request)

    issue = {"path": ["sessionId"], "code": "invalid_uuid", "message": "It must be a UUID."}
    assert caught.value.details == {"issues": [issue]}


def test_says_of_a_time_what_its_parser_says() -> None:
    with pytest.raises(InvalidDateTime) as caught:
        parse_date_time("2026-11-22")

    assert issue_of("from=2026-11-22") == ("invalid_date_time", str(caught.value))
