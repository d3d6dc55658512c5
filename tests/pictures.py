"""`make pictures`: the pictures of the app in docs/, from a fresh install on sample data, by headless Chromium."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from browsing import CHROMIUM, FLAGS, answered, app_of, arrive, fill, say
from playwright.sync_api import Browser, Page, expect, sync_playwright

from adapterbot.bot import Bot
from adapterbot.home import Home

DOCS = Path(__file__).resolve().parent.parent / "docs"
SEED = "7"  # the same replies each time
PHONE = {"width": 390, "height": 844, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}


def talked(page: Page, *messages: str) -> Page:
    """The page after these messages were answered."""
    page.get_by_role("tab", name="Settings").click()
    fill(page, "seed", SEED)
    page.get_by_role("tab", name="Evidence").click()
    for count, message in enumerate(messages, start=1):
        say(page, message)
        answered(page, count)
    page.get_by_role("textbox", name="Your message").blur()
    return page


def talk(open_page: Callable[..., Page]) -> Page:
    """Three skills by themselves, and the row from which the last one answered."""
    feeling = "I feel so lonely since my roommate moved out."
    return talked(
        open_page(), feeling, "How tall is Mount Everest?", "I am looking for an Italian restaurant in the centre."
    )


def start(open_page: Callable[..., Page]) -> Page:
    """What it can do, before anything was said."""
    page = open_page()
    page.get_by_role("textbox", name="Your message").blur()
    return page


def dark(open_page: Callable[..., Page]) -> Page:
    """A picture of triples beside a forecast, in the dark."""
    page = open_page(color_scheme="dark")
    return talked(page, "Will it rain in Boston tomorrow?", "Who wrote Pippi Longstocking?")


def beside(open_page: Callable[..., Page]) -> Page:
    """The same message answered by two skills."""
    page = talked(open_page(), "I am going to the beach this weekend.")
    page.get_by_role("combobox", name="Compare with another skill").select_option("joy")
    expect(page.locator("#ab-said .ab-beside .ab-prefer")).to_have_count(2)
    return page


def care(open_page: Callable[..., Page]) -> Page:
    """A message that no skill should answer."""
    return talked(open_page(), "What should I cook tonight?", "I don't want to live any more.")


def phone(open_page: Callable[..., Page]) -> Page:
    """A phone, one tap after the forecast."""
    page = open_page(**PHONE)
    say(page, "What's the weather like in Boston this week?")
    answered(page, 1)
    page.locator("#ab-said .ab-strip").tap()
    page.wait_for_timeout(500)  # the panel slides in
    return page


STATES = {"": talk, "-start": start, "-dark": dark, "-beside": beside, "-care": care, "-phone": phone}


def take(browser: Browser, address: str) -> None:
    """Write all pictures."""
    for name, state in STATES.items():
        page = state(lambda **options: arrive(browser, address, **options))
        path = DOCS / f"app{name}.png"
        page.screenshot(path=path, animations="disabled")
        page.context.close()
        print(f"{path.relative_to(DOCS.parent)}: {state.__doc__}")


def main() -> None:
    """Show the shipped bot in a home in which nothing was said, and take its pictures."""
    expect.set_options(timeout=300_000)
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.backbones.symlink_to(Home.at(None).backbones)  # made once, at the first start
        with app_of(Bot.load(home=home.root, demo=True)) as address, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            take(browser, address)
            browser.close()


if __name__ == "__main__":
    main()
