"""The store: whole exchanges, several processes, and every way in which a database can be unusable."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Connection

from adapterbot import database, store
from adapterbot.errors import InputError, MissingPartError, StoreError, UnknownNameError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.store import Store, check_session_id
from adapterbot.turn import Fact, Reply

REPLY = Reply(
    "Hello there.", "wiki", {"wiki": 0.9}, "manager", "clear", (Fact("Jazz is music.", "passages", "Jazz", 0.8),),
    timings={"total": 0.5}, seed=7, warnings=("careful",),
)  # fmt: skip


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another Python process that has imported the store."""
    head = "import os, sys, time\nfrom adapterbot.store import Store\nfrom adapterbot.turn import Reply\n"
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments], text=True, stdout=subprocess.PIPE)


def look(home: Home, query: str) -> list[tuple[object, ...]]:
    """What SQLite itself sees in the file."""
    with closing(sqlite3.connect(home.database)) as connection:
        return connection.execute(query).fetchall()


def test_what_was_appended_is_read_in_order(home: Home) -> None:
    kept = Store(home.database)
    kept.append("a", "hi", REPLY)
    kept.append("b", "other", Reply("Yes.", "chitchat"))
    kept.append("a", "more?", Reply("Sure.", "persona"))
    expected = History().add_user("hi").add_bot("Hello there.").add_user("more?").add_bot("Sure.")
    assert Store(home.database).history("a") == expected
    assert kept.history("never-used") == History()


def test_export_has_everything_the_reply_said(home: Home) -> None:
    kept = Store(home.database)
    kept.append("a", "hi", REPLY)
    (turn,) = kept.export("a")["turns"]
    assert (turn["message"], turn["reply"], turn["skill"], turn["routed_by"]) == ("hi", REPLY.text, "wiki", "manager")
    assert turn["facts"] == [{"text": "Jazz is music.", "source": "passages", "title": "Jazz", "score": 0.8}]
    assert (turn["scores"], turn["seed"], turn["timings"], turn["warnings"]) == (
        {"wiki": 0.9},
        7,
        {"total": 0.5},
        ["careful"],
    )
    assert turn["created_at"].endswith("+00:00")


