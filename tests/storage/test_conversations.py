"""The store: whole exchanges, several processes, and every way in which a database can be unusable."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from adapterbot.errors import InputError, UnknownNameError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.storage import conversations as store
from adapterbot.storage.conversations import Store, check_session_id
from adapterbot.turn import Passage, Reply

REPLY = Reply(
    "Hello there.",
    "wiki",
    {"wiki": 0.9},
    "manager",
    "clear",
    (Passage("Jazz", "Jazz is music.", source="passages", score=0.8),),
    timings={"total": 0.5},
    seed=7,
    warnings=("careful",),
)


@pytest.fixture
def kept(place: str) -> Store:
    return Store(place)


def test_what_was_appended_is_read_in_order(place: str) -> None:
    kept = Store(place)
    kept.append("a", "hi", REPLY)
    kept.append("b", "other", Reply("Yes.", "chitchat"))
    kept.append("a", "more?", Reply("Sure.", "persona"))
    expected = History().add_user("hi").add_bot("Hello there.").add_user("more?").add_bot("Sure.")
    assert Store(place).history("a") == expected
    assert kept.history("never-used") == History()


def test_export_has_everything_the_reply_said(place: str) -> None:
    kept = Store(place)
    kept.append("a", "hi", REPLY)
    (turn,) = kept.export("a")["turns"]
    assert (turn["message"], turn["reply"], turn["skill"], turn["routed_by"]) == ("hi", REPLY.text, "wiki", "manager")
    assert turn["facts"] == [REPLY.facts[0].to_dict()]
    assert (turn["scores"], turn["seed"], turn["timings"], turn["warnings"]) == (
        {"wiki": 0.9},
        7,
        {"total": 0.5},
        ["careful"],
    )
    assert turn["created_at"].endswith("+00:00")


def test_sessions_are_summarised_newest_first(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Store(place)
    for second, name in enumerate(["old", "new", "old", "newest"]):
        monkeypatch.setattr(store, "now", lambda s=second: f"2026-01-01T00:00:0{s}.000+00:00")
        kept.append(name, "hi", REPLY)
    assert [(s.id, s.turns) for s in kept.sessions()] == [("newest", 1), ("old", 2), ("new", 1)]
    assert kept.sessions()[1].created_at < kept.sessions()[1].updated_at


def test_undo_drops_the_last_exchange_only(place: str) -> None:
    kept = Store(place)
    for message in ("one", "two"):
        kept.append("a", message, REPLY)
    kept.append("b", "one", REPLY)
    assert kept.undo("a").texts == ("one", "Hello there.")
    assert kept.undo("a") == kept.undo("a") == History()
    assert kept.history("b").last_user == "one"
    kept.append("a", "again", REPLY)
    assert kept.history("a").last_user == "again"


def test_remove_and_export_of_an_unknown_session_name_the_nearest(place: str) -> None:
    kept = Store(place)
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


def test_a_place_without_a_store_is_empty_and_stays_so(place: str) -> None:
    kept = Store(place)
    assert (kept.history("a"), kept.sessions(), kept.undo("a")) == (History(), [], History())
    assert kept.forget_unused(days=1) == 0
    with pytest.raises(UnknownNameError):
        kept.remove("a")
    if "://" in place:
        with sa.create_engine(place, poolclass=sa.pool.NullPool).connect() as connection:
            assert sa.inspect(connection).get_table_names() == []
    kept.prepare()
    assert kept.sessions() == []


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "x" * 100])
def test_valid_session_ids(name: str) -> None:
    assert check_session_id(name) == name


@pytest.mark.parametrize("name", ["", "x" * 101, "a b", "../a", "a/b", "a\n", "é", "a\0", "'; DROP TABLE turn; --"])
def test_invalid_session_ids_are_refused_by_every_method(name: str, home: Home) -> None:
    kept = Store(home.database)
    with pytest.raises(InputError, match="session id"):
        kept.append(name, "hi", REPLY)
    for method in (kept.history, kept.undo, kept.remove, kept.export):
        with pytest.raises(InputError, match="session id"):
            method(name)
    assert not home.root.exists()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50
)  # one database for all texts
@given(message=st.text(max_size=200), reply=st.text(max_size=200))
@example(message="a\0b", reply="\0")
def test_any_text_survives(message: str, reply: str, kept: Store) -> None:
    kept.undo("a")
    kept.append("a", message, Reply(reply, "wiki"))
    assert kept.history("a").texts == tuple(text.replace("\0", "\ufffd") for text in (message, reply))


def test_lone_surrogates_and_quotes_are_stored(place: str) -> None:
    kept = Store(place)
    kept.append(
        "a", "x\ud800'); DROP TABLE turn; --", Reply('"\udfff', "wiki", facts=(Passage("", "\ud800", source="caller"),))
    )
    assert kept.history("a").texts == ("x?'); DROP TABLE turn; --", '"?')


def test_paths_with_odd_characters_and_urls(tmp_path: Path) -> None:
    odd = tmp_path / "mit Leerzeichen é?#%20" / "a b.sqlite3"
    Store(odd).append("a", "hi", REPLY)
    assert odd.is_file()
    assert Store(f"sqlite:///{tmp_path / 'url.sqlite3'}").history("a") == History()
