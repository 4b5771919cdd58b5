# SPDX-License-Identifier: MIT
"""GET /docs: the page, its files, and where they are; tests/browser opens it in a browser."""

import gzip
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest

from service.bootstrap.api import create_app
from service.http.docs import page
from tests.builders import NOWHERE
from tests.http.responses import error_of
from tests.running import NO_AUTHORITIES, App, serving, test_settings

SWAGGER_UI = Path(page.__file__).parent / "swagger_ui"
SUMS = [line.split() for line in (SWAGGER_UI / "SHA256SUMS").read_text().splitlines()]


@asynccontextmanager
async def an_app(**overrides: Any) -> AsyncIterator[App]:
    """Not by `running_app`: the files of the page are no part of the description of the API."""
    settings = test_settings(database_url=NOWHERE, **overrides)
    async with (
        serving(create_app(settings), settings) as url,
        httpx2.AsyncClient(base_url=url, timeout=60, verify=NO_AUTHORITIES) as client,
    ):
        yield App(url, client)


@pytest.fixture
async def app() -> AsyncIterator[App]:
    async with an_app() as app:
        yield app


async def test_the_page_needs_no_token_and_runs_no_script_but_its_own(app: App) -> None:
    response = await app.client.get("/docs")

    assert response.status_code == 200
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    policy = dict(
        each.split(" ", 1) for each in response.headers["Content-Security-Policy"].split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"


@pytest.mark.parametrize(
    ("root_path", "passed_on"),
    [("", ""), ("/v1", "/v1"), ("/v1", ""), ("/docs", "/docs"), ("/docs", "")],
)
async def test_every_link_of_the_page_leads_to_a_file_also_behind_a_proxy(
    root_path: str, passed_on: str
) -> None:
    """`passed_on`: what is left of the root path when the request arrives."""
    async with an_app(root_path=root_path or None) as app:
        html = (await app.client.get(f"{passed_on}/docs")).text
        links = [each for each in re.findall(r'(?:src|href)="([^"]+)"', html) if each != "data:,"]
        files = [urljoin(f"{root_path}/docs", link) for link in links]
        answers = [await app.client.get(passed_on + each.removeprefix(root_path)) for each in files]

    assert "openapi.json" in links
    assert [each.status_code for each in answers] == [200] * len(links)
    assert {each.headers["Content-Type"] for each in answers} == {
        "text/css; charset=utf-8",
        "text/javascript; charset=utf-8",
        "application/json",
    }


@pytest.mark.parametrize("name", ["nothing.js", "page.html", "page.py", "LICENSE", "..%2Fpage.py"])
async def test_serves_no_other_file(app: App, name: str) -> None:
    response = await app.client.get(f"/docs/{name}")

    assert (response.status_code, error_of(response)["code"]) == (404, "NOT_FOUND")


@pytest.mark.parametrize("path", ["/docs", "/docs/page.js", "/openapi.json"])
async def test_returns_404_if_the_setting_turns_it_off(path: str) -> None:
    async with an_app(docs=False) as app:
        response = await app.client.get(path)

    assert (response.status_code, error_of(response)["code"]) == (404, "NOT_FOUND")


async def test_outside_the_demo_the_page_has_no_token_and_the_root_leads_nowhere(app: App) -> None:
    html = (await app.client.get("/docs")).text
    given, root = await app.client.get("/docs/given.json"), await app.client.get("/")

    assert "data-given" not in html
    assert (given.status_code, root.status_code) == (404, 404)


@pytest.mark.parametrize(("digest", "file"), SUMS, ids=[file for _, file in SUMS])
def test_the_files_of_swagger_ui_are_those_of_its_package(digest: str, file: str) -> None:
    content = gzip.decompress((SWAGGER_UI / f"{file}.gz").read_bytes())

    assert hashlib.sha256(content).hexdigest() == digest
