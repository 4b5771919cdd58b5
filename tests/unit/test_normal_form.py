# SPDX-License-Identifier: MIT
"""Normal form: NFC as Python makes it, in a time that grows with the length alone."""

import sys
import unicodedata
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain import normal_form
from service.domain.normal_form import normalize
from tests.visible import expected_form, is_visible

MARKS = "\u0300\u0316\u0f73\u0344\u0345\u1dce\u05ae\u0301\U0001d165"
RUNS = st.text(st.sampled_from(MARKS), min_size=100, max_size=400)


@given(st.text(st.characters(codec="utf-8")), RUNS, st.text(st.sampled_from("ae각ᾯ\u1100\u1161")))
def test_is_nfc_also_of_long_runs_of_combining_marks(before: str, run: str, after: str) -> None:
    text = before + run + after + run[::-1]

    assert normalize(text) == expected_form(text)


def test_an_overlay_comes_before_other_marks_in_a_long_run() -> None:
    """Overlays have the lowest combining class, 1."""
    text = "a" + "\u0316" * 100 + "\u0334"

    assert normalize(text) == "a\u0334" + "\u0316" * 100


@pytest.mark.parametrize(
    "run",
    ["\u0300\u0316" * 20_000, "\u0f73" * 20_000, "\u0300" * 20_000 + "\u0316" * 20_000],
    ids=["alternating", "hidden", "descending"],
)
def test_sorts_a_run_of_marks_before_python_does(monkeypatch: pytest.MonkeyPatch, run: str) -> None:
    """Python needs seconds for these, because it sorts a run by insertion."""
    composed = []

    class Recording:
        combining = unicodedata.combining
        is_normalized = unicodedata.is_normalized

        @staticmethod
        def normalize(form: Literal["NFC", "NFD"], text: str) -> str:
            composed.append(text)
            return unicodedata.normalize(form, text)

    monkeypatch.setattr(normal_form, "unicodedata", Recording)
    normalize("a" + run)

    [long] = [text for text in composed if len(text) > 100]
    classes = [unicodedata.combining(mark) for mark in long[1:]]
    assert classes == sorted(classes)


@pytest.mark.parametrize("run", ["\u0301\u0334" * 100, "\u0316\u0334\u0301" * 50])
def test_sorts_marks_of_every_class_also_of_the_lowest(run: str) -> None:
    """U+0334, a tilde through a letter, has the class 1."""
    assert normalize(f"a{run}b") == unicodedata.normalize("NFC", f"a{run}b")


def test_the_pattern_of_a_long_run_finds_every_combining_mark() -> None:
    for character in map(chr, range(0x80, sys.maxunicode + 1)):
        if unicodedata.combining(unicodedata.normalize("NFD", character)[0]):
            assert normal_form._LONG_RUN.search(character * 100), ascii(character)  # noqa: SLF001  no public way shows it


def test_only_visible_characters_make_a_text() -> None:
    """Every character, between two that cannot be seen; a surrogate and a control count as seen."""
    for code_point in range(sys.maxunicode + 1):
        character = chr(code_point)
        text = f"\u200b{character}\u2060"
        assert bool(normalize(text)) is is_visible(character), ascii(character)
