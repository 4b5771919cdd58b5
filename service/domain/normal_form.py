"""The normal form of a text, whose length counts and which is stored."""

import re
import unicodedata
from itertools import groupby

_LONG_RUN = re.compile(r"[^\w\x00-\x7f]{100}")
"""Every long run of combining marks has such a part; few other texts do."""


def normalize(text: str) -> str:
    """Unicode NFC, trimmed."""
    return _compose(text).strip()


def _compose(text: str) -> str:
    """NFC. Python sorts a run of combining marks in quadratic time: seconds for 80 KiB of them."""
    if not unicodedata.is_normalized("NFC", text) and _LONG_RUN.search(text):
        text = _decompose(text)
    return unicodedata.normalize("NFC", text)


def _decompose(text: str) -> str:
    """NFD (Unicode, section 3.11): decompose each character, then sort each run of marks."""
    characters = "".join(unicodedata.normalize("NFD", each) for each in text)
    runs = groupby(characters, lambda character: unicodedata.combining(character) > 0)
    return "".join(
        "".join(sorted(run, key=unicodedata.combining) if are_marks else run)
        for are_marks, run in runs
    )
