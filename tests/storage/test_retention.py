"""Conversations that nobody used for some days go, whole, and no other."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from adapterbot.cli.app import app
from adapterbot.errors import SettingError
from adapterbot.home import Home
from adapterbot.storage.conversations import Store
from adapterbot.storage.schema import TURN
from adapterbot.turn import Reply


def aged(store: Store, session: str, days: int) -> None:
    """As if all of a session had been said `days` days earlier."""
    moment = (datetime.now(UTC) - timedelta(days=days)).isoformat(timespec="milliseconds")
    said = sa.update(TURN).where(TURN.c.session == session).values(created_at=moment)
    store._database.write(lambda connection: connection.execute(said))


def filled(path: str) -> Store:
    """A store of three sessions, last used today, 3 and 40 days ago; the oldest began long before it was last used."""
    store = Store(path)
    for session in ("today", "recent", "old"):
        store.of("anna").begin(session, session)
        store.append(session, "Hi", Reply("Hello.", "chitchat"))
        store.add_version(session, 1, "Hi", Reply("Hey.", "chitchat"))
    aged(store, "recent", 400)
    store.append("recent", "Still there?", Reply("Yes.", "chitchat"))
    aged(store, "old", 40)
    return store


def test_only_what_nobody_used_goes(place: str) -> None:
    store = filled(place)
    assert store.forget_unused(days=30) == 1
    assert {summary.id for summary in store.sessions()} == {"today", "recent"}
    assert {each.id for each in store.of("anna").list()} == {"today", "recent"}
    assert store.versions("old", 1) == []
    assert len(store.versions("today", 1)) == 2
    assert store.forget_unused(days=30) == 0


@pytest.mark.parametrize("days", [-1, math.nan, math.inf, 40_000])
def test_no_number_of_days(tmp_path: Path, days: float) -> None:
    with pytest.raises(SettingError, match="days"):
        Store(tmp_path / "a.sqlite3").forget_unused(days=days)


def test_nothing_is_made_where_nothing_is_stored(tmp_path: Path) -> None:
    assert Store(tmp_path / "a.sqlite3").forget_unused(days=1) == 0
    assert not (tmp_path / "a.sqlite3").exists()


def test_rm_takes_a_name_or_days(home: Home) -> None:
    filled(str(home.database))
    run = CliRunner().invoke
    assert run(app, ["sessions", "rm", "--unused", "30"]).output == "removed 1 conversation\n"
    assert run(app, ["sessions", "rm", "today"]).output == "removed today\n"
    assert [summary.id for summary in Store(home.database).sessions()] == ["recent"]
    for wrong in (["sessions", "rm"], ["sessions", "rm", "recent", "--unused", "1"]):
        result = run(app, wrong)
        assert result.exit_code != 0
        assert "name one" in str(result.exception)
