"""Why a training was interrupted, in the user's own words."""

import re
import unicodedata
from dataclasses import dataclass
from typing import Self

from service.domain.errors import InvalidReason

DEFAULT_MAX_LENGTH = 500
_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


def normal_form(text: str) -> str:
    """Unicode NFC without white space at the ends: the form that is measured and stored."""
    return unicodedata.normalize("NFC", text).strip()


@dataclass(frozen=True, slots=True)
class Reason:
    """A reason in its normal form; never empty.

    Newline and tab are fine. PostgreSQL can store neither NUL nor lone surrogates, and the
    other control characters would let a reason forge lines in whatever log or terminal shows it.
    """

    text: str

    @classmethod
    def parse(cls, text: str | None, *, max_length: int = DEFAULT_MAX_LENGTH) -> Self | None:
        """`text` in its normal form, or None where nothing is left of it.

        Raises InvalidReason for forbidden characters, and for more than `max_length` code points.
        """
        normal = normal_form(text or "")
        if not normal:
            return None
        if len(normal) > max_length:
            raise InvalidReason(
                f"The reason is longer than {max_length} characters.",
                {"maxLength": max_length, "length": len(normal)},
            )
        if forbidden := _FORBIDDEN.search(normal):
            code_point = f"U+{ord(forbidden.group()):04X}"
            raise InvalidReason(
                f"The reason contains {code_point}, which cannot be kept.",
                {"codePoint": code_point, "index": forbidden.start()},
            )
        return cls(normal)
