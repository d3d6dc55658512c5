"""What OpenAI's client does by itself: it asks again where the server says that it may."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest
from conftest import make_bot
from servers import serving

from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.pool import Pool
from adapterbot.serving import http
from adapterbot.storage.keys import KeyStore

ASKED: dict[str, Any] = {
    "model": "adapterbot/chitchat",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 2,
    "extra_body": {"drafts": 1},
}


@pytest.fixture
def narrow(tiny: Backbone, home: Home) -> Iterator[tuple[str, threading.Event]]:
    """A server that makes one reply at a time and lets nobody wait; the place is taken until the event is set."""
    bot = make_bot(tiny, home, log=False)
    bot.pool = Pool(threads=1, line=0)
    free = threading.Event()
    bot.pool.submit(free.wait)
    with serving(bot, KeyStore(home.database)) as address:
        yield address, free
        free.set()


def test_the_client_asks_again_where_the_line_was_full(narrow: tuple[str, threading.Event]) -> None:
    address, free = narrow
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as once:
        with pytest.raises(openai.InternalServerError) as refused:
            once.chat.completions.create(**ASKED)
        assert refused.value.status_code == 503
        assert refused.value.code == "busy"
        assert refused.value.response.headers["retry-after"] == "1"
        with ThreadPoolExecutor(1) as pool:
            patient = once.with_options(max_retries=3)
            asking = pool.submit(lambda: patient.chat.completions.create(**ASKED))
            page = ""
            while 'route="/v1/chat/completions",status="503"} 2.0' not in page:
                page = httpx.get(f"{address}/metrics").text
            free.set()
            assert asking.result(timeout=60).choices[0].message.content


def test_a_key_is_asked_for_and_its_limit_is_an_exception(tiny: Backbone, home: Home) -> None:
    store = KeyStore(home.database)
    key = store.new("slow", per_minute=1)
    with serving(make_bot(tiny, home, log=False), store) as address:
        with (
            openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0) as stranger,
            pytest.raises(openai.AuthenticationError) as unknown,
        ):
            stranger.models.list()
        assert unknown.value.code == "invalid_api_key"
        with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client:
            client.models.list()
            with pytest.raises(openai.RateLimitError) as limited:
                client.models.list()
        assert 0 < float(limited.value.response.headers["retry-after-ms"]) <= 60_001


SHORT = {"max_tokens": 2, "drafts": 1}
LATE: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": ASKED["model"], "messages": ASKED["messages"]} | SHORT,
    "/v1/responses": {"model": ASKED["model"], "input": "Hello"} | SHORT,
    "/v1/completions": {"model": ASKED["model"], "prompt": "Hello"} | SHORT,
    "/v1/respond": {"skill": "chitchat", "message": "Hello"} | SHORT,
}


def test_a_reply_that_is_late_is_given_up(tiny: Backbone, home: Home) -> None:
    bot = make_bot(tiny, home)
    store = KeyStore(home.database)
    with serving(bot, store, http.Settings(timeout=0)) as address, httpx.Client(base_url=address, timeout=60) as web:
        session = f"/v1/sessions/{web.post('/v1/sessions').json()['id']}/turns"
        for path, body in (LATE | {session: LATE["/v1/respond"]}).items():
            answer = web.post(path, json=body)
            assert answer.status_code == 504, path
            assert answer.json()["error"]["code"] == "timeout"
            answer = web.post(path, json=body | {"stream": True})
            assert '"code":"timeout"' in answer.text, path
        assert web.get(session).json()["turns"] == []
        cared = web.post("/v1/respond", json={"message": "I want to kill myself"}).json()
        assert cared["routed_by"] == "care", "no model is waited for"
        with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
            with pytest.raises(openai.InternalServerError) as late:
                client.chat.completions.create(**ASKED)
            assert late.value.status_code == 504
    with serving(bot, store, http.Settings(timeout=3600)) as address:
        for path, body in LATE.items():
            assert httpx.post(address + path, json=body, timeout=60).status_code == 200
