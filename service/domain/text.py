"""What users put in their own words: why a training was interrupted, notes on one."""

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar, Self

from service.domain.errors import InvalidNotes, InvalidReason, InvalidText

_FORBIDDEN = re.compile("[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\ud800-\\udfff]")


def normal_form(text: str) -> str:
    """Unicode NFC without white space at the ends: the form that is measured and stored."""
    return unicodedata.normalize("NFC", text).strip()


@dataclass(frozen=True, slots=True)
class Text:
    """A text in its normal form; never empty.

    Newline and tab are fine. PostgreSQL can store neither NUL nor lone surrogates, and the
    other control characters would let a text forge lines in whatever log or terminal shows it.
    """

    refusal: ClassVar[type[InvalidText]]
    max_length: ClassVar[int]

    text: str

    @classmethod
    def parse(cls, text: str | None, *, max_length: int | None = None) -> Self | None:
        """`text` in its normal form, or None where nothing is left of it.

        Raises an InvalidText for forbidden characters, and for more code points than `max_length`.
        """
        normal = normal_form(text or "")
        if not normal:
            return None
        allowed = cls.max_length if max_length is None else max_length
        if len(normal) > allowed:
            raise cls.refusal.too_long(length=len(normal), max_length=allowed)
        if forbidden := _FORBIDDEN.search(normal):
            raise cls.refusal.forbidden(forbidden.group(), index=forbidden.start())
        return cls(normal)


class Reason(Text):
    """Why a training was interrupted."""

    refusal = InvalidReason
    max_length = 500


class Notes(Text):
    """What a user wants to remember of a training."""

    refusal = InvalidNotes
    max_length = 2000
