# SPDX-License-Identifier: MIT
"""Calls from a page of another origin in Chromium: what the page itself can read of the answers."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio
import structlog.testing
from playwright.async_api import Browser
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from service.bootstrap.api import create_app
from tests.browser.chromium import Watched, a_page
from tests.builders import NOWHERE, a_session, a_token, bearer
from tests.http.responses import JSON
from tests.running import TestDatabase, serving, test_settings

ANOTHER_SITE = Starlette(
    routes=[Route("/", lambda _request: HTMLResponse("<link rel=icon href=data:,>"))]
)
CALL = """async ([url, options]) => {
    try {
        const answer = await fetch(url, options);
        return {status: answer.status, etag: answer.headers.get("ETag"), body: await answer.json()};
    } catch (error) {
        return {hidden: error.name};
    }
}"""


@dataclass
class Site:
    """A page of another origin; `api` lists that origin, and `shut_api` another one."""

    page: Watched
    api: str
    broken_api: str
    shut_api: str

    async def call(self, url: str, **options: Any) -> dict[str, Any]:
        result: dict[str, Any] = await self.page.page.evaluate(CALL, [url, options])
        return result


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(browser: Browser, database: TestDatabase) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:

        async def an_api(origin: str, database_url: str) -> str:
            settings = test_settings(database_url=database_url, cors_allowed_origins=origin)
            return await stack.enter_async_context(serving(create_app(settings), settings))

        origin = await stack.enter_async_context(serving(ANOTHER_SITE, test_settings(
            database_url=NOWHERE
        )))  # fmt: skip
        yield Site(
            api=await an_api(origin, database.api_url),
            broken_api=await an_api(origin, NOWHERE),
            shut_api=await an_api("https://gym.example", database.api_url),
            page=await stack.enter_async_context(a_page(browser, origin)),
        )


async def test_after_a_preflight_the_page_reads_a_200_and_its_etag(
    site: Site, database: TestDatabase
) -> None:
    session = await database.a_session()
    headers = bearer(a_token(session.user_id)) | JSON | {"Idempotency-Key": "tap-1"}

    with structlog.testing.capture_logs() as lines:
        result = await site.call(
            f"{site.api}/sessions/{session.id}/fail", method="POST", headers=headers, body="{}"
        )

    assert (result["status"], result["etag"]) == (200, '"2"')
    assert result["body"]["data"]["session"]["status"] == "failed"
    assert [line["method"] for line in lines if line["event"] == "request"] == ["OPTIONS", "POST"]


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        ({"headers": JSON}, 401, "UNAUTHENTICATED"),
        ({"body": "[" * 20_000}, 413, "PAYLOAD_TOO_LARGE"),
    ],
    ids=["401", "413"],
)
async def test_the_page_reads_a_refusal(
    site: Site, options: dict[str, Any], status: int, code: str
) -> None:
    given = {"method": "POST", "headers": bearer(a_token()) | JSON} | options

    result = await site.call(f"{site.api}/sessions/{a_session().id}/fail", **given)

    assert (result["status"], result["body"]["error"]["code"]) == (status, code)


async def test_the_page_reads_a_503(site: Site) -> None:
    result = await site.call(f"{site.broken_api}/sessions", headers=bearer(a_token()))

    assert (result["status"], result["body"]["error"]["code"]) == (503, "DEPENDENCY_UNAVAILABLE")


async def test_the_page_reads_a_500(site: Site, database: TestDatabase) -> None:
    session = await database.a_session()
    await database.execute("ALTER TABLE events ADD CONSTRAINT nothing CHECK (false) NOT VALID")

    result = await site.call(
        f"{site.api}/sessions/{session.id}/fail",
        method="POST",
        headers=bearer(a_token(session.user_id)),
    )
    await database.execute("ALTER TABLE events DROP CONSTRAINT nothing")

    assert (result["status"], result["body"]["error"]["code"]) == (500, "INTERNAL_ERROR")


@pytest.mark.parametrize("headers", [{}, bearer("a.b.c")], ids=["simple", "preflight"])
async def test_the_browser_hides_answers_from_an_origin_that_is_not_listed(
    site: Site, headers: dict[str, str]
) -> None:
    assert await site.call(f"{site.shut_api}/livez", headers=headers) == {"hidden": "TypeError"}
