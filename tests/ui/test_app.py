"""app and page: the page's parts and wiring, the web application, ports, and the command from start to Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import fastapi
import gradio as gr
import httpx
import pytest
import uvicorn
from starlette.testclient import TestClient

from adapterbot.bot import Bot
from adapterbot.errors import SettingError
from adapterbot.serving import listening
from adapterbot.turn import DECODE_SETTINGS, Decode
from adapterbot.ui import app, page, words
from adapterbot.ui.handlers import Handlers
from adapterbot.ui.screen import Screen
from adapterbot.ui.visitor import SLIDERS, Visitor

Built = TypeVar("Built")
COMMAND = [sys.executable, "-c", "from adapterbot.cli import main; main()", "ui"]


async def in_a_loop(build: Callable[[Bot], Built], bot: Bot) -> Built:
    """gradio leaves an open event loop behind for every page that is built outside of one."""
    return build(bot)


@pytest.fixture
def blocks(tiny_bot: Bot) -> gr.Blocks:
    return asyncio.run(in_a_loop(lambda bot: page.build(Handlers(bot)), tiny_bot))


def of(blocks: gr.Blocks, kind: type) -> list[Any]:
    return [block for block in blocks.blocks.values() if isinstance(block, kind)]


def named(blocks: gr.Blocks, name: str) -> Any:
    (found,) = (b for b in blocks.blocks.values() if getattr(b, "label", None) == name)
    return found


@pytest.mark.parametrize("name", SLIDERS)
def test_every_setting_has_its_documented_range_default_and_meaning(blocks: gr.Blocks, name: str) -> None:
    _, low, high, meaning = DECODE_SETTINGS[name]
    slider = named(blocks, name)
    assert (slider.minimum, slider.maximum, slider.info) == (low, high, meaning)
    assert slider.value == getattr(Decode(), name)
    assert slider.interactive is False  # until 'use the skill's own settings' is switched off


def test_the_seed_is_free_text_since_a_browser_rounds_large_numbers(blocks: gr.Blocks) -> None:
    seed = named(blocks, "seed")
    assert isinstance(seed, gr.Textbox)
    assert seed.info == DECODE_SETTINGS["seed"][3]
    assert seed.value == ""


def test_the_picker_offers_auto_and_every_usable_skill(blocks: gr.Blocks, tiny_bot: Bot) -> None:
    (picker,) = (b for b in of(blocks, gr.HTML) if b.elem_id == "ab-picker")
    assert picker.value == ""
    assert words.AUTO in picker.html_template
    for name in tiny_bot.skills:
        assert f'<option value="{name}">' in picker.html_template


def test_there_is_one_state_and_it_belongs_to_the_visitor(blocks: gr.Blocks) -> None:
    (state,) = of(blocks, gr.State)
    assert isinstance(state.value, Visitor)
    assert (state.value.owner, state.value.session) == ("", "")


def test_what_a_browser_keeps_outlives_a_restart(blocks: gr.Blocks) -> None:
    kept = {state.storage_key: state.secret for state in of(blocks, gr.BrowserState)}
    assert kept == {"adapterbot": "adapterbot", "adapterbot-mine": "adapterbot"}


def test_events_are_wired_in_the_order_of_a_screen(blocks: gr.Blocks) -> None:
    whole = [fn for fn in blocks.fns.values() if len(fn.outputs) == len(Screen._fields)]
    assert {fn.name for fn in whole} == {"arrive", "send", "ask", "idle", "act"}
    for fn in whole:
        ids = [getattr(component, "elem_id", None) for component in fn.outputs]
        assert ids == [None, None, "ab-chats", "ab-deleted", "ab-said", "ab-now", "ab-evidence", "ab-box",
                       "ab-editing", "ab-send", "ab-stop", "ab-files", "ab-order"]  # fmt: skip


def test_the_buttons_come_back_when_a_turns_event_is_over(blocks: gr.Blocks) -> None:
    before = [blocks.fns[fn.trigger_after].name for fn in blocks.fns.values() if fn.trigger_after is not None]
    assert sorted(map(str, before)) == ["ask", "ask", "send"]


def test_sliders_reach_the_handlers_in_their_order(blocks: gr.Blocks) -> None:
    (send,) = (fn for fn in blocks.fns.values() if fn.name == "send")
    assert [getattr(component, "label", None) for component in send.inputs[-len(SLIDERS) :]] == list(SLIDERS)


def test_nothing_is_callable_from_outside_of_the_page(blocks: gr.Blocks) -> None:
    assert {fn.api_visibility for fn in blocks.fns.values()} == {"private"}
    assert blocks.analytics_enabled is False


@pytest.fixture
def client(tiny_bot: Bot) -> Iterator[TestClient]:
    web_app = asyncio.run(in_a_loop(lambda bot: app.web_app(bot, "127.0.0.1"), tiny_bot))
    with TestClient(web_app, base_url="http://127.0.0.1:7860") as client:
        yield client


def test_the_page_names_no_outside_script_style_or_font(client: TestClient) -> None:
    answer = client.get("/")
    assert answer.status_code == 200
    assert not re.findall(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=[\"']?(?:https?:)?//", answer.text)
    assert "url(http" not in client.get("/theme.css").text.replace("'", "").replace('"', "")


def test_every_answer_forbids_the_browser_to_load_from_elsewhere(client: TestClient) -> None:
    for path in ("/", "/theme.css", "/no/such/page"):
        policy = client.get(path).headers["content-security-policy"]
        assert policy.startswith("default-src 'self' data: blob:;")
        assert "http" not in policy


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "127.0.0.1:7860"}, 200),
        ({"host": "localhost:7860", "origin": "http://localhost:7860"}, 200),
        ({"host": "[::1]:7860"}, 200),
        ({"host": "rebound.example:7860"}, 403),
        ({"host": "127.0.0.1.evil.example"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://evil.example"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "null"}, 403),
        ({"host": "127.0.0.1:7860", "origin": "http://127.0.0.1:9999"}, 403),
    ],
)
def test_no_other_sites_page_is_answered(client: TestClient, headers: dict[str, str], status: int) -> None:
    answer = client.get("/", headers=headers)
    assert answer.status_code == status
    assert status == 200 or answer.text.count("\n") == 1


def test_the_page_says_of_itself_what_it_is(client: TestClient) -> None:
    head = client.get("/").text.partition("<body")[0]
    assert re.findall(r'property="og:title" content="([^"]*)"', head) == [words.NAME]
    assert re.findall(r'property="og:description" content="([^"]*)"', head) == [words.ABOUT]
    assert "twitter:" not in head
    assert "{url}" not in head
    assert "gradio-app" not in head
    icon = client.get("/favicon.ico")
    assert icon.headers["content-type"].startswith("image/svg")
    assert "<svg" in icon.text


def test_nothing_is_taken_that_the_page_does_not_ask_for(client: TestClient) -> None:
    answer = client.post("/gradio_api/upload", files={"files": ("a.bin", b"x" * 1000)})
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json", "/gradio_api/runs"])
def test_there_are_no_further_pages(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (403, 404)


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that another program listens on, in the place of 7860."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setattr(app, "PORT", port)
        yield port


def test_a_taken_port_that_was_asked_for_is_an_error(taken: int) -> None:
    with pytest.raises(SettingError, match=f"port {taken} on 127.0.0.1 is taken"):
        app.listen("127.0.0.1", taken)


def test_without_a_port_the_next_free_one_is_used(taken: int) -> None:
    with app.listen("127.0.0.1", None) as opened:
        assert taken < opened.getsockname()[1] < taken + listening.PORTS


def test_all_ports_taken(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listening, "PORTS", 1)
    with pytest.raises(SettingError, match="all taken"):
        app.listen("127.0.0.1", None)


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [("127.0.0.1", 70000, "there is no port 70000"), ("192.0.2.1", 0, "cannot listen on 192.0.2.1")],
)
def test_an_address_that_is_not_there(host: str, port: int, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        app.listen(host, port)


def test_the_command_prints_the_address_answers_and_ends_on_ctrl_c_while_a_page_is_open(on_tiny: None) -> None:
    with subprocess.Popen([*COMMAND, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            assert run.stdout is not None
            found = re.fullmatch(
                r"adapterbot is at (http://127\.0\.0\.1:\d+) \(Ctrl-C stops it\)\n", run.stdout.readline()
            )
            assert found
            loaded = False
            while not loaded:  # until then a page says how far it is
                time.sleep(0.1)
                loaded = httpx.get(f"{found[1]}/opening", trust_env=False, timeout=30).status_code == 404
            with httpx.stream("GET", f"{found[1]}/gradio_api/heartbeat/a", trust_env=False, timeout=30) as page:
                next(page.iter_bytes())
                run.send_signal(signal.SIGINT)
                assert run.wait(timeout=30) == 0
            assert "Traceback" not in str(run.stderr and run.stderr.read())
        finally:
            with contextlib.suppress(ProcessLookupError):
                run.kill()


def test_the_command_says_when_its_port_is_taken(taken: int) -> None:
    run = subprocess.run([*COMMAND, "--port", str(taken)], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert f"adapterbot: port {taken} on 127.0.0.1 is taken; give another --port" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="there a display is taken for granted")
def test_a_browser_is_opened_only_where_it_would_be_seen(monkeypatch: pytest.MonkeyPatch, shared_bot: Bot) -> None:
    opened = threading.Event()
    addresses: list[str] = []

    def open_browser(address: str) -> None:
        addresses.append(address)
        opened.set()

    monkeypatch.setattr("webbrowser.open", open_browser)
    served = app.Server(uvicorn.Config(fastapi.FastAPI()))
    monkeypatch.setattr(served, "run", lambda sockets: opened.wait(5) if sockets else None)
    monkeypatch.setattr(app, "server", lambda opening: served)  # the page itself has its own tests
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    opened.set()
    app.main(lambda note: shared_bot, port=0, inbrowser=True)
    assert addresses == [], "no display"
    monkeypatch.setenv("DISPLAY", ":0")
    app.main(lambda note: shared_bot, port=0)
    assert addresses == [], "nobody asked"
    opened.clear()
    app.main(lambda note: shared_bot, port=0, inbrowser=True)
    assert len(addresses) == 1
    assert addresses[0].startswith("http://127.0.0.1:")
