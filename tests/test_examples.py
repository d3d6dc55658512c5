"""Every example runs as it stands."""

from __future__ import annotations

import io
import runpy
import sys
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from adapterbot.home import Home
from adapterbot.storage.conversations import Store

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


def run(monkeypatch: pytest.MonkeyPatch, name: str, *arguments: str) -> None:
    """Run an example as a script."""
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_the_script(on_tiny: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "script.py", "Hello there")
    first, *text = capsys.readouterr().out.split("\n")  # what a random model says may have odd line ends
    assert first.startswith("chitchat (")
    assert "".join(text).strip()


def test_the_service(on_tiny: None) -> None:
    app = runpy.run_path(str(EXAMPLES / "service.py"))["app"]
    with TestClient(app) as client:
        answer = client.post("/ask", json={"text": "Hello there"})
        assert answer.json().keys() == {"text", "skill"}
        refused = client.post("/ask", json={"text": "Hello", "skill": "wikki"})
    assert refused.status_code == 400
    assert "did you mean 'wiki'" in refused.json()["detail"]


def test_the_client(address: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    run(monkeypatch, "openai_client.py", f"{address}/v1")
    models, *text, skill = capsys.readouterr().out.splitlines()
    assert "adapterbot/chitchat" in models
    assert text
    assert skill.startswith("(answered by ")
    assert skill != "(answered by )"


def test_the_channels(
    on_tiny: None, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("music: Hello!\n\ngames: Hi!\nmusic: And you?\nno channel\n"))
    run(monkeypatch, "channels.py")
    answered = capsys.readouterr().out.split("\n")  # a random model's reply may be of several lines
    assert sum(line.startswith("games: ") for line in answered) == 1
    assert sum(line.startswith("music: ") for line in answered) == 2
    assert Store(home.database).history("channel-music").texts[::2] == ("Hello!", "And you?")


def test_no_example_is_left_out() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    assert all(path.name in here for path in EXAMPLES.glob("*.py"))
