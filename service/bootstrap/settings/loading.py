# SPDX-License-Identifier: MIT
"""Reads settings, and explains wrong ones without their values."""

import difflib
import os
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from service.bootstrap.settings.api import Settings
from service.bootstrap.settings.environment import PREFIX, Environment
from service.bootstrap.settings.relay import RelaySettings

TESTS_PREFIX = "SERVICE_TEST_"

S = TypeVar("S", bound=Environment)


class WrongSettings(Exception):
    """One sentence for each wrong setting: its name and the reason, never its value."""


def load(kind: type[S], **given: Any) -> S:
    """Reads the settings; `given` overrides the environment. Raises WrongSettings."""
    if misspelled := _misspelled():
        raise WrongSettings("\n".join(misspelled))
    try:
        return kind(**given)
    except ValidationError as exc:
        raise WrongSettings("\n".join(_sentence(error) for error in exc.errors())) from None


def all_settings() -> dict[str, FieldInfo]:
    return Settings.model_fields | RelaySettings.model_fields


def _misspelled() -> list[str]:
    """One sentence for each variable that resembles a setting; it would have no effect."""
    known = [f"{PREFIX}{name}".upper() for name in all_settings()]
    given = [name for name in os.environ if name.startswith(PREFIX) and name not in known]
    return [
        f"{name} is not a setting; did you mean {close[0]}?"
        for name in sorted(given)
        if not name.startswith(TESTS_PREFIX)
        and (close := difflib.get_close_matches(name, known, n=1, cutoff=0.9))
    ]


def _sentence(error: ErrorDetails) -> str:
    problem = error["msg"].removeprefix("Value error, ").rstrip(".")
    if not error["loc"]:
        return f"{problem}."
    name = f"{PREFIX}{error['loc'][0]}".upper()
    if error["type"] == "missing":
        return f"{name} must be set."
    end = "" if problem.endswith("?") else "."
    return f"{name} is wrong: {problem[0].lower()}{problem[1:]}{end}"
