"""The database under the store: several writers, kills, and damage."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from clusters import look, nobody, past_the_store
from sqlalchemy.engine import Connection

from adapterbot.errors import StoreError
from adapterbot.home import Home
from adapterbot.storage import engines
from adapterbot.storage.conversations import Store
from adapterbot.turn import Reply

REPLY = Reply("Hello there.", "wiki")


def run(code: str, *arguments: str) -> subprocess.Popen[str]:
    """Another Python process that has imported the store."""
    head = (
        "import os, sys, time\nfrom adapterbot.storage.conversations import Store\nfrom adapterbot.turn import Reply\n"
    )
    return subprocess.Popen([sys.executable, "-c", head + code, *arguments], text=True, stdout=subprocess.PIPE)


def hold(connection: Connection) -> None:
    """Be in the way of every writer until ROLLBACK."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql("LOCK TABLE turn IN SHARE MODE")


# -- several writers --------------------------------------------------------------------------------------------------


def test_two_processes_write_the_same_session(place: str) -> None:
    code = "kept = Store(sys.argv[1])\nfor i in range(15): kept.append('a', sys.argv[2] + str(i), Reply('ok', 'wiki'))"
    with run(code, place, "x") as one, run(code, place, "y") as two:
        assert (one.wait(60), two.wait(60)) == (0, 0)
    exchanges = Store(place).exchanges("a")
    assert [each.position for each in exchanges] == list(range(1, 31))
    said = [each.message for each in exchanges]
    assert [t for t in said if t[0] == "x"] == [f"x{i}" for i in range(15)]
    assert [t for t in said if t[0] == "y"] == [f"y{i}" for i in range(15)]


def test_threads_write_one_store(place: str) -> None:
    kept = Store(place)
    threads = [threading.Thread(target=kept.append, args=("a", str(n), REPLY)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(kept.history("a").texts[::2], key=int) == [str(n) for n in range(12)]


def test_a_process_killed_within_a_transaction_leaves_no_half_turn(place: str) -> None:
    kept = Store(place)
    kept.append("a", "before", REPLY)
    code = """
from adapterbot.storage import conversations as store
def stuck(connection):
    connection.execute(store.sa.insert(store.TURN).values(session="a", position=2, message="half", reply="",
        skill="", routed_by="", details="{}", created_at=""))
    print("written", flush=True)
    time.sleep(60)
Store(sys.argv[1])._database.write(stuck)
"""
    with run(code, place) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        writer.kill()
    assert kept.history("a").texts == ("before", "Hello there.")
    kept.append("a", "after", REPLY)
    assert kept.history("a").last_user == "after"


def test_a_locked_database_is_an_error_in_bounded_time(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "WAIT", 0.1)
    kept = Store(place)
    kept.append("a", "hi", REPLY)
    with past_the_store(place) as other:
        hold(other)
        started = time.perf_counter()
        with pytest.raises(StoreError, match=r"locked by another program \(waited 0\.3 s\)"):
            kept.append("a", "more", REPLY)
        assert time.perf_counter() - started < 5
        assert kept.history("a").last_user == "hi"  # reading goes on
        other.exec_driver_sql("ROLLBACK")
    kept.append("a", "more", REPLY)


def test_a_writer_that_waits_succeeds_once_the_other_is_done(place: str) -> None:
    kept = Store(place)
    kept.append("a", "hi", REPLY)
    held, release = threading.Event(), threading.Event()

    def block() -> None:
        with past_the_store(place) as other:
            hold(other)
            held.set()
            release.wait(0.3)
            other.exec_driver_sql("ROLLBACK")

    blocker = threading.Thread(target=block)
    blocker.start()
    assert held.wait(30)
    kept.append("a", "waited", REPLY)
    blocker.join()
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


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("log", [False, True], ids=["closed", "with what was not yet moved out of the log"])
def test_talks_on_a_read_only_disk_can_be_read(locked: Path, log: bool) -> None:
    file = locked / "talks.sqlite3"
    Store(file).append("a", "hi", REPLY)
    keeper = None
    if log:
        keeper = sqlite3.connect(file, isolation_level=None)
        keeper.execute("BEGIN").execute("SELECT * FROM turn").fetchall()  # nothing is moved while somebody reads
        Store(file).append("a", "more", REPLY)
        assert file.with_name(file.name + "-wal").stat().st_size
    for path in locked.iterdir():
        path.chmod(0o444)
    if log:
        file.with_name(file.name + "-shm").unlink()
    locked.chmod(0o555)
    with nobody():
        kept = Store(file)
        assert kept.history("a").texts == ("hi", "Hello there.", "more", "Hello there.")[: 4 if log else 2]
        assert [s.id for s in kept.sessions()] == ["a"]
        with pytest.raises(StoreError, match="cannot be used"):
            kept.append("a", "again", REPLY)
        assert len(kept.history("a")) == (4 if log else 2)
    if keeper:
        keeper.close()


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_talks_are_for_their_owner_alone(home: Home, umask: int) -> None:
    before = os.umask(umask)
    try:
        kept = Store(home.database)
        kept.append("a", "hi", REPLY)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (home.root, *home.root.iterdir())}
    assert modes.pop(home.root.name) == 0o700
    assert set(modes.values()) == {0o600}
    home.database.chmod(0o644)
    home.root.chmod(0o755)
    Store(home.database).append("a", "hi", REPLY)
    assert stat.S_IMODE(home.database.stat().st_mode) == 0o600


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="unable to open"):
        Store(tmp_path).append("a", "hi", REPLY)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        Store(tmp_path / "file" / "below.sqlite3").append("a", "hi", REPLY)


def test_a_full_disk_is_an_error_and_loses_nothing(home: Home) -> None:
    Store(home.database).append("a", "hi", REPLY)
    kept = Store(home.database)
    pages = look(str(home.database), "PRAGMA page_count")[0][0]

    def full(connection: Connection) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        connection.exec_driver_sql(
            "INSERT INTO turn SELECT session, 99, zeroblob(100000), '', '', '', '{}', '' FROM turn"
        )

    with pytest.raises(StoreError, match="full"):
        kept._database.write(full)
    assert kept.history("a").texts == ("hi", "Hello there.")
