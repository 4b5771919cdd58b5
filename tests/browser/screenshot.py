# SPDX-License-Identifier: MIT
"""python -m tests.browser.screenshot URL FILE: the page of a running demo, after one click."""

import asyncio
import sys

from playwright.async_api import expect

from tests.browser.chromium import PATIENCE_MS, a_browser, a_page

SIZE = {"width": 1280, "height": 1530}


async def take(url: str, file: str) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    async with a_browser() as browser, a_page(browser, url) as watched:
        page = watched.page
        await page.set_viewport_size({"width": SIZE["width"], "height": SIZE["height"]})
        await watched.execute()
        await expect(watched.status()).to_contain_text("200")
        await watched.operation().evaluate("operation => operation.scrollIntoView()")
        await page.screenshot(path=file)


if __name__ == "__main__":
    asyncio.run(take(*sys.argv[1:]))
