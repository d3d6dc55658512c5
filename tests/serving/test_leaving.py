"""A client that goes away frees its place at once, whatever it asked and however far that was."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import httpx
import pytest
import torch
from conftest import make_bot
from servers import serving

from adapterbot.bot import Bot
from adapterbot.engine import scheduler as engine
from adapterbot.home import Home
from adapterbot.manager.bert import BertEncoder
from adapterbot.network.backbone import Backbone
from adapterbot.serving.openai import embeddings
from adapterbot.storage.keys import KeyStore

STEP = 0.2  # seconds that a token takes
TOKENS = 100  # of a reply, which so takes 20 seconds
SOON = 5.0  # seconds in which a place is free again
LONG: dict[str, Any] = {"model": "adapterbot/chitchat", "min_tokens": TOKENS, "max_tokens": TOKENS, "drafts": 1}
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
OWN = {name: value for name, value in LONG.items() if name != "model"} | {"message": "Hello", "skill": "chitchat"}
ASKED: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", LONG | {"messages": HELLO}),
    "drafts": ("/v1/chat/completions", LONG | {"messages": HELLO, "drafts": 3}),
    "choices": ("/v1/chat/completions", LONG | {"messages": HELLO, "n": 3}),
    "stop": ("/v1/chat/completions", LONG | {"messages": HELLO, "stop": "never said"}),
    "responses": ("/v1/responses", LONG | {"input": "Hello", "max_output_tokens": TOKENS}),
    "completions": ("/v1/completions", LONG | {"prompt": ["Hello", "Bye"], "n": 2}),
    "respond": ("/v1/respond", OWN),
    "turns": ("/v1/sessions/{session}/turns", OWN),
}


class Slow(NamedTuple):
    """A server whose model takes its time."""

    bot: Bot
    web: httpx.Client

    def cut(self) -> float:
        """How many replies were left so far."""
        lines = self.web.get("/metrics").text.splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("adapterbot_replies_cut_total ")))

    def free(self) -> bool:
        """Whether no thread works and no draft grows."""
        engine = self.bot.scheduler
        return not (self.bot.pool.running or self.bot.pool.waiting or engine._thread)


@pytest.fixture(scope="module")
def slow(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slow]:
    home = Home(tmp_path_factory.mktemp("slow"))
    bot = make_bot(tiny, home)
    step = bot.scheduler._step

    def slowly() -> bool:
        time.sleep(STEP)
        return step()

    bot.scheduler._step = slowly  # type: ignore[method-assign]
    with serving(bot, KeyStore(home.database)) as address, httpx.Client(base_url=address, timeout=60) as web:
        yield Slow(bot, web)


def wait(until: Callable[[], bool], seconds: float = SOON) -> bool:
    """Whether it comes to be in that time."""
    end = time.monotonic() + seconds
    while not until() and time.monotonic() < end:
        time.sleep(0.01)
    return until()


def leave(web: httpx.Client, path: str, body: dict[str, Any], after: float = 1.0) -> None:
    """Ask, and hang up after so many seconds without an answer."""
    with pytest.raises(httpx.ReadTimeout):
        web.post(path, json=body, timeout=after)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("asked", ASKED)
def test_whoever_leaves_frees_the_place(slow: Slow, asked: str, stream: bool) -> None:
    path, body = ASKED[asked]
    session = slow.web.post("/v1/sessions").json()["id"]
    path = path.format(session=session)
    if stream:
        with slow.web.stream("POST", path, json=body | {"stream": True}) as answer:
            assert answer.status_code == 200
            for line in answer.iter_lines():
                if "data: " in line and "created" not in line.partition("data: ")[2][:40]:
                    break
            assert not slow.free()
    else:
        leave(slow.web, path, body)
    assert wait(slow.free), "nobody waits for what is made"
    assert slow.web.get(f"/v1/sessions/{session}/turns").json()["turns"] == []
    assert "replies_running 0.0" in slow.web.get("/metrics").text


def test_the_next_message_of_the_session_is_answered(slow: Slow) -> None:
    """As if the one that was left had never been said."""
    turns = f"/v1/sessions/{slow.web.post('/v1/sessions').json()['id']}/turns"
    before = slow.cut()
    leave(slow.web, turns, OWN)
    assert wait(lambda: slow.cut() == before + 1)
    reply = slow.web.post(turns, json=OWN | {"message": "Again", "min_tokens": 1, "max_tokens": 2}).json()
    assert [said["text"] for said in reply["history"]] == ["Again", reply["text"]]
    assert [turn["message"] for turn in slow.web.get(turns).json()["turns"]] == ["Again"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_waits_for_the_model_is_left_as_well(slow: Slow, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """Its thread is free long before the reply ahead of it is made."""
    monkeypatch.setattr(engine, "ROWS", 1)
    path, body = ASKED["respond"]
    with slow.web.stream("POST", path, json=body | {"stream": True}) as first:
        lines = first.iter_lines()
        assert next(lines)
        leave(slow.web, path, body | {"stream": stream})
        assert wait(lambda: slow.bot.pool.running == 1, 2.0)
        assert next(lines) is not None, "and the one ahead goes on"
    assert wait(slow.free)


def test_texts_to_encode_are_left(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[int] = []

    def slowly(encoder: BertEncoder, texts: list[str]) -> torch.Tensor:
        time.sleep(STEP)
        encoded.append(len(texts))
        return torch.zeros(len(texts), encoder.width)

    monkeypatch.setattr(BertEncoder, "encode", slowly)
    monkeypatch.setattr(embeddings, "BATCH", 4)
    leave(slow.web, "/v1/embeddings", {"input": ["a text"] * 400})
    assert wait(slow.free)
    assert 0 < sum(encoded) < 200
