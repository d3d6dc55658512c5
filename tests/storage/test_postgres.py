"""What only a server can do to a store: be gone, refuse, be read-only, be used by several programs at once."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from subprocess import PIPE, Popen
from typing import Any

import pytest
from clusters import Cluster
from sqlalchemy.engine import Connection

from adapterbot.errors import StoreError
from adapterbot.storage import database, engines
from adapterbot.storage import postgres as connections
from adapterbot.storage.conversations import Store
from adapterbot.turn import Reply

REPLY = Reply("Hello there.", "wiki")


def name_of(url: str) -> str:
    """The database in a URL."""
    return url.rpartition("/")[2]


@contextmanager
def writing(kept: Store, session: str) -> Iterator[None]:
    """A transaction of another thread that has begun to write, as long as the block."""
    begun, end = threading.Event(), threading.Event()

    def work(_: Connection) -> None:
        begun.set()
        end.wait(60)

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(lambda: kept._database.write(work, session=session))
        assert begun.wait(60)
        try:
            yield
        finally:
            end.set()
        writer.result()


def test_a_writer_is_alone_in_its_session_and_in_no_other(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, other = Store(postgres), Store(postgres)
    kept.append("a", "hi", REPLY)
    monkeypatch.setattr(engines, "WAIT", 0.1)
    with writing(kept, "a"):
        other.append("b", "at once", REPLY)
        assert other.history("a").last_user == "hi"
        for call in (
            lambda: other.append("a", "late", REPLY),
            lambda: other.undo("a"),
            lambda: other.of("anna").begin("a", "hi"),
            lambda: other.forget_unused(days=0),
        ):
            with pytest.raises(StoreError, match="locked by another program"):
                call()
    with writing(kept, ""), pytest.raises(StoreError, match="locked by another program"):
        other.append("b", "late", REPLY)
    assert other.forget_unused(days=0) == 2


def test_whoever_waits_for_a_session_writes_behind_it(postgres: str) -> None:
    kept = Store(postgres)
    kept.prepare()

    def slowly(connection: Connection) -> None:
        time.sleep(0.5)
        connection.exec_driver_sql("INSERT INTO turn VALUES ('a', 1, 'first', 'x', 'wiki', 'user', '{}', '2026', 1, 0)")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(lambda: kept._database.write(slowly, session="a"))
        time.sleep(0.2)
        Store(postgres).append("a", "second", REPLY)
        first.result()
    assert kept.history("a").texts[::2] == ("first", "second")


def test_servers_that_start_at_the_same_time_make_one_store(postgres: str) -> None:
    code = "import sys; from adapterbot.storage.conversations import Store; Store(sys.argv[1]).prepare()"
    started = [Popen([sys.executable, "-c", code, postgres], stderr=PIPE, text=True) for _ in range(3)]
    assert [(run.communicate(timeout=120)[1], run.returncode) for run in started] == [("", 0)] * 3


def test_a_server_that_was_started_anew_costs_nothing(postgres: str, cluster: Cluster) -> None:
    kept = Store(postgres)
    kept.append("a", "hi", REPLY)
    cluster.stop()
    try:
        started = time.perf_counter()
        for call in (lambda: kept.history("a"), lambda: kept.append("a", "lost", REPLY), kept.prepare):
            with pytest.raises(StoreError, match=r"\*\*\*@.* cannot be used: .*refused") as raised:
                call()
            assert cluster.password not in str(raised.value)
        assert time.perf_counter() - started < 10
    finally:
        cluster.start()
    kept.append("a", "more", REPLY)
    assert kept.history("a").texts[::2] == ("hi", "more")


def test_a_server_that_freezes_is_waited_for_once(
    postgres: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(postgres)
    kept.append("a", "before", REPLY)
    reached = list[object]()
    connect = connections.Connection.connect

    def counted(*given: Any, **more: Any) -> Any:
        reached.append(given)
        return connect(*given, **more)

    monkeypatch.setattr(connections.Connection, "connect", counted)
    with cluster.frozen(), monkeypatch.context() as patch:
        patch.setattr(connections, "ANSWERED", 0.3)
        patch.setattr(database, "REST", 3600)
        for call in (lambda: kept.append("a", "lost", REPLY), lambda: kept.history("a"), lambda: kept.undo("a")):
            with pytest.raises(StoreError, match=r"cannot be used: .*time"):
                call()
        assert len(reached) == 1
    with pytest.raises(StoreError, match="cannot be used"):
        kept.history("a")
    kept._database._silent = (0.0, "")  # an hour later
    kept.append("a", "after", REPLY)
    assert kept.history("a").texts[::2] == ("before", "after")


def test_a_server_that_freezes_in_a_transaction_has_none_of_it(
    postgres: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(postgres)
    kept.append("a", "before", REPLY)
    monkeypatch.setattr(database, "REST", 0)

    def work(connection: Connection) -> None:
        connection.exec_driver_sql("UPDATE turn SET message = 'changed'")
        with cluster.frozen(), monkeypatch.context() as patch:
            patch.setattr(connections, "ANSWERED", 0.3)
            connection.exec_driver_sql("SELECT 1")

    with pytest.raises(StoreError, match=r"the server has not answered for 0\.3 s"):
        kept._database.write(work, session="a")
    kept.append("a", "after", REPLY)  # its lock is free
    assert kept.history("a").texts[::2] == ("before", "after")


def test_a_read_only_server_can_be_read(postgres: str, cluster: Cluster) -> None:
    Store(postgres).append("a", "hi", REPLY)
    cluster.sql(f"ALTER DATABASE {name_of(postgres)} SET default_transaction_read_only = on")
    kept = Store(postgres)
    kept.prepare()
    assert kept.history("a").last_user == "hi"
    with pytest.raises(StoreError, match=r"cannot be used: .*read-only transaction"):
        kept.append("a", "more", REPLY)


def test_a_table_that_is_locked_whole_holds_nobody_up(
    postgres: str, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Store(postgres)
    kept.append("a", "hi", REPLY)
    monkeypatch.setattr(engines, "WAIT", 0.1)

    def lock(connection: Connection) -> None:
        connection.exec_driver_sql("LOCK TABLE turn IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StoreError, match="locked by another program"):
            kept.history("a")

    Store(postgres)._database.read(lock, None)
    assert kept.history("a").last_user == "hi"


@pytest.mark.parametrize(
    ("user", "password", "database", "said"),
    [
        ("bot", "Wr0ngS3cr3t", "postgres", "password authentication failed"),
        ("nobody", "", "postgres", "password authentication failed"),
        ("bot", "", "nosuch", 'database "nosuch" does not exist'),
        ("reader", "", "", "permission denied for schema public"),
    ],
)
def test_what_the_server_refuses_is_one_line(
    user: str, password: str, database: str, said: str, postgres: str, cluster: Cluster
) -> None:
    if user == "reader":
        cluster.sql(f"CREATE ROLE reader LOGIN PASSWORD '{cluster.password}'")
    kept = Store(cluster.url(database or name_of(postgres), user, password or None))
    with pytest.raises(StoreError, match=said) as raised:
        kept.prepare()
    for secret in (cluster.password, "Wr0ngS3cr3t"):
        assert secret not in str(raised.value)
    assert "\n" not in str(raised.value)
    assert str(raised.value).startswith(f"postgresql+psycopg://{user}:***@127.0.0.1")


def test_more_threads_than_connections(postgres: str) -> None:
    kept = Store(postgres)
    with ThreadPoolExecutor(30) as pool:
        list(pool.map(lambda n: kept.append(f"s{n % 3}", str(n), REPLY), range(60)))
    assert sorted((s.id, s.turns) for s in kept.sessions()) == [("s0", 20), ("s1", 20), ("s2", 20)]
    for session in ("s0", "s1", "s2"):
        assert [each.position for each in kept.exchanges(session)] == list(range(1, 21))
