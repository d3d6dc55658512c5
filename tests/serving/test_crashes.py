"""What a crash and a disk that fails leave behind: every turn that was acknowledged, and a reply all the same."""

from __future__ import annotations

import json
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
from clusters import Cluster, nobody
from conftest import make_bot
from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.serving import http, keys
from adapterbot.storage import database, engines
from adapterbot.storage import postgres as connections
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


def talking(tiny: Backbone, home: Home, place: str, keys: KeyStore) -> tuple[TestClient, str]:
    """A server in this process and the path of the turns of a session in it."""
    bot = make_bot(tiny, home, store=place)
    client = TestClient(http.api(bot, keys), base_url="http://127.0.0.1")
    turns = f"/v1/sessions/{client.post('/v1/sessions').json()['id']}/turns"
    assert client.post(turns, json={"message": "Hello"} | SHORT).json()["warnings"] == []
    return client, turns


@pytest.fixture
def session(tiny: Backbone, home: Home, tmp_path: Path) -> tuple[TestClient, str]:
    """One whose keys lie elsewhere."""
    return talking(tiny, home, str(home.database), KeyStore(tmp_path / "keys.sqlite3"))


@pytest.fixture
def kept(tiny: Backbone, home: Home, place: str) -> tuple[TestClient, str]:
    """One whose store is in each kind of database, with the keys."""
    return talking(tiny, home, place, KeyStore(place))


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


@pytest.mark.parametrize("stream", [False, True])
def test_a_read_only_store_costs_a_warning(kept: tuple[TestClient, str], place: str, stream: bool) -> None:
    client, turns = kept
    app: Any = client.app
    store: Store = app.state.turns.bot.store
    sa.event.listen(store._database._engine, "checkout", _read_only)
    (warning,) = told(client.post(turns, json={"message": "And you?"} | SHORT | {"stream": stream}))["warnings"]
    assert "this exchange was not saved" in warning
    assert "read" in warning
    assert "only" in warning
    sa.event.remove(store._database._engine, "checkout", _read_only)
    sa.event.listen(store._database._engine, "checkout", _writable)
    assert client.post(turns, json={"message": "Again?"} | SHORT).json()["warnings"] == []
    assert store.sessions()[0].turns == 2


def told(answer: Any) -> dict[str, Any]:
    """The Reply of an answer, whole or at the end of a stream."""
    assert answer.status_code == 200, answer.text
    if "event-stream" not in answer.headers["content-type"]:
        return dict(answer.json())
    return dict(json.loads(answer.text.rstrip().rpartition("data: ")[2])["reply"])


def _read_only(connection: Any, *_: object) -> None:
    _set(connection, "PRAGMA query_only = ON", "SET default_transaction_read_only = on")


def _writable(connection: Any, *_: object) -> None:
    _set(connection, "PRAGMA query_only = OFF", "SET default_transaction_read_only = off")


def _set(connection: Any, lite: str, server: str) -> None:
    if isinstance(connection, sqlite3.Connection):
        connection.execute(lite)
    else:
        connection.execute(server)
        connection.commit()


