# SPDX-License-Identifier: MIT
"""A real Chromium, and what its pages report."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from playwright.async_api import Browser, ConsoleMessage, Locator, Page, async_playwright

from tests.optional_programs import CHROMIUM

PATIENCE_MS = 90_000
"""For a machine that has other work; nothing waits for so long where all is well."""

FLAGS = [
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@asynccontextmanager
async def a_browser() -> AsyncIterator[Browser]:
    flags = [*FLAGS, "--no-sandbox"] if os.geteuid() == 0 else FLAGS  # root has no sandbox
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM.path(), args=flags)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Watched:
    """A page with all that it has reported and requested."""

    page: Page
    errors: list[str] = field(default_factory=list)
    origins: set[str] = field(default_factory=set)

    def operation(self) -> Locator:
        return self.page.locator(".opblock.is-open")

    def status(self) -> Locator:
        """The status of the last call."""
        return self.page.locator(".live-responses-table .response .response-col_status")

    def button(self, kind: str) -> Locator:
        """By class: a search by role would compute the names of thousands of elements."""
        return self.page.locator(f"button.{kind}").first

    async def execute(self) -> None:
        await self.button("execute").click()


@asynccontextmanager
async def a_page(browser: Browser, url: str) -> AsyncIterator[Watched]:
    context = await browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    watched = Watched(await context.new_page())

    def note_message(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            watched.errors.append(message.text)

    def note_origin(requested: str) -> None:
        target = urlsplit(requested)
        watched.origins.add(f"{target.scheme}://{target.netloc}")

    watched.page.on("console", note_message)
    watched.page.on("pageerror", lambda error: watched.errors.append(str(error)))
    watched.page.on("request", lambda request: note_origin(request.url))
    await watched.page.goto(url)
    try:
        yield watched
    finally:
        await context.close()
