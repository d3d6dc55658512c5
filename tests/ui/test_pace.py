"""How a reply comes to the page: first words long before its end, an end at once by Stop, and what if it is cut off.

The bot's model is random but large enough that a reply takes seconds, so that the page's own time weighs little.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browsing import NEEDS_BROWSER, answered, app_of, arrive, pick
from conftest import make_bot, make_tiny
from playwright.sync_api import Browser, Page, expect

from adapterbot.home import Home

LONG = 90  # tokens of a reply
# The times, by the browser's own clock, of the last click or Enter, of the first word after it, and of the end.
CLOCK = """
const now = name => { window.clock[name] ??= performance.now(); };
window.clock = {};
let begun = false;  // whether the page shows that it answers
for (const kind of ['click', 'keydown']) document.addEventListener(kind, event => {
  if (kind === 'keydown' && event.key !== 'Enter' || kind === 'click' && !event.target.closest('#ab-stop')) return;
  window.clock = {asked: performance.now()};
  begun = kind === 'click';
}, true);
new MutationObserver(() => {
  const said = document.querySelector('#ab-now .ab-bot .ab-text');
  begun ||= Boolean(said);
  if (said?.innerText.trim()) now('first');
  if (begun && !said && document.querySelector('#ab-send')?.checkVisibility()) now('last');
}).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
"""
# Here and not by the test, which looks now and then: a reply may have ended meanwhile.
STOP_WHEN = """
new MutationObserver((_, looking) => {
  if (!(%s)) return;
  looking.disconnect();
  document.querySelector('#ab-stop').click();
}).observe(document, {subtree: true, childList: true, characterData: true, attributes: true});
"""
FIRST_WORD = "document.querySelector('#ab-now .ab-bot .ab-text')?.innerText.trim()"
DOTS = "document.querySelector('#ab-now .ab-dots') && document.querySelector('#ab-stop')?.checkVisibility()"

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def slow_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app of a bot that takes some seconds for LONG tokens of several drafts."""
    home = Home(tmp_path_factory.mktemp("slow"))
    with app_of(make_bot(make_tiny(width=256, layers=24), home)) as address:
        yield address


def opened(browser: Browser, address: str, skill: str) -> Page:
    """The page, with a skill that answers by several drafts of LONG tokens."""
    page = arrive(browser, address)
    page.evaluate(CLOCK)
    pick(page, skill)
    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("checkbox", name="Use the skill's own settings").uncheck()
    for name, value in (("max_tokens", LONG), ("min_tokens", LONG), ("drafts", 4)):
        box = page.get_by_role("spinbutton", name=name)
        expect(box).to_be_enabled()
        box.fill(str(value))
        box.press("Tab")
    return page


def ask(page: Page, message: str) -> None:
    box = page.get_by_role("textbox", name="Your message")
    box.fill(message)
    box.press("Enter")


def taken(page: Page, name: str) -> float:
    """Milliseconds from what was asked last to `name`."""
    page.wait_for_function(f"window.clock.{name}", timeout=180_000)
    return float(page.evaluate(f"window.clock.{name} - window.clock.asked"))


def soon(whole: float) -> float:
    """The milliseconds that Stop may take where a reply takes `whole`: a second, and more on a machine that is busy."""
    return max(1000, whole / 3)


def test_the_first_word_comes_before_half_of_the_time_and_stop_ends_drafts_at_once(
    browser: Browser, slow_app: str
) -> None:
    page = opened(browser, slow_app, "empathetic")
    ask(page, "I moved away.")
    answered(page, 1)
    whole = taken(page, "last")
    assert taken(page, "first") < whole / 2
    assert len(page.locator("#ab-said .ab-bot .ab-text").inner_text().split()) > LONG / 4  # it was long
    page.evaluate(STOP_WHEN % FIRST_WORD)
    ask(page, "I came home.")
    assert taken(page, "last") < soon(whole)
    expect(page.locator("#ab-said .ab-strip").last).to_contain_text("stopped")


def test_stop_ends_drafts_of_which_nothing_is_shown(browser: Browser, slow_app: str) -> None:
    page = opened(browser, slow_app, "persona")  # may contradict itself in its last word
    ask(page, "Do you have any pets?")
    answered(page, 1)
    whole = taken(page, "last")
    page.evaluate(STOP_WHEN % DOTS)
    ask(page, "Who are you?")
    assert taken(page, "last") < soon(whole)
    expect(page.get_by_role("textbox", name="Your message")).to_have_value("Who are you?")
    expect(page.locator("#ab-said .ab-turn")).to_have_count(1)


def test_a_connection_that_is_lost_in_a_reply_costs_no_word(browser: Browser, slow_app: str) -> None:
    page = opened(browser, slow_app, "empathetic")
    ask(page, "I moved away.")
    answered(page, 1)
    ask(page, "I am alone.")
    expect(page.locator("#ab-now .ab-bot")).to_be_visible()
    page.context.set_offline(True)
    expect(page.locator("#ab-now")).to_contain_text("The connection was lost.")
    page.context.set_offline(False)
    answered(page, 1)
    expect(page.locator("#ab-said .ab-user")).to_contain_text("I moved away.")
    expect(page.get_by_role("textbox", name="Your message")).to_have_value("I am alone.")
