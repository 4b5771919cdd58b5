# SPDX-License-Identifier: MIT
"""Types of arguments, and how a command fails."""

import argparse
import re
import sys
from datetime import datetime, timedelta
from typing import TypeAlias

from service.domain.date_time import InvalidDateTime, parse_date_time
from service.urls import PORT_MAX, WrongUrl, parse_server_url

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001  it has no public name


_UNITS = {"d": timedelta(days=1), "w": timedelta(weeks=1)}
_AGE_MAX = timedelta(days=36_500)


def fail(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 1


def port(given: str) -> int:
    if re.fullmatch("[0-9]{1,5}", given) and int(given) <= PORT_MAX:
        return int(given)
    raise argparse.ArgumentTypeError(
        f"'{given}' is not a port, which is a number from 1 to {PORT_MAX}, or 0 for a free one"
    )


def server_url(given: str) -> str:
    try:
        parse_server_url(given, "http", "https")
    except WrongUrl as exc:
        raise argparse.ArgumentTypeError(
            f"it must be a URL such as https://api.example.com, but {exc}"
        ) from None
    return given


def moment(given: str) -> datetime:
    try:
        return parse_date_time(given)
    except InvalidDateTime as exc:
        raise argparse.ArgumentTypeError(str(exc)) from None


def age(given: str) -> timedelta:
    """At least a day, so that a slip does not remove what is in use."""
    found = re.fullmatch("([1-9][0-9]{0,5})([dw])", given)
    if found and (wanted := int(found[1]) * _UNITS[found[2]]) <= _AGE_MAX:
        return wanted
    raise argparse.ArgumentTypeError(
        f"'{given}' is not a number of days or weeks, such as 30d or 8w"
    )
