# SPDX-License-Identifier: MIT
"""Fails a test during which a secret, a reason or notes come into a log, at any level.

What is logged in this process comes here through `Watched`, and what `serve` and the other commands
print through `Process`. A secret is found by its form (a token, a URL with a password, a private
key) or because the tests know it: their passwords, and the users' own words in sessions and in the
bodies of requests.
"""

import io
import json
import re
from collections.abc import Iterator
from typing import TextIO

FORMS = {
    "a token": re.compile(r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"),
    "a URL with a password": re.compile(r"""\w+://[^\s/@:"']*:[^\s/@"']+@"""),
    "a private key": re.compile("PRIVATE KEY"),
}
LETTERS_MIN = 6
NEEDLE = 12
"""So much of a text is looked for, so that a text is found that was cut off."""

_HUMAN = re.compile(r'"(?:reason|notes)"\s*:\s*"((?:[^"\\]|\\.)*)"')
_PROSE = re.compile(r"\w\W+\w|[^\W\x00-\x7f]")

_secrets = {"knee", "shoulder", "barku"}
_words: set[str] = set()
_logged: list[str] = []


def never_logged(secret: str) -> str:
    """The secret, which no log of the run may have."""
    _secrets.add(secret)
    return secret


def never_log_words(text: str) -> None:
    """Words of a user, which no log of this test may have.

    A single word, such as `null` or `request`, may be there by chance.
    """
    needle = text.strip()[:NEEDLE]
    if len(needle) >= LETTERS_MIN and _PROSE.search(needle):
        _words.update((needle, json.dumps(needle)[1:-1], repr(needle)[1:-1]))


def never_log_body(body: bytes) -> None:
    """The words of the user in the body of a request, which may be no valid JSON."""
    for found in _HUMAN.findall(body.decode(errors="replace")):
        try:
            never_log_words(json.loads(f'"{found}"', strict=False))
        except ValueError:
            never_log_words(found)


def look(text: str) -> None:
    _logged.append(text)


class Watched(io.TextIOBase):
    """A stream for logs, which are looked at and passed on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        look(text)
        return self._stream.write(text)

    def flush(self) -> None:
        """Python also flushes it at the end of the process, when the stream may be closed."""
        if not self._stream.closed:
            self._stream.flush()


def assert_none() -> None:
    """At the end of each test: also a text that became known after it was logged is found."""
    found = list(_find("".join(_logged), _secrets | _words))
    _logged.clear()
    _words.clear()
    assert not found, "\n".join(["The log has what it must not have:", *found])


def _find(text: str, known: set[str]) -> Iterator[str]:
    for kind, pattern in FORMS.items():
        if match := pattern.search(text):
            yield f"{kind}: {_line(text, match.start())}"
    for needle in known:
        if needle in text:
            yield f"{needle!r}: {_line(text, text.index(needle))}"


def _line(text: str, place: int) -> str:
    start = text.rfind("\n", 0, place) + 1
    return text[start:].partition("\n")[0]
