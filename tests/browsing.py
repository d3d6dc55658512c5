"""A real browser for the tests of the app: headless Chromium against a server in this process, on a tiny bot."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from adapterbot.bot import Bot

if TYPE_CHECKING:
    import uvicorn
    from playwright.sync_api import Browser, Page, ViewportSize

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
TURN = "#ab-said .ab-turn"
TOLD = "#ab-said .ab-bot .ab-text"
NEEDS_BROWSER = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}"),
    # gradio keeps statistics of its queue by means that pandas 3 deprecates
    pytest.mark.filterwarnings("ignore:.*(future.no_silent_downcasting|The copy keyword is deprecated)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of one file: while it runs, its thread can run no other event loop."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=180_000)  # machines are slow at times
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@contextmanager
def app_of(bot: Bot) -> Iterator[str]:
    """The address of a server of one's own for a bot, in a thread."""
    from adapterbot.ui import app

    running: list[uvicorn.Server] = []

    async def serve(opened: socket.socket) -> None:
        running.append(app.server(app.web_app(bot, "127.0.0.1")))
        await running[0].serve(sockets=[opened])

    with app.listen("127.0.0.1", 0) as opened:
        thread = threading.Thread(target=lambda: asyncio.run(serve(opened)))
        thread.start()
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        running[0].should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture
def app_address(tiny_bot: Bot) -> Iterator[str]:
    """The app of the tiny bot."""
    with app_of(tiny_bot) as found:
        yield found


@pytest.fixture
def visit(browser: Browser, app_address: str) -> Iterator[Callable[..., Page]]:
    """Open the app as a new visitor."""

    def visit(width: int = 1280, height: int = 800, **context: Any) -> Page:
        return arrive(browser, app_address, width, height, **context)

    yield visit
    for context in browser.contexts:
        context.close()


def arrive(browser: Browser, address: str, width: int = 1280, height: int = 800, **context: Any) -> Page:
    """The page, opened by a visitor who has not been there before."""
    from playwright.sync_api import expect

    size: ViewportSize = {"width": width, "height": height}
    page = browser.new_context(viewport=size, **context).new_page()
    page.goto(address, timeout=120_000)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    return page


def say(page: Page, text: str) -> None:
    page.get_by_role("textbox", name="Your message").fill(text)
    page.get_by_role("button", name="Send").click()


def fill(page: Page, name: str, text: str) -> None:
    """Type into a box of a tab that was just opened, again if it took its first value only after that."""
    box = page.get_by_role("textbox", name=name)
    for _ in range(10):
        box.fill(text)
        page.wait_for_timeout(300)
        if box.input_value() == text:
            return
    raise AssertionError(f"the box {name!r} does not keep what is typed")


def answered(page: Page, exchanges: int) -> None:
    """Wait until so many exchanges are there, and the next can be begun."""
    from playwright.sync_api import expect

    expect(page.locator(TURN)).to_have_count(exchanges)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def pick(page: Page, skill: str) -> None:
    page.get_by_role("combobox", name="Who answers").select_option(skill)
