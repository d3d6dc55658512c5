"""The app for everybody: axe-core finds nothing serious, and a keyboard reaches all of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browsing import NEEDS_BROWSER, TOLD, TURN, answered, pick, say
from playwright.sync_api import Locator, Page, expect

SERIOUS = {"serious", "critical"}
# Whether what has the focus shows it by an outline that can be seen: wide enough, and of another colour than what is
# under it. A light colour changes over some frames.
RING = """() => {
  const shown = getComputedStyle(document.activeElement);
  let under = document.activeElement.parentElement;
  while (under && getComputedStyle(under).backgroundColor === 'rgba(0, 0, 0, 0)') under = under.parentElement;
  return document.activeElement === document.body || (shown.outlineStyle !== 'none'
    && parseFloat(shown.outlineWidth) >= 2
    && shown.outlineColor !== (under ? getComputedStyle(under).backgroundColor : 'rgb(255, 255, 255)'));
}"""
IS_FOCUSED = "element => element === document.activeElement"

pytestmark = NEEDS_BROWSER


def findings(page: Page) -> list[str]:
    """What axe-core finds that keeps somebody out."""
    results: dict[str, Any] = Axe().run(page, options={}).response
    looked = {rule["id"] for rule in results["passes"]}
    assert {"color-contrast", "button-name", "label"} <= looked  # it has seen the page
    return [
        f"{rule['id']} ({rule['impact']}): {node['html'][:200]}"
        for rule in results["violations"]
        for node in rule["nodes"]
        if rule["impact"] in SERIOUS
    ]


@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(visit: Callable[..., Page], width: int, colours: str) -> None:
    page = visit(width, 844, color_scheme=colours)
    assert page.evaluate("document.body.classList.contains('dark')") is (colours == "dark")
    assert findings(page) == []
    pick(page, "wiki")
    say(page, "Tell me something about jazz.")
    answered(page, 1)
    say(page, "I want to kill myself.")
    answered(page, 2)
    expect(page.locator(".ab-care")).to_be_visible()
    page.locator("#ab-said .ab-strip").first.click()
    expect(page.locator("#ab-evidence .ab-passage").first).to_be_in_viewport()
    page.wait_for_timeout(300)  # a panel slides in
    assert findings(page) == []
    for tab in ("Personal", "Files", "Settings"):
        page.get_by_role("tab", name=tab).click()
        expect(page.get_by_role("tab", name=tab)).to_have_attribute("aria-selected", "true")
        assert findings(page) == []


def tab_to(page: Page, goal: Locator, key: str = "Tab") -> None:
    """Press Tab until something has the focus; whatever has it on the way shows that."""
    for _ in range(60):
        page.keyboard.press(key)
        page.wait_for_function(RING, timeout=20_000)
        if goal.count() and goal.evaluate(IS_FOCUSED):
            return
    raise AssertionError(f"{key} does not reach {goal}")


def test_a_keyboard_is_enough(visit: Callable[..., Page]) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    box = page.get_by_role("textbox", name="Your message")
    expect(box).to_be_focused()
    page.wait_for_function(RING, timeout=20_000)
    page.keyboard.type("My best friend moved away.")
    page.keyboard.press("Enter")
    answered(page, 1)
    expect(box).to_be_focused()
    strip = page.locator("#ab-said .ab-strip")
    tab_to(page, strip, "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator("#ab-evidence .ab-part").first).to_be_visible()
    expect(strip).to_be_focused()  # although it was drawn anew
    who = page.get_by_role("combobox", name="Who answers")
    tab_to(page, who, "Shift+Tab")
    page.keyboard.type("wiki")
    expect(who).to_have_value("wiki")
    again = page.get_by_role("button", name="Answer again")
    tab_to(page, again)
    page.keyboard.press("Enter")
    expect(page.locator(".ab-versions")).to_contain_text("2 / 2")
    answered(page, 1)
    expect(strip).to_contain_text("wiki · your choice")
    expect(again).to_be_focused()
    tab_to(page, page.get_by_role("button", name="Copy"), "Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator(TOLD).inner_text()
    page.keyboard.press("/")
    expect(box).to_be_focused()
    expect(box).to_have_value("")
    assert page.locator(TURN).count() == 1


def test_all_that_a_keyboard_reaches_shows_it(visit: Callable[..., Page]) -> None:
    page = visit()
    say(page, "Hello.")
    answered(page, 1)
    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("checkbox", name="Use the skill's own settings").uncheck()
    page.get_by_role("tab", name="Personal").click()
    expect(page.get_by_role("textbox", name="Who the bot is")).to_be_visible()
    page.keyboard.press("/")
    tab_to(page, page.get_by_role("textbox", name="Your city"))
    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("checkbox", name="Use the skill's own settings").focus()
    tab_to(page, page.get_by_role("textbox", name="seed"))
