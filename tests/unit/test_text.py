"""Text of users: its normal form, length and allowed characters."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import InvalidNotes, InvalidReason
from service.domain.text import Notes, Reason


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


@pytest.mark.parametrize("text", [None, "", " ", "\n\t", "\u2003"])
def test_blank_text_becomes_none(text: str | None) -> None:
    assert Reason.parse(text) is None


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
    assert kept == unicodedata.normalize("NFC", text).strip()
    assert len(kept) <= 500
    assert not any(
        unicodedata.category(each) in {"Cc", "Cs"} for each in kept if each not in "\n\t"
    )
    assert Reason.parse(kept) == reason
