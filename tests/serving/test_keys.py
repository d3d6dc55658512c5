"""Keys: only hashes are kept, they open what they should and no more, and their requests are counted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import httpx
import openai
import pytest
import sqlalchemy as sa
from servers import serving

from adapterbot.bot import Bot
from adapterbot.errors import InputError, SettingError, StoreError, UnknownNameError
from adapterbot.home import Home
from adapterbot.serving import http, keys
from adapterbot.serving.keys import Access, Bucket
from adapterbot.serving.refusals import ApiError
from adapterbot.storage.keys import FORM, KEY, Key, KeyStore


@pytest.fixture
def store(place: str) -> KeyStore:
    return KeyStore(place)


@pytest.fixture
def locked(shared_bot: Bot, store: KeyStore) -> Iterator[tuple[str, str]]:
    """The address of a server with a key, and the key."""
    key = store.new("test")
    with serving(shared_bot, store) as address:
        yield address, key


def test_a_key_is_shown_once_and_kept_as_a_hash(store: KeyStore, home: Home) -> None:
    key = store.new("for the app", admin=True, per_minute=5)
    assert FORM.fullmatch(key)
    (kept,) = store.all()
    assert (kept.name, kept.admin, kept.per_minute, kept.revoked_at) == ("for the app", True, 5, None)
    secret = key.split("-", 2)[2]
    assert kept.opens(secret)
    assert not kept.opens(secret[:-1] + ("A" if secret[-1] != "A" else "B"))
    assert secret not in store._database.read(lambda connection: str(connection.execute(sa.select(KEY)).all()), "")
    assert all(secret.encode() not in path.read_bytes() for path in home.root.glob("*"))


def test_a_key_is_revoked_once(store: KeyStore) -> None:
    store.new()
    (key,) = store.all()
    store.revoke(key.id)
    for id in (key.id, "nothing"):
        with pytest.raises(UnknownNameError, match="unknown key"):
            store.revoke(id)


@pytest.mark.parametrize(("name", "limit"), [("x" * 101, None), ("", 0), ("", -1), ("", 2**31)])
def test_a_key_that_cannot_be(store: KeyStore, name: str, limit: int | None) -> None:
    with pytest.raises(InputError):
        store.new(name, per_minute=limit)


def test_without_keys_this_machine_may_ask_and_others_may_not(store: KeyStore) -> None:
    for host in ("127.0.0.1", "::1", "localhost"):
        http.check_host(host, store)
    for host in ("0.0.0.0", "::", "192.168.0.7", "bot.lan"):
        with pytest.raises(SettingError, match="adapterbot keys new"):
            http.check_host(host, store)
    store.new()
    http.check_host("0.0.0.0", store)


def test_a_key_opens_the_api_and_nothing_else_does(locked: tuple[str, str]) -> None:
    address, key = locked
    with openai.OpenAI(base_url=f"{address}/v1", api_key=key, max_retries=0) as client:
        assert client.models.list().data
    with httpx.Client(base_url=address) as web:
        assert web.get("/healthz").status_code == 200
        wrong = f"{key[:-1]}{'A' if key[-1] != 'A' else 'B'}"
        for header in (
            "",
            "Bearer",
            f"Basic {key}",
            f"Bearer {wrong}",
            "Bearer ab--",
            f"Bearer {key} x",
            "Bearer \xff",
        ):
            for path in ("/v1/models", "/metrics", "/openapi.json", "/v1/sessions"):
                answer = web.get(path, headers={b"authorization": header.encode("latin-1")})
                assert answer.status_code == 401, header
                assert answer.json()["error"]["type"] == "authentication_error"
                assert answer.headers["www-authenticate"] == "Bearer"
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        models = client.models
        with pytest.raises(openai.AuthenticationError):
            models.list()


def test_a_revoked_key_opens_nothing_within_a_second(
    locked: tuple[str, str], store: KeyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, key = locked
    header = {"authorization": f"Bearer {key}"}
    assert httpx.get(f"{address}/v1/models", headers=header).status_code == 200
    monkeypatch.setattr(keys, "FRESH", 0.0)
    store.revoke(store.all()[0].id)
    assert httpx.get(f"{address}/v1/models", headers=header).status_code == 401
    assert httpx.get(f"{address}/v1/models").status_code == 401, "it stays closed though no key is left"


def test_keys_open_for_a_while_though_the_store_is_gone(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    key, time = store.new(), [0.0]
    gone = StoreError("postgresql+psycopg://bot:***@db.internal/bot cannot be used")

    async def ask() -> None:
        access = Access(store, required=False, clock=lambda: time[0])
        assert (await access.caller(f"Bearer {key}")).key
        monkeypatch.setattr(store, "all", refusing(gone))
        for time[0] in (2.0, 60.0, keys.TRUSTED):
            assert (await access.caller(f"Bearer {key}")).key
            with pytest.raises(ApiError, match="opens nothing"):
                await access.caller(f"Bearer {key[:-1]}{'A' if key[-1] != 'A' else 'B'}")
        time[0] = 2 * keys.TRUSTED
        for late in (access, Access(store, required=False)):
            with pytest.raises(ApiError, match="cannot be read just now") as raised:
                await late.caller(f"Bearer {key}")
            assert raised.value.status == 503
            assert "db.internal" not in str(raised.value)

    asyncio.run(ask())


def test_a_server_that_needs_no_key_goes_on_without_the_store(store: KeyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    time = [0.0]

    async def ask() -> None:
        access = Access(store, required=False, clock=lambda: time[0])
        assert (await access.caller("")).owner == "local"
        monkeypatch.setattr(store, "all", refusing(StoreError("gone")))
        time[0] = 2 * keys.TRUSTED
        assert (await access.caller("")).owner == "local"

    asyncio.run(ask())


def refusing(error: Exception) -> Callable[[], list[Key]]:
    """What raises `error` whenever it is called."""

    def refuse() -> list[Key]:
        raise error

    return refuse


def test_a_browser_logs_in_with_a_key(locked: tuple[str, str]) -> None:
    address, key = locked
    with httpx.Client(base_url=address) as browser:
        sent = browser.get("/", headers={"accept": "text/html"})
        assert (sent.status_code, sent.headers["location"]) == (303, "/login")
        assert browser.get("/gradio_api/info").status_code == 401
        assert "<form" in browser.get("/login").text
        assert browser.post("/login", data={"key": "wrong"}).status_code == 401
        done = browser.post("/login", data={"key": key})
        assert done.status_code == 303
        cookie = done.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert key.lower() not in cookie
        assert browser.get("/", headers={"accept": "text/html"}).status_code == 404, "there is no app on this server"
        assert browser.get("/v1/models").status_code == 401, "programs send the key itself"


def test_requests_of_a_key_are_counted() -> None:
    time = [0.0]
    bucket = Bucket(2, lambda: time[0])
    assert [bucket.take(), bucket.take()] == [0, 0]
    assert bucket.take() == pytest.approx(30)
    time[0] = 30
    assert bucket.take() == 0
    assert bucket.take() == pytest.approx(30)
    time[0] = 10_000
    assert [bucket.take(), bucket.take(), bucket.take() > 0] == [0, 0, True]


def test_too_many_requests_are_told_when_to_come_again(store: KeyStore) -> None:
    first, second = store.new(per_minute=2), store.new(per_minute=2)

    async def ask() -> None:
        access = Access(store, required=True)
        for _ in range(2):
            await access.caller(f"Bearer {first}")
        with pytest.raises(ApiError, match="2 requests a minute") as raised:
            await access.caller(f"Bearer {first}")
        assert raised.value.status == 429
        assert 1 <= int(raised.value.headers["retry-after"]) <= 31
        assert (await access.caller(f"Bearer {second}")).key, "each has a count of its own"

    asyncio.run(ask())
