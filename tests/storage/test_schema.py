"""Schemas of other ages: older ones are migrated, newer ones and other programs' are left as they are."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from clusters import look, past_the_store
from sqlalchemy.engine import Connection

from adapterbot.errors import StoreError
from adapterbot.home import Home
from adapterbot.storage import conversations as store
from adapterbot.storage.conversations import Store
from adapterbot.turn import Reply

REPLY = Reply("Hello there.", "wiki")


def test_an_older_database_is_migrated_and_keeps_its_turns(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(place).append("a", "hi", REPLY)

    def m900_rating(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE turn ADD COLUMN rating INTEGER")

    monkeypatch.setattr(store, "MIGRATIONS", (*store.MIGRATIONS, m900_rating))
    assert Store(place).history("a").last_user == "hi"
    assert look(place, "SELECT name FROM migration ORDER BY name") == [
        (m.__name__,) for m in sorted(store.MIGRATIONS, key=lambda m: m.__name__)
    ]
    assert look(place, "SELECT message, rating FROM turn") == [("hi", None)]


@pytest.mark.parametrize("had", range(1, len(store.MIGRATIONS)))
def test_a_store_of_every_age_is_migrated(had: int, place: str, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    current = store.MIGRATIONS
    monkeypatch.setattr(store, "MIGRATIONS", current[:had])
    Store(place).prepare()
    with past_the_store(place) as connection:
        connection.exec_driver_sql(
            "INSERT INTO turn (session, position, message, reply, skill, routed_by, details, created_at)"
            " VALUES ('a', 1, 'hi', 'Hello.', 'wiki', 'user', '{}', '2026-01-01')"
        )
    monkeypatch.setattr(store, "MIGRATIONS", current)
    kept = Store(place)
    assert kept.history("a").texts == ("hi", "Hello.")
    long = "+".join(f"{number}*{'skill' * 8}" for number in range(1, 5))
    kept.append("a", "more", Reply("Yes.", long))
    assert kept.exchanges("a")[-1].reply.skill == long


def test_a_migration_that_fails_leaves_the_database_as_it_was(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(place).append("a", "hi", REPLY)
    older = store.MIGRATIONS

    def m002_broken(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE half (x INTEGER)")
        connection.exec_driver_sql("ALTER TABLE nosuch ADD COLUMN y INTEGER")

    monkeypatch.setattr(store, "MIGRATIONS", (*older, m002_broken))
    with pytest.raises(StoreError, match="nosuch"):
        Store(place).history("a")
    monkeypatch.setattr(store, "MIGRATIONS", older)
    assert Store(place).history("a").last_user == "hi"
    with past_the_store(place) as connection:
        assert "half" not in sa.inspect(connection).get_table_names()


def test_a_newer_database_asks_for_an_upgrade(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    older = store.MIGRATIONS

    def m900_future(connection: Connection) -> None:
        """Changes nothing."""

    monkeypatch.setattr(store, "MIGRATIONS", (*older, m900_future))
    Store(place).append("a", "hi", REPLY)
    monkeypatch.setattr(store, "MIGRATIONS", older)
    before = look(place, "SELECT * FROM migration")
    for call in (lambda: Store(place).history("a"), lambda: Store(place).append("a", "x", REPLY)):
        with pytest.raises(StoreError, match=r"newer adapterbot \(m900_future\): pip install --upgrade"):
            call()
    assert look(place, "SELECT * FROM migration") == before


def test_another_programs_database_is_not_touched(place: str, home: Home) -> None:
    home.root.mkdir(parents=True)
    with past_the_store(place) as connection:
        connection.exec_driver_sql("CREATE TABLE customers (name TEXT)")
    kept = Store(place)
    for call in (lambda: kept.append("a", "hi", REPLY), lambda: kept.history("a"), kept.prepare):
        with pytest.raises(StoreError, match=r"another program's tables \(customers\)"):
            call()
    with past_the_store(place) as connection:
        assert sa.inspect(connection).get_table_names() == ["customers"]
