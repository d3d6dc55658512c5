"""opening: what a visitor sees while the app loads, and how the app takes over."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import fastapi
import pytest
from starlette.testclient import TestClient

from adapterbot.errors import BackboneError
from adapterbot.ui import words
from adapterbot.ui.opening import Note, Opening


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_the_page_says_what_is_loaded_until_the_app_is_there() -> None:
    go_on = threading.Event()
    lived: list[str] = []

    def load(note: Note) -> fastapi.FastAPI:
        note("the language model")
        note("<b>the skills</b>")
        assert go_on.wait(20)
        app = fastapi.FastAPI(on_startup=[lambda: lived.append("up")], on_shutdown=[lambda: lived.append("down")])
        app.get("/")(lambda: "the app")
        return app

    with TestClient(Opening(load, "127.0.0.1"), base_url="http://127.0.0.1:7860") as client:
        page = client.get("/")
        assert page.status_code == 200
        assert words.READING in page.text
        assert "content-security-policy" in page.headers
        until(
            lambda: client.get("/opening").json() == {"said": ["the language model", "<b>the skills</b>"], "fault": ""}
        )
        assert client.get("/favicon.ico").headers["content-type"].startswith("image/svg")
        assert client.get("/gradio_api/info").status_code == 503
        assert client.get("/", headers={"host": "rebound.example"}).status_code == 403
        go_on.set()
        until(lambda: client.get("/").text == '"the app"')
        assert lived == ["up"]
    assert lived == ["up", "down"]


def test_a_fault_ends_the_server_and_is_told() -> None:
    def load(note: Note) -> fastapi.FastAPI:
        raise BackboneError("the file is damaged")

    ended = threading.Event()
    opening = Opening(load)
    opening.on_fault = ended.set
    with TestClient(opening) as client:
        assert ended.wait(20)
        assert client.get("/opening").json()["fault"] == "the file is damaged"
    assert isinstance(opening.fault, BackboneError)


@pytest.mark.parametrize("path", ["/opening/", "/x", "/gradio_api/queue/join"])
def test_nothing_else_is_there_before(path: str) -> None:
    never = threading.Event()

    def load(note: Note) -> fastapi.FastAPI:
        never.wait(20)
        return fastapi.FastAPI()

    with TestClient(Opening(load)) as client:
        assert client.get(path).status_code == 503
        never.set()
