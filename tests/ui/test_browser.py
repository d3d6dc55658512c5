"""The app in a real browser: headless Chromium against a server in this process, on a bot with a tiny model."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from adapterbot.bot import Bot
from adapterbot.facts import Passage
from adapterbot.history import History
from adapterbot.turn import Reply
from adapterbot.ui import app
from adapterbot.ui.handlers import SLIDERS

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PAYLOADS = (
    "<img src=x onerror=window.hacked=1>",
    "<svg onload=window.hacked=2></svg>",
    "</script><script>window.hacked=3</script>",
    "[a](javascript:window.hacked=4) ![b](http://evil.example/beacon.png)",
    "${window.hacked=5} {{constructor}}",
)
HOSTILE = " ".join(PAYLOADS)
BOT = "#ab-chat [data-testid=bot]"
SEEN = """new MutationObserver(() => {
  const said = document.querySelectorAll('#ab-chat [data-testid=bot]');
  if (said.length) (window.seen ??= new Set()).add(said[0].innerText);
}).observe(document, {subtree: true, childList: true, characterData: true})"""

expect.set_options(timeout=60_000)  # machines are slow at times

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}"),
    # gradio keeps statistics of its queue by means that pandas 3 deprecates
    pytest.mark.filterwarnings("ignore:.*(future.no_silent_downcasting|The copy keyword is deprecated)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield running
        running.close()


@pytest.fixture
def address(tiny_bot: Bot) -> Iterator[str]:
    """A server of one's own, in a thread."""
    running: list[uvicorn.Server] = []

    async def serve(opened: socket.socket) -> None:
        running.append(app.server(tiny_bot))
        await running[0].serve(sockets=[opened])

    with app.listen("127.0.0.1", 0) as opened:
        thread = threading.Thread(target=lambda: asyncio.run(serve(opened)))
        thread.start()
        yield f"http://127.0.0.1:{opened.getsockname()[1]}"
        running[0].should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture
def visit(browser: Browser, address: str) -> Iterator[Callable[..., Page]]:
    """Open the app as a new visitor."""

    def visit(width: int = 1280, height: int = 800, **context: Any) -> Page:
        size: ViewportSize = {"width": width, "height": height}
        page = browser.new_context(viewport=size, **context).new_page()
        page.goto(address)
        expect(page.get_by_role("textbox", name="Your message")).to_be_visible(timeout=30_000)
        return page

    yield visit
    for context in browser.contexts:
        context.close()


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
    """Wait until the last of so many exchanges has its byline (a reply is two parts)."""
    expect(page.locator(BOT)).to_have_count(2 * exchanges)
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=30_000)


def pick(page: Page, option: str) -> None:
    page.get_by_role("combobox", name="Who answers").click()
    page.get_by_role("option", name=option).click()


def scripted(
    reply: Callable[[History], Reply], pieces: int = 3, pause: float = 0.0, ended: list[str] | None = None
) -> Any:
    """A stand-in for Bot.stream that says what a test needs a model to say."""

    def stream(message: str, history: History, **settings: Any) -> Generator[str, None, Reply]:
        made = reply(history.add_user(message))
        try:
            for _ in range(pieces):
                yield made.text
                time.sleep(pause)
            return made
        finally:
            if ended is not None:
                ended.append(message)

    return stream


def test_a_message_is_answered_and_explained_and_no_request_leaves(browser: Browser, address: str) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.add_init_script(SEEN)
    page.goto(address)
    pick(page, "empathetic")
    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("checkbox", name="Use the skill's own settings").uncheck()
    page.get_by_role("spinbutton", name="drafts").fill("1")  # several drafts are shown when all are there
    page.get_by_role("tab", name="This reply").click()
    page.get_by_role("textbox", name="Your message").fill("My best friend moved away.")
    page.get_by_role("textbox", name="Your message").press("Enter")
    answered(page, 1)
    expect(page.locator("#ab-chat [data-testid=user]")).to_have_text("My best friend moved away.")
    expect(page.locator(BOT).last).to_have_text("empathetic · your choice")
    expect(page.locator("#ab-inspector")).to_contain_text("empathetic")
    expect(page.locator("#ab-inspector")).to_contain_text("generate")
    assert page.evaluate("window.seen.size") > 2  # the reply grew before our eyes
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    assert faults == []
    page.context.close()


