"""A session remembers, keeps its order whoever asks at the same time, and is never worth a reply."""

from __future__ import annotations

import copy
import pickle
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from adapterbot.bot import Bot
from adapterbot.errors import InputError, SettingError
from adapterbot.history import READ, History
from adapterbot.home import Home
from adapterbot.storage.conversations import Store
from adapterbot.turn import Reply

FORCED: dict[str, Any] = {"skill": "chitchat", "max_tokens": 6, "drafts": 1}


def test_a_session_remembers_and_the_next_bot_does_too(tiny_bot: Bot, home: Home) -> None:
    session = tiny_bot.session("anna")
    first = session.respond("Hello", seed=1, **FORCED)
    second = session.respond("How are you?", seed=2, **FORCED)
    assert session.history.texts == ("Hello", first.text, "How are you?", second.text)
    assert second.history == session.history
    plain = tiny_bot.respond("How are you?", first.history, seed=2, **FORCED)
    assert plain.text == second.text, "it saw the first exchange"
    assert Bot(tiny_bot.backbone, home).session("anna").history == session.history
    assert home.database.is_file()


def test_without_a_log_nothing_is_written_but_all_is_remembered(
    tiny_bot: Bot, home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    quiet = Bot(tiny_bot.backbone, home, log=False)
    quiet.session("anna").respond("Hello", **FORCED)
    with ThreadPoolExecutor(1) as pool:
        texts = pool.submit(lambda: quiet.session("anna").history.texts).result()
    assert texts[0] == "Hello"
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == before
    assert Bot(tiny_bot.backbone, home, log=False).session("anna").history == History()


def test_sessions_do_not_mix(tiny_bot: Bot) -> None:
    tiny_bot.session("anna").respond("I am Anna.", **FORCED)
    tiny_bot.session("ben").respond("I am Ben.", **FORCED)
    assert "Anna" not in " ".join(tiny_bot.session("ben").history.texts)
    tiny_bot.session("ben").undo()
    assert len(tiny_bot.session("anna").history) == 2
    assert tiny_bot.session("ben").history == History()


def test_undo_forgets_the_last_exchange(tiny_bot: Bot) -> None:
    session = tiny_bot.session("anna")
    for message in ("one", "two"):
        session.respond(message, **FORCED)
    assert session.undo().texts[0] == "one"
    assert len(session.history) == 2
    assert session.undo() == History()
    assert session.undo() == History(), "there is nothing left to forget"


def test_a_stream_is_remembered_when_it_has_ended_and_not_when_it_is_closed(tiny_bot: Bot) -> None:
    session = tiny_bot.session("anna")
    text = "".join(session.stream("Hello", seed=1, **FORCED))
    assert session.history.texts == ("Hello", text)
    stream = session.stream("And then?", skill="chitchat", seed=2, min_tokens=20, max_tokens=20, drafts=1)
    next(stream)
    stream.close()
    assert session.history.texts == ("Hello", text)
    assert session.respond("Still there?", **FORCED).text, "the lock is free again"


def test_a_stream_that_nobody_reads_on_holds_up_no_other_message(tiny_bot: Bot) -> None:
    session = tiny_bot.session("anna")
    stream = session.stream("Hello", skill="chitchat", seed=2, min_tokens=20, max_tokens=20, drafts=1)
    next(stream)
    with ThreadPoolExecutor(1) as pool:  # another tab of the same conversation
        other = pool.submit(lambda: tiny_bot.session("anna").respond("Still there?", **FORCED)).result(timeout=30)
    assert list(session.history.texts) == ["Still there?", other.text]
    list(stream)
    assert session.history.texts[:3] == ("Still there?", other.text, "Hello"), "it is remembered once it has ended"


def test_a_refused_message_is_not_remembered(tiny_bot: Bot) -> None:
    session = tiny_bot.session("anna")
    for message, options, error in ((" ", {}, InputError), ("Hello", {"temperature": -1}, SettingError)):
        with pytest.raises(error):
            session.respond(message, **FORCED | options)
    assert session.history == History()


def test_messages_at_the_same_time_are_answered_one_after_the_other(tiny_bot: Bot) -> None:
    def ask(i: int) -> str:
        return tiny_bot.session("anna").respond(f"message {i}", seed=i, **FORCED).text

    with ThreadPoolExecutor(6) as pool:
        replies = dict(enumerate(pool.map(ask, range(12))))
    texts = tiny_bot.session("anna").history.texts
    assert len(texts) == 24
    for message, reply in zip(texts[::2], texts[1::2], strict=True):
        assert reply == replies[int(message.split()[1])], "an exchange stays together"


def test_interleaved_sessions_equal_the_serial_run(tiny_bot: Bot) -> None:
    def talk(name: str) -> tuple[str, ...]:
        i = int(name.split("-")[1])
        session = tiny_bot.session(name)
        options = {"skill": ("persona", "empathetic", "weather", "chitchat")[i % 4], "temperature": i % 3 / 2}
        for turn in range(2):
            session.respond(f"turn {turn} of {i}", seed=10 * i + turn, max_tokens=6, drafts=1, **options)
        return session.history.texts

    serial = [talk(f"serial-{i}") for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, [f"parallel-{i}" for i in range(8)])) == serial


