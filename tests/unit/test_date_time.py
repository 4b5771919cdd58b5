# SPDX-License-Identifier: MIT
"""Times of RFC 3339: which are taken, what they become, and what is said about the others."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.date_time import InvalidDateTime, parse_date_time
from tests.builders import code_points

NINE = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22T09:00:00Z", NINE),
        ("2026-11-22t09:00:00z", NINE),
        ("2026-11-22T09:00:00-00:00", NINE),
        ("2026-11-22T09:00:00+00:00", NINE),
        ("2026-11-22T14:45:00+05:45", NINE),
        ("2026-11-22T21:30:00+12:30", NINE),
        ("2026-11-23T08:59:00+23:59", NINE),
        ("2026-11-21T09:01:00-23:59", NINE),
        ("2026-11-22T09:00:00.0Z", NINE),
        ("2026-11-22T09:00:00.5Z", NINE.replace(microsecond=500_000)),
        ("2026-11-22T09:00:00.000001Z", NINE.replace(microsecond=1)),
        ("2026-11-22T09:00:00.1234567Z", NINE.replace(microsecond=123_456)),
        ("2026-11-22T09:00:00.999999999+00:00", NINE.replace(microsecond=999_999)),
        ("2028-02-29T23:59:59Z", datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC)),
        ("0001-12-31T23:59:59-00:01", datetime(2, 1, 1, 0, 0, 59, tzinfo=UTC)),
        ("9999-01-01T00:00:00+00:01", datetime(9998, 12, 31, 23, 59, tzinfo=UTC)),
    ],
)
def test_takes_a_time_of_rfc_3339_and_cuts_it_to_the_microsecond(
    text: str, moment: datetime
) -> None:
    parsed = parse_date_time(text)

    assert parsed == moment
    assert parsed.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("2026-11-22T09:00:00+01:60", "with a zone"),
        ("2026-11-22T09:00:00+00:99", "with a zone"),
        ("2026-11-22T09:00:00+24:00", "with a zone"),
        ("2026-11-22T09:00:00-24:00", "with a zone"),
        ("2026-11-22T09:00:00+99:99", "with a zone"),
        ("2026-11-22T09:00:00+0100", "with a zone"),
        ("2026-11-22T09:00:00+01", "with a zone"),
        ("2026-11-22T09:00:00+1:00", "with a zone"),
        ("2026-11-22T09:00:00+01:00:00", "with a zone"),
        ("2026-11-22T09:00:00+01:00.5", "with a zone"),
        ("2026-11-22T09:00:00 01:00", "with a zone"),
        ("2026-11-22T09:00:00\u221201:00", "with a zone"),
        ("2026-11-22T09:00:00Z+01:00", "with a zone"),
        ("2026-11-22T09:00:00ZZ", "with a zone"),
        ("2026-11-22T09:00:00", "with a zone"),
        ("2026-11-22T24:00:00Z", "with a zone"),
        ("2026-11-22T23:60:00Z", "with a zone"),
        ("2026-11-22T09:00Z", "with a zone"),
        ("2026-11-22T09Z", "with a zone"),
        ("2026-11-22T09:00:00.Z", "with a zone"),
        ("2026-11-22T09:00:00,5Z", "with a zone"),
        ("2026-11-22 09:00:00Z", "with a zone"),
        ("2026-11-22_09:00:00Z", "with a zone"),
        ("20261122T090000Z", "with a zone"),
        ("2026-W47-7T09:00:00Z", "with a zone"),
        ("2026-326T09:00:00Z", "with a zone"),
        ("26-11-22T09:00:00Z", "with a zone"),
        ("+2026-11-22T09:00:00Z", "with a zone"),
        ("12026-11-22T09:00:00Z", "with a zone"),
        ("2026-11-22T09:00:00Z\n", "with a zone"),
        (" 2026-11-22T09:00:00Z", "with a zone"),
        ("\uff12026-11-22T09:00:00Z", "with a zone"),
        ("2026-11-22T09:00:0\u0660Z", "with a zone"),
        ("2026-11-22T09:00:00.\u0661Z", "with a zone"),
        ("2026-11-22\u017f09:00:00Z", "with a zone"),
        ("", "with a zone"),
        ("now", "with a zone"),
        ("1763802000", "with a zone"),
        ("2026-11-22T09:00:00.1234567890Z", "fraction"),
        ("2026-11-22T09:00:00." + "0" * 5000 + "Z", "fraction"),
        ("2016-12-31T23:59:60Z", "leap second"),
        ("2017-01-01T00:59:60.5+01:00", "leap second"),
        ("2026-11-22T09:00:61Z", "with a zone"),
        ("2026-02-29T09:00:00Z", "calendar"),
        ("2026-11-31T09:00:00Z", "calendar"),
        ("2026-13-01T09:00:00Z", "calendar"),
        ("2026-00-10T09:00:00Z", "calendar"),
        ("2026-11-00T09:00:00Z", "calendar"),
        ("0001-12-31T23:59:59Z", "year"),
        ("0001-01-01T00:00:00+23:59", "year"),
        ("0002-01-01T00:00:00+00:01", "year"),
        ("9999-01-01T00:00:00Z", "year"),
        ("9999-12-31T23:59:59-23:59", "year"),
        ("9998-12-31T23:59:59-00:01", "year"),
    ],
    ids=code_points,
)
def test_refuses_what_rfc_3339_refuses_and_says_which_part(text: str, why: str) -> None:
    with pytest.raises(InvalidDateTime, match=why):
        parse_date_time(text)


zones = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


years_that_fit = st.datetimes(
    datetime(3, 1, 1),  # noqa: DTZ001  hypothesis wants bounds without a zone
    datetime(9997, 12, 31),  # noqa: DTZ001  without a zone
    timezones=zones,
)


@given(years_that_fit)
def test_reads_back_what_python_writes(moment: datetime) -> None:
    assert parse_date_time(moment.isoformat()) == moment


@given(
    st.from_regex(
        r"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-9]{2}:[0-9]{2}([+-][0-9]{2}:[0-9]{2}|Z)",
        fullmatch=True,
    )
)
def test_what_it_takes_is_the_same_time_to_python(text: str) -> None:
    try:
        parsed = parse_date_time(text)
    except InvalidDateTime:
        return
    assert parsed == datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tomorrow", "It must be a time with a zone, like 2026-11-22T09:00:00Z."),
        ("2026-11-22T09:00:60Z", "Its second must be 00 to 59: a leap second cannot be stored."),
        ("2026-02-30T09:00:00Z", "Its day must exist in the calendar."),
        ("0001-12-31T23:59:59Z", "Its year in UTC must be 2 to 9998."),
        ("9999-12-31T23:59:59-23:59", "Its year in UTC must be 2 to 9998."),
    ],
    ids=["form", "leap second", "day", "year", "year beyond Python's"],
)
def test_says_in_a_sentence_what_a_time_must_be(text: str, sentence: str) -> None:
    with pytest.raises(InvalidDateTime) as refused:
        parse_date_time(text)
    assert str(refused.value) == sentence


def test_the_time_is_in_utc_whatever_the_zone_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "Asia/Kolkata")
        time.tzset()
        parsed = parse_date_time("2026-11-22T09:00:00+05:30")
    time.tzset()

    assert parsed.isoformat() == "2026-11-22T03:30:00+00:00"