def test_a_locked_store_costs_a_warning(
    kept: tuple[TestClient, str], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, turns = kept
    app: Any = client.app
    app.state.turns.bot._store = None  # opened anew, with less patience
    monkeypatch.setattr(engines, "WAIT", 0.1)
    writer = Store(place)
    reply = writer._database.write(lambda _: told(client.post(turns, json={"message": "And you?"} | SHORT)))
    assert reply
    assert reply["text"]
    assert "not saved" in reply["warnings"][-1]
    assert "locked" in reply["warnings"][-1]
    assert client.post(turns, json={"message": "And now?"} | SHORT).json()["warnings"] == []


def test_a_server_without_its_database_answers_on(
    tiny: Backbone, home: Home, postgres: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "FRESH", 0.0)  # read for every request, however fast they follow each other
    client, turns = talking(tiny, home, postgres, KeyStore(postgres))
    cluster.stop()
    try:
        with capture_logs() as logged:
            assert client.post("/v1/respond", json={"message": "Hello"} | SHORT).status_code == 200
            for stream in (False, True):
                reply = told(client.post(turns, json={"message": "And you?"} | SHORT | {"stream": stream}))
                assert reply["text"]
                assert "what was said before could not be read" in reply["warnings"][0]
                assert "this exchange was not saved" in reply["warnings"][1]
                assert cluster.password not in str(reply)
            refusals = [
                client.post("/v1/sessions/unknown/turns", json={"message": "Hi"} | SHORT),
                client.post("/v1/sessions"),
                client.get(turns),
            ]
            assert [answer.status_code for answer in refusals] == [503] * 3
            assert not [answer for answer in refusals if cluster.password in answer.text]
    finally:
        cluster.start()
    assert client.post(turns, json={"message": "Are you back?"} | SHORT).json()["warnings"] == []
    assert [turn["message"] for turn in client.get(turns).json()["turns"]] == ["Hello", "Are you back?"]
    assert "keys_not_read" in {line["event"] for line in logged}
    assert cluster.password not in str(logged)


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_a_disk_that_became_read_only_costs_a_warning(tiny: Backbone, home: Home, locked: Path) -> None:
    file = locked / "talks.sqlite3"
    client, turns = talking(tiny, home, str(file), KeyStore(file))
    file.chmod(0o444)
    locked.chmod(0o555)
    with nobody():
        for stream in (False, True):
            reply = told(client.post(turns, json={"message": "And you?"} | SHORT | {"stream": stream}))
            assert reply["text"]
            (warning,) = reply["warnings"]
            assert "this exchange was not saved" in warning
            assert reply["history"][0]["text"] == "Hello", "what was said can be read"
        assert [turn["message"] for turn in client.get(turns).json()["turns"]] == ["Hello"]
        assert client.post("/v1/sessions").status_code == 503
    locked.chmod(0o755)
    file.chmod(0o600)
    assert client.post(turns, json={"message": "And now?"} | SHORT).json()["warnings"] == []


@pytest.mark.parametrize("stream", [False, True])
def test_a_database_that_freezes_costs_a_warning(
    tiny: Backbone, home: Home, postgres: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    known = KeyStore(postgres)
    client, turns = talking(tiny, home, postgres, known)
    monkeypatch.setattr(keys, "FRESH", 0.0)
    monkeypatch.setattr(database, "REST", 3600)
    with cluster.frozen(), monkeypatch.context() as patch:
        patch.setattr(connections, "ANSWERED", 0.3)
        reply = told(client.post(turns, json={"message": "And you?"} | SHORT | {"stream": stream}))
        assert client.post("/v1/respond", json={"message": "Hello"} | SHORT).status_code == 200
        assert client.get(turns).status_code == 503
    assert reply["text"]
    assert "what was said before could not be read" in reply["warnings"][0]
    assert "this exchange was not saved" in reply["warnings"][1]
    app: Any = client.app
    for kept in (known, app.state.turns.bot.store):
        kept._database._silent = (0.0, "")  # an hour later
    assert client.post(turns, json={"message": "Are you back?"} | SHORT).json()["warnings"] == []
    assert [turn["message"] for turn in client.get(turns).json()["turns"]] == ["Hello", "Are you back?"]


def test_a_store_that_became_unreadable_costs_a_warning(session: tuple[TestClient, str], home: Home) -> None:
    client, turns = session
    for end in ("-wal", "-shm"):
        home.database.with_name(home.database.name + end).unlink(missing_ok=True)
    home.database.write_bytes(b"not a database at all" * 500)
    answer = client.post("/v1/respond", json={"message": "Hello"} | SHORT)
    assert answer.status_code == 200
    reply = told(client.post(turns, json={"message": "Hello"} | SHORT))
    assert reply["text"]
    assert ["is damaged" in warning for warning in reply["warnings"]] == [True, True]
    unknown = client.post("/v1/sessions/unknown/turns", json={"message": "Hello"} | SHORT)
    assert unknown.status_code == 503, "whose it is cannot be told"
    assert "is damaged" in unknown.json()["error"]["message"]
