# SPDX-License-Identifier: MIT
"""Times that users and operators write, in the form of RFC 3339."""

import re
from datetime import UTC, datetime

_YEARS = range(2, 9999)
"""The years of the database without year 1, which the driver may read as minus infinity."""

_FRACTION_DIGITS_MAX = 9
_HOUR_AND_MINUTE = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_DATE_TIME = re.compile(
    rf"(?P<minute>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}[Tt]{_HOUR_AND_MINUTE}):"
    r"(?P<second>[0-5][0-9]|60)(?:\.(?P<fraction>[0-9]+))?"
    rf"(?P<zone>[Zz]|[+-]{_HOUR_AND_MINUTE})"
)


class InvalidDateTime(ValueError):
    """Its text is a sentence for the caller."""


def parse_date_time(text: str) -> datetime:
    """The time in UTC, cut to the microsecond. Raises InvalidDateTime.

    Python's parser takes more than RFC 3339: an hour 24, an offset of 99 minutes, a week's day.
    """
    match = _DATE_TIME.fullmatch(text)
    if match is None:
        raise InvalidDateTime("It must be a time with a zone, like 2026-11-22T09:00:00Z.")
    if match["second"] == "60":
        raise InvalidDateTime("Its second must be 00 to 59: a leap second cannot be stored.")
    fraction = match["fraction"] or "0"
    if len(fraction) > _FRACTION_DIGITS_MAX:
        raise InvalidDateTime(f"Its fraction may have at most {_FRACTION_DIGITS_MAX} digits.")
    return _to_utc(f"{match['minute']}:{match['second']}.{fraction:.6}{match['zone']}".upper())


def _to_utc(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidDateTime("Its day must exist in the calendar.") from None
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise _year_out_of_range() from None
    if moment.year not in _YEARS:
        raise _year_out_of_range()
    return moment


def _year_out_of_range() -> InvalidDateTime:
    return InvalidDateTime(f"Its year in UTC must be {_YEARS[0]} to {_YEARS[-1]}.")
