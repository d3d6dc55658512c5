"""Turns for asyncio: the same replies, a line with an end, and nobody holds anybody up."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from conftest import essence

from adapterbot.bot import Bot
from adapterbot.errors import BusyError, SettingError
from adapterbot.pool import Pool

SHORT: dict[str, Any] = {"skill": "persona", "seed": 1, "max_tokens": 8, "drafts": 1}


def test_a_reply_and_a_stream_are_those_of_a_thread(shared_bot: Bot) -> None:
    async def ask() -> None:
        reply = await shared_bot.arespond("Hello", **SHORT)
        assert essence(reply) == essence(shared_bot.respond("Hello", **SHORT))
        stream = shared_bot.astream("Hello", **SHORT)
        with pytest.raises(RuntimeError, match="not ended"):
            _ = stream.reply
        assert "".join([piece async for piece in stream]) == reply.text
        assert essence(stream.reply) == essence(reply)

    asyncio.run(ask())


def test_errors_come_to_whoever_waits(shared_bot: Bot) -> None:
    async def ask() -> None:
        with pytest.raises(SettingError):
            await shared_bot.arespond("Hello", temperature=-1)
        with pytest.raises(SettingError):
            await anext(shared_bot.astream("Hello", temperature=-1))

    asyncio.run(ask())


def test_many_at_once_get_what_each_gets_alone(shared_bot: Bot) -> None:
    async def ask() -> list[str]:
        asked = [shared_bot.arespond("Hello", **SHORT | {"seed": seed}) for seed in range(8)]
        return [reply.text for reply in await asyncio.gather(*asked)]

    assert asyncio.run(ask()) == [shared_bot.respond("Hello", **SHORT | {"seed": s}).text for s in range(8)]


def test_a_session_is_kept_from_asyncio_too(tiny_bot: Bot) -> None:
    async def talk() -> None:
        session = tiny_bot.session("anna")
        first = await session.arespond("Hello", **SHORT)
        stream = session.astream("And you?", **SHORT)
        second = "".join([piece async for piece in stream])
        assert session.history.texts == ("Hello", first.text, "And you?", second)
        assert stream.reply.history == session.history

    asyncio.run(talk())


def test_a_full_line_refuses_and_whoever_leaves_makes_room() -> None:
    async def crowd() -> None:
        pool, gate = Pool(threads=1, line=2), threading.Event()
        tasks = [asyncio.ensure_future(pool.run(gate.wait)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert (pool.running, pool.waiting) == (1, 2)
        with pytest.raises(BusyError, match="3 replies"):
            await pool.run(gate.wait)
        tasks[2].cancel()
        await asyncio.sleep(0.05)
        assert pool.waiting == 1
        last = asyncio.ensure_future(pool.run(lambda: "served"))
        gate.set()
        assert await last == "served"
        assert await tasks[0]
        assert (pool.running, pool.waiting) == (0, 0)

    asyncio.run(crowd())


def test_a_stream_that_is_left_frees_its_thread(shared_bot: Bot) -> None:
    async def leave() -> None:
        stream = shared_bot.astream("Hello", skill="chitchat", min_tokens=100, max_tokens=100, drafts=1, seed=1)
        await anext(stream)
        await stream.aclose()
        started = time.perf_counter()
        while shared_bot.pool.running and time.perf_counter() - started < 20:
            await asyncio.sleep(0.01)
        assert not shared_bot.pool.running
        with pytest.raises(StopAsyncIteration):
            await anext(stream)

    asyncio.run(leave())


def test_a_slow_reader_holds_no_thread(shared_bot: Bot) -> None:
    async def read_slowly() -> None:
        stream = shared_bot.astream("Hello", **SHORT)
        first = await anext(stream)
        await asyncio.wrap_future(stream.work)  # it is made, and nobody has read on
        assert first + "".join([piece async for piece in stream]) == stream.reply.text

    asyncio.run(read_slowly())
