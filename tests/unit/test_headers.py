# SPDX-License-Identifier: MIT
"""Parsing of preconditions, idempotency keys and trace contexts."""

from uuid import uuid4

import pytest

from service.domain.errors import PreconditionFailed
from service.http.errors import ValidationFailed
from service.http.headers import (
    explain_mismatch,
    matches_etag,
    parse_idempotency_key,
    parse_if_match,
    parse_traceparent,
)


@pytest.mark.parametrize(
    ("if_match", "versions"),
    [
        ([], None),
        (["*"], None),
        ([" * "], None),
        (['"3"'], {3}),
        (['"3", "5"'], {3, 5}),
        (['"3"', '"5"'], {3, 5}),
        (['W/"3"'], set()),
        (['W/"3", "4"'], {4}),
        (['W/"3"', '"4"'], {4}),
        (['w/"3"'], set()),
        (['3"3"'], set()),
        (['"3""4"'], set()),
        (['"3"\t,\t"4"'], {3, 4}),
        (['"3-gzip"'], set()),
        (['"3;gz"', '"4"'], {4}),
        (['"03"'], set()),
        (['"0"'], set()),
        (["3"], set()),
        (['"a,b", "7"'], {7}),
        (['"99999999999999999999"'], set()),
        ([""], set()),
    ],
)
def test_parses_the_versions_of_if_match(if_match: list[str], versions: set[int] | None) -> None:
    assert parse_if_match(if_match) == versions


@pytest.mark.parametrize(
    ("if_match", "reason"),
    [
        (['"3"'], "other_version"),
        (['"3", "2"'], "other_version"),
        (['"3", "4-gzip"'], "other_version"),
        (['W/"5"'], "weak_tag"),
        (['W/"3"'], "weak_tag"),
        (['W/"5", "3"'], "weak_tag"),
        (['"3", W/"5"'], "weak_tag"),
        (['"3"', 'W/"5"'], "weak_tag"),
        (['"5-gzip"'], "unknown_tag"),
        (['"5;gz"'], "unknown_tag"),
        (["5"], "unknown_tag"),
        (["W/5"], "unknown_tag"),
        ([""], "unknown_tag"),
    ],
)
def test_explains_why_no_tag_matches_version_5(if_match: list[str], reason: str) -> None:
    error = PreconditionFailed(uuid4(), current_version=5)

    explained = explain_mismatch(error, if_match)

    assert explained.details == error.details | {"reason": reason, "currentVersion": 5}
    assert "at version 5" in explained.message
    assert "changed" not in explained.message
    assert ("weak tag" in explained.message) is (reason == "weak_tag")


@pytest.mark.parametrize(
    ("if_none_match", "named"),
    [
        ([], False),
        (["*"], True),
        (['"2"'], True),
        (['W/"2"'], True),
        (['"1", W/"2"'], True),
        (['"1"', '"2"'], True),
        (['"1"'], False),
        (['w/"2"'], False),
        (["2"], False),
        (['"12"'], False),
    ],
)
def test_if_none_match_compares_weakly(if_none_match: list[str], named: bool) -> None:
    assert matches_etag(if_none_match, '"2"') is named


@pytest.mark.parametrize(
    ("value", "key"),
    [
        ("8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        ('"8e03978e"', "8e03978e"),
        (r'"a\"b\\c"', r"a\"b\\c".replace("\\\\", "\\").replace('\\"', '"')),
        (" padded\t", "padded"),
        ("X-ray-X", "X-ray-X"),
        ("!~", "!~"),
        ("k" * 255, "k" * 255),
        ('"' + "k" * 255 + '"', "k" * 255),
    ],
    ids=[
        "bare",
        "quoted",
        "escaped",
        "padded",
        "letters",
        "any visible",
        "longest",
        "longest quoted",
    ],
)
def test_accepts_a_key_with_or_without_quotes(value: str, key: str) -> None:
    assert parse_idempotency_key([value]) == key


def test_returns_none_without_a_key() -> None:
    assert parse_idempotency_key([]) is None


@pytest.mark.parametrize(
    "values",
    [
        [""], ['""'], ["k" * 256], ["two words"], ['"two words"'], ["clé"], ["a\x7f"], ["\x0ba"],
        ["a", "b"],
    ],
    ids=[
        "empty", "quoted empty", "too long", "space", "quoted space", "accent", "DEL", "tab",
        "two",
    ],
)  # fmt: skip
def test_refuses_malformed_keys(values: list[str]) -> None:
    with pytest.raises(ValidationFailed) as refused:
        parse_idempotency_key(values)

    message = "It must be one header of 1 to 255 visible ASCII characters."
    issue = {"path": ["Idempotency-Key"], "code": "invalid_header", "message": message}
    assert refused.value.details == {"issues": [issue]}


TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([], None),
        ([TRACE], TRACE),
        ([f" {TRACE} "], TRACE),
        ([TRACE, TRACE], None),
        ([TRACE.upper()], None),
        ([TRACE.replace("00-", "ff-", 1)], None),
        (["00-" + "0" * 32 + "-00f067aa0ba902b7-01"], None),
        (["00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01"], None),
        ([TRACE + "\n"], None),
        ([TRACE + "-more"], None),
        (["X" + TRACE], None),
    ],
)
def test_accepts_a_valid_traceparent_and_ignores_others(
    values: list[str], found: str | None
) -> None:
    assert parse_traceparent(values) == found
