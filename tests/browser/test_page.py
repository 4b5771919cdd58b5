# SPDX-License-Identifier: MIT
"""The page of the API in Chromium: it is quiet, loads nothing from elsewhere, and can be used."""

from collections.abc import AsyncIterator
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from service.bootstrap.api import create_app
from service.dev.page import add_page
from tests.browser.chromium import Watched, a_page
from tests.builders import a_session, a_token
from tests.running import TestDatabase, serving, test_settings

ROOT_PATH = "/gym/v1"
IS_REACHABLE = """button => {
    button.scrollIntoView({block: "center"});
    const {left, right, top, bottom} = button.getBoundingClientRect();
    const met = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return left >= 0 && right <= innerWidth && button.contains(met);
}"""
"""True if it is in the window and nothing lies over it."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def demo(browser: Browser, database: TestDatabase) -> AsyncIterator[Watched]:
    """The page as the demo serves it, which begins with a token and a session in progress."""
    session = await database.a_session()
    settings = test_settings(database_url=database.api_url)
    app = create_app(settings)
    token = a_token(session.user_id)
    add_page(app, root_path="", hosts=("127.0.0.1",), token=token, session_id=session.id)
    async with serving(app, settings) as url, a_page(browser, f"{url}/") as page:
        yield page


async def test_a_click_fails_the_session_and_a_second_click_is_refused(
    demo: Watched, database: TestDatabase
) -> None:
    await demo.execute()
    await expect(demo.status()).to_contain_text("200")
    await expect(demo.operation()).to_contain_text('"status": "failed"')
    await demo.execute()
    await expect(demo.status()).to_contain_text("409")
    await expect(demo.operation()).to_contain_text('"currentStatus": "failed"')

    [event] = await database.events()
    assert event["event_data"] == {"reason": "shoulder pain"}
    [error] = demo.errors  # Chromium itself reports each answer of 400 or more
    assert "status of 409" in error
    assert len(demo.origins - {"data://"}) == 1, demo.origins


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_fits_the_screen_in_the_colours_of_the_system(
    demo: Watched, scheme: Literal["light", "dark"], width: int
) -> None:
    page = demo.page
    await page.emulate_media(color_scheme=scheme)
    await page.set_viewport_size({"width": width, "height": 900})
    await expect(demo.button("execute")).to_be_visible()

    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    for control in ("execute", "authorize"):
        assert await demo.button(control).evaluate(IS_REACHABLE)
    assert await _is_light_text(demo) == (scheme == "dark")


async def _is_light_text(watched: Watched) -> bool:
    colour: str = await watched.page.locator(".info .title").evaluate(
        "title => getComputedStyle(title).color"
    )
    red, green, blue = colour.partition("(")[2].rstrip(")").split(",")[:3]
    return sum(map(float, (red, green, blue))) > 3 * 128


async def test_below_a_path_a_call_is_refused_until_a_token_is_given(
    browser: Browser, database: TestDatabase
) -> None:
    settings = test_settings(database_url=database.api_url, root_path=ROOT_PATH)
    user_id = await _a_user_with_a_session(database)
    async with (
        serving(create_app(settings), settings) as url,
        a_page(browser, f"{url}{ROOT_PATH}/docs#/Sessions/listSessions") as page,
    ):
        await page.execute()
        await expect(page.status()).to_contain_text("401")
        await _authorize(page, a_token(user_id))
        await page.execute()
        await expect(page.status()).to_contain_text("200")

        assert ["status of 401" in error for error in page.errors] == [True]


async def _a_user_with_a_session(database: TestDatabase) -> UUID:
    user_id = uuid4()
    await database.insert(a_session(user_id=user_id))
    return user_id


async def _authorize(watched: Watched, token: Any) -> None:
    await watched.button("authorize").click()
    dialog = watched.page.locator(".dialog-ux")
    await dialog.locator("input").fill(token)
    await dialog.get_by_role("button", name="Apply credentials").click()
    await dialog.get_by_role("button", name="Close", exact=True).click()