@pytest.mark.parametrize("id", ["", "a b", "../../etc/passwd", "a/b", "x" * 101, "a\0b", "é"])
def test_an_id_that_cannot_name_a_session_is_refused(tiny_bot: Bot, id: str) -> None:
    with pytest.raises(InputError, match="session id"):
        tiny_bot.session(id).respond("Hello", **FORCED)


def test_a_damaged_store_costs_a_warning_not_the_reply(tiny_bot: Bot, home: Home) -> None:
    home.root.mkdir(parents=True, exist_ok=True)
    home.database.write_bytes(b"this is no database" * 100)
    reply = tiny_bot.session("anna").respond("Hello", **FORCED)
    assert reply.text
    assert any("was not saved" in w for w in reply.warnings)
    assert home.database.read_bytes().startswith(b"this is no database"), "it is left for its owner to look at"


def test_a_locked_store_costs_a_warning_not_the_reply(
    tiny_bot: Bot, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = tiny_bot.session("anna")
    session.respond("Hello", **FORCED)
    blocker = sqlite3.connect(home.database, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    try:
        reply = session.respond("How are you?", **FORCED)
    finally:
        blocker.rollback()
        blocker.close()
    assert any("was not saved" in w and "locked" in w for w in reply.warnings)
    assert len(session.history) == 2
    assert session.respond("And now?", **FORCED).warnings == ()


def talked(home: Home, session: str, exchanges: int) -> None:
    """Store that many exchanges at once; their replies carry details as real ones do."""
    Store(home.database).append(
        session, "first", Reply("Yes.", "chitchat", scores={f"skill{i}": 0.1 for i in range(26)})
    )
    with sqlite3.connect(home.database) as connection:
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) INSERT INTO turn"
            " SELECT session, i, 'message ' || i, 'reply ' || i, skill, routed_by, details, created_at, 1, 0"
            " FROM turn, n WHERE session = ? AND position = 1",
            (exchanges, session),
        )
    connection.close()


