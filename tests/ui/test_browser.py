"""The app in a real browser: headless Chromium against a server in this process, on a bot with a tiny model."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Generator
from typing import Any

import pytest
from browsing import NEEDS_BROWSER, TOLD, answered, fill, pick, say
from own_files import TAKEN
from playwright.sync_api import Browser, FilePayload, Page, expect

from adapterbot.bot import Bot
from adapterbot.facts import Passage
from adapterbot.history import History
from adapterbot.storage.feedback import liked_dialogues
from adapterbot.turn import Reply
from adapterbot.ui.visitor import SLIDERS

PAYLOADS = (
    "<img src=x onerror=window.hacked=1>",
    "<svg onload=window.hacked=2></svg>",
    "</script><script>window.hacked=3</script>",
    "[a](javascript:window.hacked=4) ![b](http://evil.example/beacon.png)",
    "${window.hacked=5} {{constructor}}",
)
HOSTILE = " ".join(PAYLOADS)
SEEN = """new MutationObserver(() => {
  const said = document.querySelector('#ab-now .ab-bot .ab-text');
  if (said) (window.seen ??= new Set()).add(said.innerText);
}).observe(document, {subtree: true, childList: true, characterData: true})"""

pytestmark = NEEDS_BROWSER


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


def test_a_message_is_answered_and_explained_and_no_request_leaves(browser: Browser, app_address: str) -> None:
    page = browser.new_context().new_page()
    asked: list[str] = []
    faults: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.add_init_script(SEEN)
    page.goto(app_address)
    expect(page.get_by_role("button", name="Send")).to_be_enabled()
    pick(page, "empathetic")
    page.get_by_role("tab", name="Settings").click()
    page.get_by_role("checkbox", name="Use the skill's own settings").uncheck()
    page.get_by_role("spinbutton", name="drafts").fill("1")  # several drafts are shown when all are there
    box = page.get_by_role("textbox", name="Your message")
    box.fill("My best friend")
    box.press("Shift+Enter")
    box.type("moved away.")
    box.press("Enter")
    answered(page, 1)
    expect(page.locator("#ab-said .ab-user .ab-text")).to_have_text("My best friend\nmoved away.", use_inner_text=True)
    expect(page.locator("#ab-said .ab-strip")).to_contain_text("empathetic · your choice · ")
    page.locator("#ab-said .ab-strip").click()
    expect(page.locator("#ab-evidence")).to_contain_text("generate")
    assert page.evaluate("window.seen.size") > 2  # the reply grew before our eyes
    assert [url for url in asked if not url.startswith((app_address, "data:", "blob:"))] == []
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
    page.get_by_role("tab", name="Evidence").click()
    for place, times in (("#ab-said", 2), ("#ab-evidence", 5), ("#ab-chats", 0)):
        shown = page.locator(place).inner_text()
        assert all(shown.count(payload) >= times for payload in PAYLOADS)
        assert page.locator(f"{place} :is(img, script, iframe, a)").count() == 0
    assert page.evaluate("window.hacked") is None


def test_stop_and_a_closed_tab_end_the_generation(
    visit: Callable[..., Page], tiny_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[str] = []
    piece = "word "

    def endless(message: str, history: History, **settings: Any) -> Generator[str, None, Reply]:
        made = scripted(lambda past: Reply(piece, "chitchat", history=past), 10_000, 0.02, ended)
        stream: Generator[str, None, Reply] = made(message, history)
        return stream

    monkeypatch.setattr(tiny_bot, "stream", endless)
    page = visit()
    say(page, "one")
    expect(page.locator("#ab-now")).to_contain_text("word word")
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.locator("#ab-said .ab-strip")).to_have_text("stopped")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert ended == ["one"]
    piece = ""  # drafts are made, and nothing can be shown
    say(page, "two")
    expect(page.locator("#ab-now .ab-dots")).to_be_visible()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_role("textbox", name="Your message")).to_have_value("two")
    assert ended == ["one", "two"]
    say(page, "three")
    expect(page.locator("#ab-now")).to_contain_text("three")
    page.context.close()
    limit = time.monotonic() + 20
    while len(ended) < 3 and time.monotonic() < limit:
        time.sleep(0.1)
    assert ended == ["one", "two", "three"]


def test_conversations_survive_a_reload_and_are_one_browsers_own(visit: Callable[..., Page]) -> None:
    page, other = visit(), visit()
    pick(page, "empathetic")
    say(page, "I moved to Oslo.")
    answered(page, 1)
    page.get_by_role("textbox", name="Your message").fill("not sent yet")
    page.reload()
    answered(page, 1)
    expect(page.get_by_role("textbox", name="Your message")).to_have_value("not sent yet")
    page.get_by_role("button", name="New chat").click()
    expect(page.locator(".ab-example").first).to_be_visible()
    page.locator(".ab-example").first.click()
    answered(page, 1)
    chats = page.locator("#ab-chats li")
    expect(chats).to_have_count(2)
    page.get_by_role("searchbox", name="Search conversations").fill("oslo")
    expect(chats).to_have_count(1)
    page.get_by_role("button", name="More: I moved to Oslo.").click()
    page.get_by_role("button", name="Rename").click()
    title = page.get_by_role("textbox", name="Title")
    title.fill("Norway")
    title.press("Enter")
    expect(chats).to_contain_text("Norway")
    page.get_by_role("button", name="More: Norway").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as Markdown").click()
    assert download.value.suggested_filename == "Norway.md"
    assert "I moved to Oslo." in download.value.path().read_text(encoding="utf-8")
    page.get_by_role("button", name="More: Norway").click()
    page.get_by_role("button", name="Delete").click()
    expect(chats).to_have_count(0)
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(page.locator("#ab-said .ab-user")).to_contain_text("I moved to Oslo.")
    expect(other.locator("#ab-chats li")).to_have_count(0)
    assert "Oslo" not in other.locator("#ab-talk").inner_text()


def test_versions_edit_opinion_and_copy(visit: Callable[..., Page]) -> None:
    page = visit(permissions=["clipboard-read", "clipboard-write"])
    pick(page, "empathetic")
    say(page, "I moved away.")
    answered(page, 1)
    first = page.locator(TOLD).inner_text()
    page.get_by_role("button", name="Answer again").click()
    expect(page.locator(".ab-versions")).to_contain_text("2 / 2")
    answered(page, 1)
    page.get_by_role("button", name="Former version").click()
    expect(page.locator(TOLD)).to_have_text(first)
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == first
    page.get_by_role("button", name="Good reply").click()
    expect(page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    box = page.get_by_role("textbox", name="Your message")
    box.press("ArrowUp")
    expect(box).to_have_value("I moved away.")
    box.fill("I came home.")
    box.press("Enter")
    expect(page.locator(".ab-versions")).to_contain_text("3 / 3")
    expect(page.locator("#ab-said .ab-user")).to_contain_text("I came home.")
    answered(page, 1)


def test_another_skill_answers_beside_and_a_draft_can_be_taken(visit: Callable[..., Page], tiny_bot: Bot) -> None:
    page = visit()
    pick(page, "empathetic")
    say(page, "I moved away.")
    answered(page, 1)
    page.get_by_role("combobox", name="Compare with another skill").select_option("wiki")
    sides = page.locator("#ab-said .ab-beside .ab-bot")
    expect(sides).to_have_count(2)
    expect(sides.locator(".ab-strip").nth(1)).to_contain_text("wiki")
    other = sides.nth(1).locator(".ab-text").inner_text()
    sides.nth(1).get_by_role("button", name="Use this").click()
    expect(sides).to_have_count(0)
    expect(page.locator(TOLD)).to_have_text(other)
    expect(page.get_by_role("button", name="Good reply")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name=re.compile("^Compare with ")).click()
    expect(sides).to_have_count(2)
    page.get_by_role("button", name="Close the comparison").click()
    page.locator("#ab-evidence summary", has_text="best of").click()
    page.locator("#ab-evidence .ab-drafts").get_by_role("button", name="Use this").first.click()
    expect(page.locator(".ab-versions")).to_contain_text("4 / 4")
    assert [turn["rejected"] for turn in list(liked_dialogues(tiny_bot.store))[-1]["turns"] if "rejected" in turn]


def choose(page: Page, name: str, content: str) -> None:
    """Choose a file, as by the button beside the message."""
    file: FilePayload = {"name": name, "mimeType": "text/plain", "buffer": content.encode()}
    page.locator("#ab-offer input[type=file]").set_input_files(file)


def test_own_files_of_each_kind_are_added_listed_and_removed(visit: Callable[..., Page]) -> None:
    page = visit()
    with page.expect_file_chooser():
        page.get_by_role("button", name="Add a file").click()
    offer = page.locator("#ab-offer .ab-offer")
    for name in ("mine.ics", "notes.md", "Quellmar.TXT", "people.tsv", "places.csv"):
        content, becomes, question = TAKEN[name]
        choose(page, name, content)
        expect(offer).to_contain_text(f"{name} becomes")
        expect(page.get_by_role("combobox", name="What it becomes")).to_have_value(becomes)
        page.get_by_role("button", name="Add", exact=True).click()
        expect(offer.get_by_role("button", name=question)).to_be_visible()
    page.get_by_role("tab", name="Files").click()
    expect(page.locator("#ab-files li")).to_have_count(5)
    page.get_by_role("button", name="Remove notes.md").click()
    expect(page.locator("#ab-files li")).to_have_count(4)
    choose(page, "<img src=x onerror=window.hacked=1>.mp3", "ID3")
    expect(offer).to_contain_text("<img src=x onerror=window.hacked=1>.mp3: files that end in")
    choose(page, "broken.ics", "BEGIN:VCALENDAR")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(offer).to_contain_text("no event can be read")
    dropped = page.evaluate_handle("""() => {
        const files = new DataTransfer();
        files.items.add(new File(['It is far.'], 'far.txt'));
        return files;
    }""")
    page.dispatch_event("#ab-scroll", "drop", {"dataTransfer": dropped})
    expect(offer).to_contain_text("far.txt becomes")
    page.get_by_role("button", name="Add", exact=True).click()
    offer.get_by_role("button", name="What do you know about far?").click()
    answered(page, 1)
    assert page.evaluate("window.hacked") is None


@pytest.mark.parametrize(("width", "height", "colours"), [(1280, 800, "light"), (390, 844, "dark")])
def test_the_page_fits_the_window_and_evidence_is_one_tap_away(
    visit: Callable[..., Page], width: int, height: int, colours: str
) -> None:
    page = visit(width, height, color_scheme=colours)
    pick(page, "weather")
    say(page, "Will it rain?")
    answered(page, 1)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    box = page.get_by_role("button", name="Send").bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= height
    page.locator("#ab-said .ab-strip").click()
    expect(page.locator("#ab-evidence .ab-skill")).to_be_in_viewport()
    page.get_by_role("tab", name="Settings").click()
    expect(page.get_by_role("checkbox", name="Use the skill's own settings")).to_be_checked()
    expect(page.get_by_role("slider")).to_have_count(len(SLIDERS) - 1)  # top_k is typed
    for name in SLIDERS:
        expect(page.get_by_role("spinbutton", name=name)).to_be_visible()
    if width < 600:
        page.keyboard.press("Escape")
        expect(page.locator("#ab-evidence")).not_to_be_visible()
        small = page.evaluate("""() => [...document.querySelectorAll('#ab-talk button, #ab-talk select')]
            .map(e => [e.ariaLabel || e.innerText, e.getBoundingClientRect()])
            .filter(([_, r]) => r.height && Math.min(r.height, r.width) < 43.5).map(([name]) => name)""")
        assert small == []
        assert page.evaluate("getComputedStyle(document.querySelector('#ab-box textarea')).fontSize") == "16px"
