"""Many requests at once: mixed batches, threads and interleaved streams give what each request gives alone."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conftest import TRAINED, essence, random_adapter

from adapterbot.bot import Bot
from adapterbot.errors import AdapterbotError, InputError, SettingError, UnknownNameError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.knowledge import Nowhere, Opening
from adapterbot.network.backbone import Backbone
from adapterbot.turn import Reply

TALK = History().add_user("Hi!").add_bot("Hello, how are you?")
SHORT: dict[str, Any] = {"max_tokens": 8, "drafts": 1}


REQUESTS: list[dict[str, Any]] = [
    {"message": "Hello", "skill": "wiki", "seed": 1, "max_tokens": 12},
    {
        "message": "I feel sad.",
        "skill": "empathetic",
        "seed": 2,
        "history": TALK,
        "temperature": 1.5,
        "max_tokens": 30,
        "drafts": 2,
    },
    {"message": "Hi", "skill": "chitchat", "seed": 3, "drafts": 2, "max_tokens": 4, "top_k": 5},
    {"message": "Rain?", "skill": "weather", "seed": 4, "facts": ["city: Oslo, rain"], "max_tokens": 20},
    {"message": "You?", "skill": "persona", "seed": 5, "history": TALK.to_list(), "temperature": 0, "max_tokens": 9},
]


def test_a_mixed_batch_equals_one_by_one(shared_bot: Bot) -> None:
    together = shared_bot.respond_batch(REQUESTS)
    alone = [shared_bot.respond(**request) for request in REQUESTS]
    assert [essence(r) for r in together if isinstance(r, Reply)] == [essence(r) for r in alone]
    backwards = shared_bot.respond_batch(REQUESTS[::-1])[::-1]
    assert [r.text for r in backwards if isinstance(r, Reply)] == [r.text for r in alone]


BAD_ROWS: list[tuple[Any, type[AdapterbotError], str]] = [
    ({"message": "Hi", "skill": "wheather"}, UnknownNameError, "did you mean 'weather'"),
    ({"message": "Hi", "skill": 5}, InputError, "named by text"),
    ({"message": "Hi", "skill": ["wiki"]}, InputError, "named by text"),
    ({"message": "Hi", "skill": ""}, UnknownNameError, "unknown skill ''"),
    ({"message": " "}, InputError, "empty"),
    ({"message": None}, InputError, "text"),
    ({"text": "Hi"}, InputError, "message"),
    ({}, InputError, "message"),
    ("Hi", InputError, "message"),
    (None, InputError, "message"),
    ({"message": "Hi", "skill": "wiki", "temprature": 1}, SettingError, "did you mean 'temperature'"),
    ({"message": "Hi", "skill": "wiki", 5: 1}, SettingError, "unknown decode setting"),
    ({"message": "Hi", "skill": "wiki", "temperature": "hot"}, SettingError, "temperature="),
    ({"message": "Hi", "skill": "wiki", "seed": -1}, SettingError, "seed="),
    ({"message": "Hi", "skill": "wiki", "facts": "a"}, InputError, "facts is a list"),
    ({"message": "Hi", "skill": "wiki", "facts": 5}, InputError, "facts is a list"),
    ({"message": "Hi", "skill": "wiki", "facts": {"a": 1}}, InputError, "facts is a list"),
    ({"message": "Hi", "skill": "wiki", "history": "Hi"}, InputError, "a history is a list"),
    ({"message": "Hi", "skill": "wiki", "history": [5]}, InputError, "history"),
]


def test_a_bad_row_holds_its_error_and_the_others_are_served(shared_bot: Bot) -> None:
    results = shared_bot.respond_batch([REQUESTS[0], *(row for row, _, _ in BAD_ROWS), REQUESTS[2]])
    assert essence(results[0]) == essence(shared_bot.respond(**REQUESTS[0]))  # type: ignore[arg-type]
    assert isinstance(results[-1], Reply)
    for result, (row, error, message) in zip(results[1:-1], BAD_ROWS, strict=True):
        assert isinstance(result, error), row
        assert message in str(result)
        assert "\n" not in str(result)


def test_an_empty_batch_is_an_empty_list(shared_bot: Bot) -> None:
    assert shared_bot.respond_batch([]) == []


def test_interleaved_users_and_threads_equal_the_serial_run(shared_bot: Bot) -> None:
    requests = [
        {
            "message": f"message {i}",
            "skill": TRAINED[i % 5],
            "seed": i,
            "temperature": (i % 4) / 2,
            **SHORT,
        }
        for i in range(20)
    ]
    serial = [essence(shared_bot.respond(**r)) for r in requests]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda r: essence(shared_bot.respond(**r)), requests)) == serial
    streams = [shared_bot.stream(**r) for r in requests]
    done: dict[int, Reply] = {}
    while len(done) < len(streams):  # one piece of each in turn
        for i, stream in enumerate(streams):
            if i not in done:
                try:
                    next(stream)
                except StopIteration as end:
                    done[i] = end.value
    assert [essence(done[i]) for i in range(20)] == serial


def test_a_history_is_never_changed(shared_bot: Bot) -> None:
    items = TALK.to_list()
    before = json.dumps(items)
    shared_bot.respond("Hello", items, skill="wiki", seed=0, **SHORT)
    shared_bot.respond("Hello", TALK, skill="wiki", seed=0, **SHORT)
    assert json.dumps(items) == before
    assert len(TALK) == 2


def test_two_bots_do_not_share_state(tiny: Backbone, shared_bot: Bot, home: Home) -> None:
    random_adapter(tiny, home.skills / "wiki" / "adapter.safetensors", 77)
    other = Bot(tiny, home, log=False)
    assert "persona" in shared_bot.skills
    assert "persona" not in other.skills
    before = essence(shared_bot.respond("Hello", skill="wiki", seed=0, **SHORT))
    assert essence(other.respond("Hello", skill="wiki", seed=0, **SHORT)) != before
    other.session("a").respond("Hello", skill="wiki", **SHORT)
    assert shared_bot.session("a").history == History()
    assert essence(shared_bot.respond("Hello", skill="wiki", seed=0, **SHORT)) == before


def test_parts_are_loaded_once_however_many_ask_at_the_same_time(
    shared_bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def open_source(opening: Opening) -> Nowhere:
        opened.append(opening.spec.name)
        return Nowhere()

    monkeypatch.setattr("adapterbot.bot.open_source", open_source)
    fresh = Bot(shared_bot.backbone, shared_bot.home)
    gate = threading.Barrier(6)

    def ask(_: int) -> Reply:
        gate.wait()
        return fresh.respond("Hello", skill="persona", seed=0, **SHORT)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(ask, range(6)))
    assert opened == ["persona"]