def test_hostile_text_of_users_models_and_facts_is_inert(
    visit: Callable[..., Page], tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(history: History) -> Reply:
        fact = Passage(HOSTILE, HOSTILE, source=HOSTILE)
        return Reply(
            HOSTILE, "wiki", {"wiki": 1.0, HOSTILE: 0.5}, "manager", HOSTILE, (fact,), history=history.add_bot(HOSTILE)
        )

    page = visit()
    monkeypatch.setattr(tiny_bot, "stream", scripted(reply))
    say(page, HOSTILE)
    answered(page, 1)
    page.get_by_role("tab", name="Settings").click()
    fill(page, "seed", PAYLOADS[0])
    say(page, "Hello.")
    expect(page.get_by_test_id("toast-text")).to_contain_text(PAYLOADS[0])
    page.get_by_role("tab", name="This reply").click()
    for place, times in (("#ab-chat", 2), ("#ab-inspector", 5)):
        shown = page.locator(place).inner_text()
        assert all(shown.count(payload) >= times for payload in PAYLOADS)
        assert page.locator(f"{place} :is(img, script, iframe, a)").count() == 0
    assert page.evaluate("window.hacked") is None


def test_stop_and_a_closed_tab_end_the_generation(
    visit: Callable[..., Page], tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    endless = scripted(lambda history: Reply("word ", "chitchat", history=history), 10_000, 0.02, ended)
    monkeypatch.setattr(tiny_bot, "stream", endless)
    page = visit()
    say(page, "one")
    expect(page.locator(BOT).first).to_contain_text("word word")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(BOT).last).to_have_text("stopped")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert ended == ["one"]
    say(page, "two")
    expect(page.locator(BOT).last).to_contain_text("word word")
    page.context.close()
    limit = time.monotonic() + 20
    while ended != ["one", "two"] and time.monotonic() < limit:
        time.sleep(0.1)
    assert ended == ["one", "two"]


def test_two_visitors_do_not_see_each_other(visit: Callable[..., Page]) -> None:
    first, second = visit(), visit()
    say(first, "I am visitor 1001.")
    say(second, "I am visitor 2002.")
    answered(first, 1)
    answered(second, 1)
    assert "2002" not in first.locator("#ab-chat").inner_text()
    assert "1001" not in second.locator("#ab-chat").inner_text()


def test_example_inspect_retry_undo_and_clear(visit: Callable[..., Page]) -> None:
    page = visit()
    page.locator("#ab-chat button.example").first.click()
    answered(page, 1)
    pick(page, "weather")
    say(page, "Will it rain?")
    answered(page, 2)
    expect(page.locator("#ab-inspector .ab-skill")).to_have_text("weather")
    page.locator(BOT).first.click()
    expect(page.locator("#ab-inspector .ab-skill")).not_to_have_text("weather")
    before = page.locator(BOT).nth(2).inner_text()
    page.get_by_role("button", name="Retry").click()
    expect(page.locator(BOT).nth(2)).not_to_have_text(before)
    answered(page, 2)
    page.get_by_role("button", name="Undo").click()
    answered(page, 1)
    expect(page.get_by_role("textbox", name="Your message")).to_have_value("Will it rain?")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator(BOT)).to_have_count(0)
    expect(page.locator("#ab-chat button.example").first).to_be_visible()


@pytest.mark.parametrize(("width", "height", "colours"), [(1280, 800, "light"), (390, 844, "dark")])
def test_the_page_fits_the_window_and_everything_has_a_name(
    visit: Callable[..., Page], width: int, height: int, colours: str
) -> None:
    page = visit(width, height, color_scheme=colours)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.get_by_role("button", name="Send").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= height
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_role("combobox", name="Who answers")).to_be_visible()
    expect(page.get_by_role("checkbox", name="Use the skill's own settings")).to_be_checked()
    expect(page.get_by_role("slider")).to_have_count(len(SLIDERS) - 1)  # top_k is typed
    for name in SLIDERS:
        expect(page.get_by_role("spinbutton", name=name)).to_be_visible()
