"""What a server's store is good for afterwards: what was liked is learnt, and what nobody used goes."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from conftest import make_bot
from fastapi.testclient import TestClient
from haiku import write_skill
from typer.testing import CliRunner

from adapterbot.cli.app import app
from adapterbot.errors import StoreError
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.serving import http
from adapterbot.storage.conversations import Store
from adapterbot.storage.keys import KeyStore
from adapterbot.storage.schema import TURN
from adapterbot.turn import Reply


def test_what_was_liked_is_what_a_training_reads(on_tiny: None, home: Home, tmp_path: Path) -> None:
    write_skill(home)
    store = Store(home.database)
    for number in range(16):
        session = f"s{number}"
        store.append(session, f"Tell me of snow {number}", Reply(f"Snow {number} falls on the pond", "haiku"))
        store.append(session, "And of rain", Reply("no verse", "haiku"))
        store.judge(session, 1, 1)
        store.judge(session, 2, -1)
    told = CliRunner().invoke(app, ["sessions", "export", "--feedback"]).output
    turns = [turn["text"] for line in told.splitlines() for turn in json.loads(line)["turns"]]
    assert sorted(turns[1::2]) == sorted(f"Snow {number} falls on the pond" for number in range(16))
    file = tmp_path / "liked.jsonl"
    file.write_text(told)
    trained = CliRunner().invoke(app, ["train-skill", "haiku", "--data", str(file), "--epochs", "1"])
    assert trained.exit_code == 0, trained.output
    assert (home.skills / "haiku" / "adapter.safetensors").is_file()


def test_a_server_deletes_what_nobody_used(tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """At its start and once an hour, a store that failed once included."""
    bot = make_bot(tiny, home)
    monkeypatch.setattr(http, "TIDIED", 0.05)
    failing = [StoreError("locked")]
    forget = Store.forget_unused

    def forgotten(store: Store, days: float) -> int:
        if failing:
            raise failing.pop()
        return forget(store, days=days)

    monkeypatch.setattr(Store, "forget_unused", forgotten)
    bot.store.append("old", "Hello", Reply("Hi!", "chitchat"))
    moment = (datetime.now(UTC) - timedelta(days=8)).isoformat(timespec="milliseconds")
    bot.store._database.write(lambda connection: connection.execute(sa.update(TURN).values(created_at=moment)))
    bot.store.append("new", "Hello", Reply("Hi!", "chitchat"))
    settings = http.Settings(hosts=("testserver",), keep=7)
    with TestClient(http.api(bot, KeyStore(home.database), settings)):
        end = time.monotonic() + 30
        while len(bot.store.sessions()) > 1 and time.monotonic() < end:
            time.sleep(0.02)
        assert [each.id for each in bot.store.sessions()] == ["new"]
