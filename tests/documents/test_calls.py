# SPDX-License-Identifier: MIT
"""Requests of the pages, sent to the app; its answers are those of the pages."""

import json
import re
from uuid import UUID, uuid4

import httpx2
import pytest

from service.dev.welcome import DEFAULT_HOME, render_welcome
from service.domain.session import Session
from tests.builders import a_token
from tests.conftest import StartApp
from tests.contract import BECOMES, REQUIRED, STATUSES
from tests.documents.blocks import ROOT, block, matches
from tests.documents.http import Message, assert_same, is_same, parse
from tests.running import App, TestDatabase

SESSION_ID = "01a20239-c243-73f0-be7c-d14da3465fc0"


async def sent(app: App, user_id: UUID, text: str, session: Session | None = None) -> Message:
    """The answer to the request of a page, with a token and the id of a session of this test."""
    request = parse(text)
    method, path, _ = request.start
    answer = await app.client.request(
        method,
        path.replace(SESSION_ID, str(session.id) if session else ""),
        headers=request.headers | {"authorization": f"Bearer {a_token(user_id)}"},
        **({} if request.body is None else {"json": request.body}),
    )
    return as_message(answer)


def as_message(answer: httpx2.Response) -> Message:
    start = ["HTTP/1.1", str(answer.status_code), answer.reason_phrase]
    return Message(start, dict(answer.headers), answer.json())


def test_the_demo_greets_as_in_the_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    welcome = render_welcome(
        8000,
        UUID(SESSION_ID),
        "eyJhbGciOi.A.B",
        home=DEFAULT_HOME,
        data=ROOT / ".data/postgres",
        metrics="http://127.0.0.1:9464/metrics",
    )
    _, _, shown = block("README.md", "$ make run").partition("\n")

    assert matches(shown, welcome.replace(" --noproxy 127.0.0.1", ""))


async def test_the_page_of_the_api_shows_a_change_and_a_failure(
    app: App, database: TestDatabase
) -> None:
    session = await database.a_session(
        status="in_progress", sets=(8,), rpe=None, notes="leg day", version=2
    )

    changed = await sent(app, session.user_id, block("docs/api.md", "PATCH /sessions/"), session)
    failed = await sent(app, session.user_id, block("docs/api.md", "POST /sessions/"), session)
    again = await app.fail(session)

    shown = parse(block("docs/api.md", "HTTP/1.1 200 OK"))
    assert changed.body["data"]["session"]["rpe"] == 7
    assert_same(shown, failed)
    assert is_same(json.loads(block("docs/api.md", '{"error"')), again.json())


async def test_the_page_of_the_api_shows_a_list_and_a_history(
    app: App, database: TestDatabase
) -> None:
    [session, *_] = [
        await database.a_session(status="in_progress", version=2, user_id=user_id)
        for user_id in [uuid4()]
    ]
    await app.fail(session, reason="shoulder pain")
    for _ in range(2):
        await database.a_session(status="completed", user_id=session.user_id)

    found = await sent(app, session.user_id, block("docs/api.md", "GET /sessions?"))
    history = await app.call(session.user_id, "GET", f"/sessions/{session.id}/events")

    assert is_same(
        json.loads(block("docs/api.md", '{"data": {"sessions"')),
        found.body | {"data": {"sessions": ["…" for _ in found.body["data"]["sessions"]]}},
    )
    assert is_same(json.loads(block("docs/api.md", '{"data": {"events"')), history.json())


async def test_the_page_of_the_api_shows_where_the_time_of_a_request_went(
    start_app: StartApp, database: TestDatabase
) -> None:
    shown = block("docs/api.md", "Server-Timing: ")
    app: App = await start_app(server_timing=True)

    answer = await app.fail(await database.a_session())

    names = re.findall(r"(\w+);dur=\d+\.\d\d", shown)
    assert re.findall(r"(\w+);dur=\d+\.\d\d", answer.headers["server-timing"]) == names


def test_the_diagram_has_the_transitions_of_the_contract() -> None:
    diagram = block("docs/api.md", "stateDiagram")
    arrows = set(re.findall(r"^ +(\S+) --> (\S+): (.+)$", diagram, re.MULTILINE))
    moves = {
        (status, BECOMES[command], command)
        for command in ("start", "complete", "fail")
        for status in REQUIRED[command]
    }

    assert arrows - moves == {
        ("[*]", "planned", "POST /sessions"),
        *((each, each, "PATCH") for each in REQUIRED["update"]),
    }
    assert moves <= arrows
    assert set(re.findall(r"(\w+) --> \[\*\]", diagram)) == set(STATUSES[2:])