def test_a_long_session_answers_as_fast_as_a_short_one(
    tiny_bot: Bot, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    talked(home, "long", 20_000)
    talked(home, "short", 20)
    rows = []
    read = Store._rows
    monkeypatch.setattr(Store, "_rows", lambda self, chosen: [rows.append(r) or r for r in read(self, chosen)])  # type: ignore[func-returns-value]
    seconds = {}
    for name in ("short", "long"):
        session = tiny_bot.session(name)
        session.respond("And?", seed=1, **FORCED)
        started = time.perf_counter()
        for seed in range(5):
            reply = session.respond("And then?", seed=seed, **FORCED)
        seconds[name] = time.perf_counter() - started
    assert len(rows) <= 6 * (READ // 2) + 6 * 26, "of the long one, only the window was read"
    assert seconds["long"] < 2 * seconds["short"] + 0.5
    assert len(reply.history) == READ + 2
    assert len(tiny_bot.session("long").history) == 2 * 20_006, "all of it is there to be exported"


def test_a_history_of_the_callers_own_stays_whole_and_is_read_at_its_end(tiny_bot: Bot) -> None:
    past = History()
    said = [text for i in range(20_000) for text in (f"message {i}", f"reply {i}")]
    past = History.from_list(said)
    tiny_bot.respond("Hello", skill="weather", seed=1, max_tokens=4, drafts=2)
    started = time.perf_counter()
    reply = tiny_bot.respond("And then?", past, skill="weather", seed=1, max_tokens=4, drafts=2)
    assert time.perf_counter() - started < 1
    assert reply.history.texts[:-2] == past.texts
    again = tiny_bot.respond("And then?", past.window(READ), skill="weather", seed=1, max_tokens=4, drafts=2)
    assert again.text == reply.text


@pytest.mark.parametrize(
    "damage",
    ["details = '{'", "details = ''", "details = x'ff'", "message = x'ff00'", "reply = x'00'", "details = '[1, 2]'"],
)
def test_a_damaged_turn_is_left_out_with_a_warning(tiny_bot: Bot, home: Home, damage: str) -> None:
    session = tiny_bot.session("anna")
    texts = [session.respond(message, seed=1, **FORCED).text for message in ("one", "two", "three")]
    with sqlite3.connect(home.database) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute(f"UPDATE turn SET {damage} WHERE position = 2")
    connection.close()
    for reply in (session.respond("four", seed=1, **FORCED), Bot(tiny_bot.backbone, home).session("anna").undo()):
        if isinstance(reply, Reply):
            assert reply.history.texts[:4] == ("one", texts[0], "three", texts[2])
            assert any("turn 2 of the session 'anna' is damaged" in warning for warning in reply.warnings)
        else:
            assert reply.texts == ("one", texts[0], "three", texts[2])
    exported = tiny_bot.store.export("anna")
    assert [turn["message"] for turn in exported["turns"]] == ["one", "three"]
    assert exported["warnings"] == ["turn 2 of the session 'anna' is damaged and was left out"]


def test_a_text_that_is_no_utf8_hides_nothing_else(tiny_bot: Bot, home: Home) -> None:
    session = tiny_bot.session("anna")
    session.respond("one", seed=1, **FORCED)
    with sqlite3.connect(home.database) as connection:
        connection.execute("UPDATE turn SET message = CAST(x'61ff62' AS TEXT)")
    connection.close()
    assert session.respond("two", seed=1, **FORCED).history.texts[0] == "a\ufffdb"


def test_a_reply_can_be_copied_and_pickled(tiny_bot: Bot) -> None:
    reply = tiny_bot.respond("Hello", [["Hi!", "Hello."]], skill="persona", seed=1, max_tokens=6, drafts=2)
    for other in (copy.deepcopy(reply), copy.copy(reply), pickle.loads(pickle.dumps(reply))):
        assert other == reply
        assert other.to_dict() == reply.to_dict()


def test_the_last_message_is_answered_again_and_the_former_reply_stays_a_version(tiny_bot: Bot) -> None:
    session = tiny_bot.session("anna")
    first = session.respond("one", seed=1, **FORCED)
    session.respond("two", seed=2, **FORCED)
    again = "".join(session.again(seed=3, **FORCED))
    assert again == tiny_bot.respond("two", first.history, seed=3, **FORCED).text
    edited = "".join(session.again("two, I mean", seed=3, **FORCED))
    assert session.history.texts == ("one", first.text, "two, I mean", edited)
    assert [version.message for version in tiny_bot.store.versions("anna", 2)] == ["two", "two", "two, I mean"]


def test_nothing_can_be_answered_again_before_something_was_said(tiny_bot: Bot) -> None:
    with pytest.raises(InputError, match="nothing was said yet"):
        list(tiny_bot.session("anna").again(**FORCED))


def test_drafts_can_be_stopped_before_the_first_of_their_words_is_shown(tiny_bot: Bot) -> None:
    stream = tiny_bot.session("anna").stream(
        "Hi", skill="chitchat", drafts=4, temperature=5.0, min_tokens=30, beats=True
    )
    assert next(stream) == ""
    stream.close()
    assert tiny_bot.session("anna").history == History()
