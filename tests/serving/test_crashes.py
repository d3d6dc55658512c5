"""What a crash and a disk that fails leave behind: every turn that was acknowledged, and a reply all the same."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from conftest import make_bot
from fastapi.testclient import TestClient

from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.serving import http
from adapterbot.storage.conversations import Store
from adapterbot.storage.keys import KeyStore

SHORT: dict[str, Any] = {"max_tokens": 4, "drafts": 1, "seed": 1}
LONG: dict[str, Any] = {"min_tokens": 100, "max_tokens": 100, "drafts": 1, "stream": True}


def test_after_kill_9_every_acknowledged_turn_is_there_and_no_half(on_tiny: None, home: Home) -> None:
    command = [sys.executable, "-m", "adapterbot.cli", "serve", "--port", "0", "--no-app"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as run:
        assert run.stdout
        found = re.search(r"(http://\S+)/v1", run.stdout.readline())
        assert found
        with httpx.Client(base_url=found[1], timeout=60) as client:
            session = client.post("/v1/sessions").json()["id"]
            turns = f"/v1/sessions/{session}/turns"
            said = []
            for number in range(3):
                message = f"message {number}"
                said += [message, client.post(turns, json={"message": message} | SHORT).json()["text"]]
            with client.stream("POST", turns, json={"message": "never acknowledged"} | LONG) as stream:
                assert next(stream.iter_lines())
                run.send_signal(signal.SIGKILL)
                run.wait(timeout=60)
    assert Store(home.database).history(session).texts == tuple(said)
    with closing(sqlite3.connect(home.database)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.fixture
def session(tiny: Backbone, home: Home, tmp_path: Path) -> tuple[TestClient, str]:
    """A server in this process and the path of the turns of a session in it."""
    bot = make_bot(tiny, home)
    client = TestClient(http.api(bot, KeyStore(tmp_path / "keys.sqlite3")), base_url="http://127.0.0.1")
    turns = f"/v1/sessions/{client.post('/v1/sessions').json()['id']}/turns"
    assert client.post(turns, json={"message": "Hello"} | SHORT).json()["warnings"] == []
    return client, turns


def test_a_full_store_costs_a_warning(session: tuple[TestClient, str], tiny: Backbone) -> None:
    client, turns = session
    new = f"/v1/sessions/{client.post('/v1/sessions').json()['id']}/turns"
    app: Any = client.app
    engine = app.state.turns.bot.store._database._engine
    sa.event.listen(engine, "connect", _no_page_more)
    long = {"message": "word " * 700} | SHORT
    replies = [client.post(path, json=long).json() for path in [turns] * 5 + [new]]
    assert all(reply["text"] for reply in replies)
    for reply in replies[-2:]:
        assert "this exchange was not saved" in reply["warnings"][-1]
        assert "full" in reply["warnings"][-1]


def _no_page_more(connection: sqlite3.Connection, _: object) -> None:
    """As on a disk that is full."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages:d}")


def test_a_store_that_became_unreadable_costs_a_warning(session: tuple[TestClient, str], home: Home) -> None:
    client, turns = session
    for end in ("-wal", "-shm"):
        home.database.with_name(home.database.name + end).unlink(missing_ok=True)
    home.database.write_bytes(b"not a database at all" * 500)
    answer = client.post("/v1/respond", json={"message": "Hello"} | SHORT)
    assert answer.status_code == 200
    told = client.post(turns, json={"message": "Hello"} | SHORT)
    assert told.status_code == 503
    assert "is damaged" in told.json()["error"]["message"]
