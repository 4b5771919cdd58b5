# SPDX-License-Identifier: MIT
"""curl lines of the pages, run in a shell."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest

from tests.builders import a_token
from tests.documents.blocks import block
from tests.documents.console import Command, commands, typed
from tests.documents.http import assert_same, parse
from tests.running import App, TestDatabase
from tests.system.processes import a_service

CALLS_OF_THE_API = [
    each for each in commands() if each.words[0] == "curl" and ":8000" in each.words[-1]
]


@pytest.fixture
async def planned(app: App) -> dict[str, Any]:
    """A session as `POST /sessions` answers it; its user is `userId`."""
    user_id = uuid4()
    body = {"sets": [12, 10, None], "startNow": True}
    answer = await app.call(user_id, "POST", "/sessions", json=body)
    session: dict[str, Any] = answer.json()["data"]["session"]
    return session | {"userId": user_id}


async def test_the_curl_line_of_the_readme_gets_the_answer_of_the_readme(
    app: App, planned: dict[str, Any]
) -> None:
    [curl] = re.findall(r"^    curl (?:\\\n|.)+", block("README.md", "$ make run"), re.MULTILINE)
    script = curl.replace("http://127.0.0.1:8000", app.url).replace("01a20239-…", planned["id"])

    answer = await typed(script.replace("eyJhbGciOi…", a_token(planned["userId"])))

    assert_same(parse(block("README.md", "HTTP/1.1 200 OK")), parse(answer))


@pytest.mark.parametrize("command", CALLS_OF_THE_API, ids=str)
async def test_a_curl_line_for_this_machine_is_answered(app: App, command: Command) -> None:
    *options, url = command.words

    await typed(" ".join(["curl", "-sf", *options, url.replace("localhost:8000", app.url)]))


async def test_the_metrics_are_where_the_page_says(database: TestDatabase) -> None:
    async with a_service(database.api_url, metrics_port="0") as (process, app):
        assert (await app.client.get("/readyz")).status_code == 200
        [found] = [json.loads(line)["url"] for line in process.out if '"event": "metrics"' in line]
        output = await typed(f"curl -sf {found}/metrics")

    assert "training_ready 1" in output