def test_sessions_are_summarised_newest_first(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Store(home.database)
    for second, name in enumerate(["old", "new", "old", "newest"]):
        monkeypatch.setattr(store, "now", lambda s=second: f"2026-01-01T00:00:0{s}.000+00:00")
        kept.append(name, "hi", REPLY)
    assert [(s.id, s.turns) for s in kept.sessions()] == [("newest", 1), ("old", 2), ("new", 1)]
    assert kept.sessions()[1].created_at < kept.sessions()[1].updated_at


def test_undo_drops_the_last_exchange_only(home: Home) -> None:
    kept = Store(home.database)
    for message in ("one", "two"):
        kept.append("a", message, REPLY)
    kept.append("b", "one", REPLY)
    assert kept.undo("a").texts == ("one", "Hello there.")
    assert kept.undo("a") == kept.undo("a") == History()
    assert kept.history("b").last_user == "one"
    kept.append("a", "again", REPLY)
    assert kept.history("a").last_user == "again"


def test_remove_and_export_of_an_unknown_session_name_the_nearest(home: Home) -> None:
    kept = Store(home.database)
    kept.append("holiday", "hi", REPLY)
    for call in (kept.remove, kept.export):
        with pytest.raises(UnknownNameError, match="did you mean 'holiday'"):
            call("holidy")
    kept.remove("holiday")
    assert kept.sessions() == []


def test_nothing_is_created_before_the_first_write(home: Home) -> None:
    kept = Store(home.database)
    assert (kept.history("a"), kept.sessions(), kept.undo("a")) == (History(), [], History())
    with pytest.raises(UnknownNameError):
        kept.remove("a")
    assert not home.root.exists()
    kept.append("a", "hi", REPLY)
    assert home.database.is_file()


def test_memory_is_shared_by_threads_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    kept = Store(":memory:")
    threads = [threading.Thread(target=kept.append, args=(f"s{n % 2}", str(n), REPLY)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((s.id, s.turns) for s in kept.sessions()) == [("s0", 10), ("s1", 10)]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 100])
def test_valid_session_ids(name: str) -> None:
    assert check_session_id(name) == name


@pytest.mark.parametrize("name", ["", "x" * 101, "a b", "../a", "a/b", "a\n", "é", "a\0", "'; DROP TABLE turn; --"])
def test_invalid_session_ids_are_refused_by_every_method(name: str, home: Home) -> None:
    kept = Store(home.database)
    calls = [lambda: kept.append(name, "hi", REPLY)]
    calls += [lambda m=m: getattr(kept, m)(name) for m in ("history", "undo", "remove", "export")]  # type: ignore[misc]
    for call in calls:
        with pytest.raises(InputError, match="session id"):
            call()
    assert not home.root.exists()


@given(message=st.text(max_size=200), reply=st.text(max_size=200))
def test_any_text_survives(message: str, reply: str) -> None:
    kept = Store(":memory:")
    kept.append("a", message, Reply(reply, "wiki"))
    assert kept.history("a").texts == (message, reply)


def test_lone_surrogates_and_quotes_are_stored(home: Home) -> None:
    kept = Store(home.database)
    kept.append("a", "x\ud800'); DROP TABLE turn; --", Reply('"\udfff', "wiki", facts=(Fact("\ud800", "caller"),)))
    assert kept.history("a").texts == ("x?'); DROP TABLE turn; --", '"?')


def test_paths_with_odd_characters_and_urls(tmp_path: Path) -> None:
    odd = tmp_path / "mit Leerzeichen é?#%20" / "a b.sqlite3"
    Store(odd).append("a", "hi", REPLY)
    assert odd.is_file()
    assert Store(f"sqlite:///{tmp_path / 'url.sqlite3'}").history("a") == History()


# -- several writers --------------------------------------------------------------------------------------------------


def test_two_processes_write_the_same_session(home: Home) -> None:
    code = "kept = Store(sys.argv[1])\nfor i in range(15): kept.append('a', sys.argv[2] + str(i), Reply('ok', 'wiki'))"
    with run(code, str(home.database), "x") as one, run(code, str(home.database), "y") as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    said = [t for t in Store(home.database).history("a").texts if t != "ok"]
    assert [t for t in said if t[0] == "x"] == [f"x{i}" for i in range(15)]
    assert [t for t in said if t[0] == "y"] == [f"y{i}" for i in range(15)]


def test_threads_write_one_store(home: Home) -> None:
    kept = Store(home.database)
    threads = [threading.Thread(target=kept.append, args=("a", str(n), REPLY)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept.history("a").texts[::2], key=int) == [str(n) for n in range(12)]


def test_a_process_killed_within_a_transaction_leaves_no_half_turn(home: Home) -> None:
    kept = Store(home.database)
    kept.append("a", "before", REPLY)
    code = """
from adapterbot import store
def stuck(connection):
    connection.execute(store.sa.insert(store.TURN).values(session="a", position=2, message="half", reply="",
        skill="", routed_by="", details="{}", created_at=""))
    print("written", flush=True)
    time.sleep(60)
Store(sys.argv[1])._database.write(stuck)
"""
    with run(code, str(home.database)) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.kill()
    assert kept.history("a").texts == ("before", "Hello there.")
    kept.append("a", "after", REPLY)
    assert kept.history("a").last_user == "after"


def test_a_locked_database_is_an_error_in_bounded_time(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "WAIT", 0.1)
    kept = Store(home.database)
    kept.append("a", "hi", REPLY)
    other = sqlite3.connect(home.database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.perf_counter()
    with pytest.raises(StoreError, match="locked by another program"):
        kept.append("a", "more", REPLY)
    assert time.perf_counter() - started < 5
    assert kept.history("a").last_user == "hi"  # reading goes on
    other.execute("ROLLBACK")
    other.close()
    kept.append("a", "more", REPLY)


def test_a_writer_that_waits_succeeds_once_the_other_is_done(home: Home) -> None:
    kept = Store(home.database)
    kept.append("a", "hi", REPLY)
    other = sqlite3.connect(home.database, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, lambda: other.execute("ROLLBACK"))
    release.start()
    kept.append("a", "waited", REPLY)
    release.join()
    other.close()
    assert kept.history("a").last_user == "waited"


# -- what cannot be used ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"this is not a database, but a text of some length " * 100, b"SQLite format 3\0" + b"\xff" * 5000]
)
def test_a_damaged_file_is_named_and_left_as_it_is(content: bytes, tmp_path: Path) -> None:
    damaged = tmp_path / "chat.sqlite3"
    damaged.write_bytes(content)
    kept = Store(damaged)
    calls = [lambda: kept.history("a"), lambda: kept.append("a", "hi", REPLY), kept.sessions]
    for call in calls:
        with pytest.raises(StoreError, match=r"chat\.sqlite3 is damaged .* \(mv "):
            call()
    assert damaged.read_bytes() == content
    damaged.rename(tmp_path / "moved")
    kept.append("a", "hi", REPLY)  # as the message promised
    assert kept.history("a").last_user == "hi"


def test_a_database_damaged_inside_is_named_and_left_as_it_is(home: Home) -> None:
    kept = Store(home.database)
    kept.append("a", "hi", REPLY)
    content = home.database.read_bytes()
    damaged = content[:4096] + b"\xff" * (len(content) - 4096)
    home.database.write_bytes(damaged)
    for call in (lambda: kept.history("a"), lambda: kept.append("a", "more", REPLY)):
        with pytest.raises(StoreError, match=r"is damaged .*malformed"):
            call()
    assert home.database.read_bytes() == damaged


def test_a_read_only_database_can_be_read_but_not_written(home: Home) -> None:
    Store(home.database).append("a", "hi", REPLY)
    kept = Store(f"sqlite:///file:{home.database}?mode=ro&uri=true")
    assert kept.history("a").last_user == "hi"
    with pytest.raises(StoreError, match=r"cannot be used: .*readonly"):
        kept.append("a", "more", REPLY)


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        Store(tmp_path).append("a", "hi", REPLY)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "file" / "below.sqlite3").append("a", "hi", REPLY)


def test_a_full_disk_is_an_error_and_loses_nothing(home: Home) -> None:
    Store(home.database).append("a", "hi", REPLY)
    kept = Store(home.database)
    pages = look(home, "PRAGMA page_count")[0][0]

    def full(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql(
            "INSERT INTO turn SELECT session, 99, zeroblob(100000), '', '', '', '{}', '' FROM turn"
        )

    with pytest.raises(StoreError, match="full"):
        kept._database.write(full)
    assert kept.history("a").texts == ("hi", "Hello there.")


@pytest.mark.parametrize(
    ("url", "error"), [("nosuch://x", StoreError), ("://", StoreError), ("mssql+pymssql://u:pw@h/d", MissingPartError)]
)
def test_urls_that_cannot_be_used(url: str, error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        Store(url)
    assert "pw" not in str(raised.value)


# -- schema -----------------------------------------------------------------------------------------------------------


def test_an_older_database_is_migrated_and_keeps_its_turns(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(home.database).append("a", "hi", REPLY)

    def m002_rating(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE turn ADD COLUMN rating INTEGER")

    monkeypatch.setattr(store, "MIGRATIONS", (*store.MIGRATIONS, m002_rating))
    assert Store(home.database).history("a").last_user == "hi"
    assert look(home, "SELECT name FROM migration ORDER BY name") == [("m001_turns",), ("m002_rating",)]
    assert look(home, "SELECT message, rating FROM turn") == [("hi", None)]


def test_a_migration_that_fails_leaves_the_database_as_it_was(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(home.database).append("a", "hi", REPLY)
    older = store.MIGRATIONS

    def m002_broken(connection: Connection) -> None:
        connection.exec_driver_sql("CREATE TABLE half (x INTEGER)")
        connection.exec_driver_sql("ALTER TABLE nosuch ADD COLUMN y INTEGER")

    monkeypatch.setattr(store, "MIGRATIONS", (*older, m002_broken))
    with pytest.raises(StoreError, match="nosuch"):
        Store(home.database).history("a")
    monkeypatch.setattr(store, "MIGRATIONS", older)
    assert Store(home.database).history("a").last_user == "hi"
    assert look(home, "SELECT name FROM sqlite_master WHERE name = 'half'") == []


def test_a_newer_database_asks_for_an_upgrade(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    older = store.MIGRATIONS

    def m900_future(connection: Connection) -> None:
        """Changes nothing."""

    monkeypatch.setattr(store, "MIGRATIONS", (*older, m900_future))
    Store(home.database).append("a", "hi", REPLY)
    monkeypatch.setattr(store, "MIGRATIONS", older)
    before = home.database.read_bytes()
    for call in (lambda: Store(home.database).history("a"), lambda: Store(home.database).append("a", "x", REPLY)):
        with pytest.raises(StoreError, match=r"newer adapterbot \(m900_future\): pip install --upgrade"):
            call()
    assert home.database.read_bytes() == before


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.sqlite3"
    with closing(sqlite3.connect(foreign)) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
    before = foreign.read_bytes()
    with pytest.raises(StoreError, match=r"another program's tables \(customers\)"):
        Store(foreign).append("a", "hi", REPLY)
    assert foreign.read_bytes() == before
