# SPDX-License-Identifier: MIT
"""Text of users: its normal form, length and allowed characters."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import InvalidNotes, InvalidReason
from service.domain.text import Notes, Reason
from tests.builders import code_points
from tests.visible import expected_form


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("shoulder pain", "shoulder pain"),
        ("  cramp \n", "cramp"),
        ("line one\n\tline two", "line one\n\tline two"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u212b", "\u00c5"),
        ("ból barku 💪🏽", "ból barku 💪🏽"),
        ("\u3000knee\u00a0", "knee"),
        ("rain\u200d", "rain\u200d"),
    ],
    ids=[
        "plain",
        "trimmed",
        "newline and tab",
        "NFC",
        "angstrom",
        "emoji",
        "wide spaces",
        "joiner",
    ],
)
def test_returns_the_normal_form(text: str, kept: str) -> None:
    assert Reason.parse(text) == Reason(kept)


INVISIBLE = {
    "zero width space": "\u200b",
    "byte order mark": "\ufeff",
    "word joiner": "\u2060",
    "soft hyphen": "\u00ad",
    "joiners": "\u200d\u200c",
    "Mongolian vowel separator": "\u180e",
    "directions": "\u202a\u202e\u202c\u2066\u2069\u200e\u200f\u061c",
    "variation selectors": "\ufe0f\ufe0e\U000e0100",
    "tags": "\U000e0001\U000e0067\U000e007f",
    "Hangul fillers": "\u115f\u1160\u3164\uffa0",
    "empty braille cell": "\u2800",
    "grapheme joiner": "\u034f",
    "invisible operators": "\u2061\u2062\u2063\u2064",
    "between spaces": " \u200b \n\u3000\ufeff\t",
    "lines": "\u2028\u200b\u2029",
    "longer than a reason": "\u200b" * 501,
}


@pytest.mark.parametrize("text", [None, "", " ", "\n\t", "\u2003"])
def test_blank_text_becomes_none(text: str | None) -> None:
    assert Reason.parse(text) is None


@pytest.mark.parametrize("text", INVISIBLE.values(), ids=INVISIBLE)
def test_text_without_a_visible_character_becomes_none(text: str) -> None:
    assert Reason.parse(text) is None
    assert Notes.parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "\u200bknee\ufeff",
        "👩\u200d🚒",
        "❤\ufe0f",
        "1\ufe0f\u20e3",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "\u0645\u06cc\u200c\u062e\u0648\u0631\u0645",
        "\u202eknee\u202c",
        "\u0301",
        "\ufffc",
        "\ue000",
        "\u0378",
        ".",
    ],
    ids=code_points,
)
def test_a_visible_text_keeps_its_invisible_characters(text: str) -> None:
    assert Reason.parse(text) == Reason(text)


@pytest.mark.parametrize(
    "text", ["\u200b\x00", "\u200b\x1c\u200b", "\ufeff\x1b\u200b", "\u200b\ud800"]
)
def test_refuses_a_forbidden_character_among_invisible_ones(text: str) -> None:
    with pytest.raises(InvalidReason, match="U\\+"):
        Reason.parse(text)


@pytest.mark.parametrize(
    "code_point",
    [0x00, 0x07, 0x0B, 0x0D, 0x1B, 0x7F, 0x85, 0x9B, 0xD800, 0xDFFF],
    ids="U+{:04X}".format,
)
def test_refuses_forbidden_characters(code_point: int) -> None:
    with pytest.raises(InvalidReason) as refused:
        Reason.parse(f"knee{chr(code_point)}hurts")

    assert refused.value.details == {"codePoint": f"U+{code_point:04X}", "index": 4}


def test_counts_code_points_of_the_normal_form() -> None:
    assert Reason.parse(" " + "e\u0301" * 500 + " ") == Reason("\u00e9" * 500)
    assert Reason.parse("💪" * 500) is not None


def test_refuses_more_than_500_code_points() -> None:
    with pytest.raises(InvalidReason) as refused:
        Reason.parse("a" * 501)

    assert refused.value.code == "INVALID_REASON"
    assert refused.value.details == {"maxLength": 500, "length": 501}


def test_notes_follow_the_same_rules_with_another_limit_and_error() -> None:
    assert Notes.parse(" leg day\n") == Notes("leg day")
    assert Notes.parse(" ") is None
    assert Notes.parse("a" * 2000) == Notes("a" * 2000)
    with pytest.raises(InvalidNotes) as refused:
        Notes.parse("a" * 2001)

    assert refused.value.code == "INVALID_NOTES"
    assert refused.value.message == "The notes may have 2000 characters, not 2001."


@given(st.text(st.characters(codec=None), max_size=600))
def test_any_text_becomes_its_normal_form_or_is_refused(text: str) -> None:
    try:
        reason = Reason.parse(text)
    except InvalidReason:
        return
    kept = reason.text if reason else ""
    assert kept == expected_form(text)
    assert len(kept) <= 500
    assert not any(
        unicodedata.category(each) in {"Cc", "Cs"} for each in kept if each not in "\n\t"
    )
    assert Reason.parse(kept) == reason
