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
