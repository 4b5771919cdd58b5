# SPDX-License-Identifier: MIT
"""Texts that users write: the reason of a failure, and notes."""

import re
from dataclasses import dataclass
from typing import ClassVar, Self

from service.domain.errors import InvalidNotes, InvalidReason, InvalidText
from service.domain.normal_form import normalize

FORBIDDEN_CONTROLS = "\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f"
"""Ranges of a pattern: all control characters but newline and tab."""

_FORBIDDEN = re.compile(f"[{FORBIDDEN_CONTROLS}\\ud800-\\udfff]")


@dataclass(frozen=True, slots=True)
class Text:
    """A normalized text, never empty. `max_length` is in code points.

    Newline and tab are allowed. PostgreSQL stores neither NUL nor lone surrogates, and the other
    control characters would let a text forge lines of a log or a terminal.
    """

    error: ClassVar[type[InvalidText]]
    max_length: ClassVar[int]

    text: str

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """The normalized text, or None if nothing is left of it.

        Raises InvalidText for forbidden characters and for too many code points.
        """
        normalized = normalize(text or "")
        if not normalized:
            return None
        if len(normalized) > cls.max_length:
            raise cls.error.too_long(length=len(normalized), max_length=cls.max_length)
        if forbidden := _FORBIDDEN.search(normalized):
            raise cls.error.forbidden(forbidden.group(), index=forbidden.start())
        return cls(normalized)


class Reason(Text):
    """Why a training was interrupted."""

    error = InvalidReason
    max_length = 500


class Notes(Text):
    """A user's notes on a training."""

    error = InvalidNotes
    max_length = 2000
