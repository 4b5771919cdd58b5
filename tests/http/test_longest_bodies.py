# SPDX-License-Identifier: MIT
"""The limit of a body leaves room for the longest texts in any JSON writing."""

import json
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Any
from uuid import uuid4

import pytest

from service.domain.session import REPETITIONS_MAX, SETS_MAX
from service.domain.text import Notes, Reason
from service.http.schemas import WITH_NOTES_MAX_BYTES, CommandBody
from tests.http.responses import JSON, error_of
from tests.running import App, TestDatabase

LONGEST = {
    ("PlanSessionBody", "notes"): Notes.max_length,
    ("UpdateSessionBody", "notes"): Notes.max_length,
    ("FailSessionBody", "reason"): Reason.max_length,
}
"""The code points of each text field of each command."""

DATE = "2026-11-22T09:00:00.123456789+05:45"


def escaped(text: str) -> str:
    """A JSON string in its longest writing: six bytes for each UTF-16 code unit."""
    units = text.encode("utf-16-be", "surrogatepass")
    return '"' + "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2)) + '"'


@cache
def costliest_character() -> str:
    """The character of NFC whose decomposition has the longest writing."""
    composed = [
        character
        for character in map(chr, range(0x80, sys.maxunicode + 1))
        if unicodedata.decomposition(character) and unicodedata.is_normalized("NFC", character)
    ]
    return max(composed, key=lambda each: len(escaped(unicodedata.normalize("NFD", each))))


WRITINGS: dict[str, Callable[[int], str]] = {
    "emoji, escaped": lambda length: escaped("😀" * length),
    "emoji": lambda length: json.dumps("😀" * length, ensure_ascii=False),
    "letters, escaped": lambda length: escaped("a" * length),
    "quotes": lambda length: json.dumps('"' * length),
    "Vietnamese, decomposed": lambda length: json.dumps(unicodedata.normalize("NFD", "ấ" * length)),
    "Greek, decomposed": lambda length: escaped(unicodedata.normalize("NFD", "ᾯ" * length)),
    "Korean, decomposed": lambda length: escaped(unicodedata.normalize("NFD", "한" * length)),
    "costliest": lambda length: escaped(
        unicodedata.normalize("NFD", costliest_character() * length)
    ),
}


def body_of(text_field: str, text: str, last: tuple[str, str] = ("startNow", "false")) -> bytes:
    """A body with every field at its longest; the text and all names are already JSON."""
    fields = {text_field: text}
    if text_field == "notes":
        fields["sets"] = json.dumps([REPETITIONS_MAX] * SETS_MAX)
        fields |= {"sessionDate": escaped(DATE), last[0]: last[1]}
    members = (f"{escaped(name)} : {value}" for name, value in fields.items())
    return f"{{ {' , '.join(members)} }}".encode()


def test_every_text_field_of_every_command_is_tried() -> None:
    found = {
        (body.__name__, name)
        for body in CommandBody.__subclasses__()
        for name, schema in body.model_json_schema()["properties"].items()
        if any("maxLength" in each for each in schema.get("anyOf", [schema]))
    }
    assert found == LONGEST.keys()


@pytest.mark.parametrize("writing", WRITINGS.values(), ids=WRITINGS)
async def test_takes_the_longest_notes_in_any_writing(
    app: App, database: TestDatabase, writing: Callable[[int], str]
) -> None:
    length = LONGEST["PlanSessionBody", "notes"]
    content = body_of("notes", writing(length))

    response = await app.call(uuid4(), "POST", "/sessions", content=content, headers=JSON)

    assert response.status_code == 201
    assert await database.value("SELECT char_length(notes) FROM sessions") == length


async def test_an_update_takes_the_longest_notes_in_the_costliest_writing(
    app: App, database: TestDatabase
) -> None:
    length = LONGEST["UpdateSessionBody", "notes"]
    session = await database.a_session(status="planned")
    content = body_of("notes", WRITINGS["costliest"](length), ("rpe", "10"))

    path = f"/sessions/{session.id}"
    response = await app.call(session.user_id, "PATCH", path, content=content, headers=JSON)

    assert response.status_code == 200
    assert len((await database.row(session))["notes"]) == length


@pytest.mark.parametrize("writing", [*WRITINGS.values()][:-1], ids=[*WRITINGS][:-1])
async def test_takes_the_longest_reason_in_any_writing_but_the_costliest(
    app: App, database: TestDatabase, writing: Callable[[int], str]
) -> None:
    length = LONGEST["FailSessionBody", "reason"]
    session = await database.a_session()

    content = body_of("reason", writing(length))
    response = await app.fail(session, content=content, headers=JSON)

    assert response.status_code == 200
    [event] = await database.events(session)
    assert len(event["event_data"]["reason"]) == length


@pytest.mark.parametrize("writing", WRITINGS.values(), ids=WRITINGS)
async def test_says_that_a_text_is_too_long_rather_than_its_body(
    app: App, writing: Callable[[int], str]
) -> None:
    content = body_of("notes", writing(Notes.max_length + 1))

    response = await app.call(uuid4(), "POST", "/sessions", content=content, headers=JSON)

    [issue] = error_of(response)["details"]["issues"]
    assert (response.status_code, issue["path"], issue["code"]) == (400, ["notes"], "too_long")


async def test_white_space_around_a_text_counts_for_the_body_alone(app: App) -> None:
    text = json.dumps({"notes": "legs" + " " * 10_000}).encode()
    room = WITH_NOTES_MAX_BYTES - len(text)

    async def plan(content: bytes) -> Any:
        return await app.call(uuid4(), "POST", "/sessions", content=content, headers=JSON)

    assert (await plan(text + b" " * room)).status_code == 201
    assert (await plan(text + b" " * (room + 1))).status_code == 413


async def test_names_at_most_100_issues_of_a_body(app: App) -> None:
    """Thousands would cost more time than a user may take from the others."""
    names = {f"{number:x}": 0 for number in range(8000)}

    response = await app.call(uuid4(), "POST", "/sessions", json=names)

    issues = error_of(response)["details"]["issues"]
    assert response.status_code == 400
    assert [issue["path"] for issue in issues] == [[name] for name in list(names)[:100]]
