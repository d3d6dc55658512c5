"""gradio's own client at the app of a server: it shows no function, and none can be called by its name or number."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from gradio_client import Client
from gradio_client.exceptions import AuthenticationError
from servers import serving

from adapterbot.bot import Bot
from adapterbot.home import Home
from adapterbot.storage.keys import KeyStore
from adapterbot.ui.app import web_app


def made(bot: Bot) -> FastAPI:
    """The app; gradio leaves an open event loop behind for every page that is built outside of one."""

    async def build() -> FastAPI:
        return web_app(bot)

    return asyncio.run(build())


def test_it_finds_nothing_to_call(shared_bot: Bot, home: Home) -> None:
    with serving(shared_bot, KeyStore(home.database), page=made(shared_bot)) as address:
        nothing: dict[str, Any] = {"named_endpoints": {}, "unnamed_endpoints": {}}
        assert httpx.get(f"{address}/gradio_api/info").json() == nothing
        with closing(Client(address, verbose=False, analytics_enabled=False)) as client:
            assert client.view_api(all_endpoints=True, print_info=False, return_format="dict") == nothing
            names = [function.api_name for function in client.endpoints.values()]
            assert "/send" in names, "the page has functions"
            for number, name in enumerate(names):
                with pytest.raises(ValueError, match="Cannot find a function"):
                    client.predict("Hello", api_name=name)
                with pytest.raises(ValueError, match="Invalid function index"):
                    client.predict("Hello", fn_index=number)
        for path in ("call", "call/v2", "api", "run"):  # as a client without such scruples would ask
            answer = httpx.post(f"{address}/gradio_api/{path}/arrive", json={"data": [{}]})
            assert answer.status_code == 403, path
            assert "/v1" in answer.text


def test_with_keys_it_has_to_log_in(shared_bot: Bot, home: Home) -> None:
    store = KeyStore(home.database)
    key = store.new("test")
    with serving(shared_bot, store, page=made(shared_bot)) as address:
        with pytest.raises(AuthenticationError):
            Client(address, verbose=False, analytics_enabled=False)
        cookie = httpx.post(f"{address}/login", data={"key": key}).cookies["adapterbot"]
        headers = {"cookie": f"adapterbot={cookie}"}
        with closing(Client(address, verbose=False, analytics_enabled=False, headers=headers)) as client:
            assert client.endpoints
