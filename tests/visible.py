# SPDX-License-Identifier: MIT
"""Which characters a person can see, told from their Unicode category: the model of blank texts."""

import unicodedata


def _ranges(*ranges: tuple[int, int]) -> frozenset[str]:
    return frozenset(chr(each) for first, last in ranges for each in range(first, last + 1))


FORMATS_WITH_A_SHAPE = _ranges(
    (0x600, 0x605), (0x6DD, 0x6DD), (0x70F, 0x70F), (0x890, 0x891), (0x8E2, 0x8E2),
    (0x110BD, 0x110BD), (0x110CD, 0x110CD),
)  # fmt: skip
"""Signs that surround the digits that follow, such as U+06DD, the Arabic end of ayah."""

SYMBOLS_WITHOUT_A_SHAPE = frozenset("\u115f\u1160\u3164\uffa0\u2800\U0001d159")

MARKS_WITHOUT_A_SHAPE = _ranges(
    (0x34F, 0x34F), (0x17B4, 0x17B5), (0x180B, 0x180D), (0x180F, 0x180F), (0xFE00, 0xFE0F),
    (0x16FE4, 0x16FE4), (0xE0100, 0xE01EF),
)  # fmt: skip

RESERVED_WITHOUT_A_SHAPE = _ranges(
    (0x2065, 0x2065), (0xFFF0, 0xFFF8), (0xE0000, 0xE0FFF), (0x13430, 0x13442)
)
"""Not assigned in every version of Unicode that Python has."""

_WITHOUT_A_SHAPE = SYMBOLS_WITHOUT_A_SHAPE | MARKS_WITHOUT_A_SHAPE | RESERVED_WITHOUT_A_SHAPE


def is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    if character in "\n\t" or category.startswith("Z"):
        return False
    if category == "Cf":
        return character in FORMATS_WITH_A_SHAPE
    return character not in _WITHOUT_A_SHAPE


def expected_form(text: str) -> str:
    """NFC, trimmed; empty if nothing of it can be seen."""
    normal = unicodedata.normalize("NFC", text).strip()
    return normal if any(map(is_visible, normal)) else ""
