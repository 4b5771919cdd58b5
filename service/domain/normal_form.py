# SPDX-License-Identifier: MIT
"""The normal form of a text, whose length counts and which is stored."""

import re
import unicodedata
from itertools import groupby

_LONG_RUN = re.compile(r"[^\w\x00-\x7f]{100}")
"""Every long run of combining marks has such a part; few other texts do."""

_WHITE_SPACE = "\t\n\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_DEFAULT_IGNORABLE = (  # the property Default_Ignorable_Code_Point: joiners, fillers, selectors
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_BLANK = "\u2800\ufff9-\ufffb\U00013430-\U00013442\U00016fe4\U0001d159"
"""Other characters without a shape: the empty braille cell, fillers and controls of scripts."""

_VISIBLE = re.compile(f"[^{_WHITE_SPACE}{_DEFAULT_IGNORABLE}{_BLANK}]")
"""Control characters count as visible here, so that they are refused and not ignored."""


def normalize(text: str) -> str:
    """Unicode NFC, trimmed; empty if no character is visible."""
    normal = _compose(text).strip()
    return normal if _VISIBLE.search(normal) else ""


def _compose(text: str) -> str:
    """NFC. Python sorts a run of combining marks in quadratic time: seconds for 80 KiB of them."""
    if not unicodedata.is_normalized("NFC", text) and _LONG_RUN.search(text):
        text = _decompose(text)
    return unicodedata.normalize("NFC", text)


def _decompose(text: str) -> str:
    """NFD (Unicode, section 3.11): decompose each character, then sort each run of marks."""
    characters = "".join(unicodedata.normalize("NFD", each) for each in text)
    runs = groupby(characters, lambda character: unicodedata.combining(character) > 0)
    return "".join("".join(sorted(run, key=unicodedata.combining)) for _, run in runs)
