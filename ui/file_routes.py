"""Where the page sends files: one address that says what a file would become, and one that takes it in."""

from __future__ import annotations

import asyncio
import ipaddress
import json
import threading
from collections.abc import AsyncIterator
from queue import Empty, SimpleQueue
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from adapterbot.errors import AdapterbotError, InputError
from adapterbot.ui import words
from adapterbot.ui.files import HEAD, MOST_BYTES, Files

STEP = 0.1  # seconds between two reports


def is_here(address: str | None) -> bool:
    """Whether a request comes from this machine: files are the machine's, so nobody else adds or removes any."""
    try:
        return ipaddress.ip_address(address or "").is_loopback
    except ValueError:
        return False


def add_file_routes(app: FastAPI, files: Files) -> None:
    """`POST /own/look?name=` with a file's first bytes; `POST /own/add?name=&kind=` with all of it.

    The second answers line by line: `{"count"}` while it is read, then `{"done", "question"}` or `{"refused"}`.
    """

    @app.post("/own/look")
    async def look(request: Request, name: str) -> JSONResponse:
        try:
            head = await body(request, name, HEAD)
            found = await asyncio.to_thread(files.becomes, name, head)
        except AdapterbotError as error:
            return JSONResponse({"refused": str(error)})
        return JSONResponse({"becomes": [{"name": each.name, "text": each.text} for each in found]})

    @app.post("/own/add")
    async def add(request: Request, name: str, kind: str) -> StreamingResponse:
        try:
            content = await body(request, name, MOST_BYTES)
        except AdapterbotError as error:
            return StreamingResponse(iter([_line(refused=str(error))]), media_type="application/x-ndjson")
        return StreamingResponse(_adding(files, name, kind, content), media_type="application/x-ndjson")


async def body(request: Request, name: str, most: int) -> bytes:
    """What was sent, held to `most` bytes; raises InputError beyond, and for a request from another machine."""
    if not is_here(request.client.host if request.client else None):
        raise InputError(words.ONLY_HERE)
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > most:
            raise InputError(words.TOO_LARGE.format(name[-100:], MOST_BYTES // 2**20))
    return bytes(content)


async def _adding(files: Files, name: str, kind: str, content: bytes) -> AsyncIterator[str]:
    """Lines about a file that is read in a thread, which goes on to its end even where nobody listens any more."""
    told = SimpleQueue[dict[str, Any]]()

    def work() -> None:
        try:
            done, question = files.add(name, kind, content, lambda count: told.put({"count": count}))
            told.put({"done": words.added(name, done), "question": question})
        except AdapterbotError as error:
            told.put({"refused": str(error)})
        except Exception as error:  # a fault of ours
            told.put({"refused": words.BROKEN.format(type(error).__name__)})
            raise

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while True:
        said = dict[str, Any]()
        try:
            while "done" not in said and "refused" not in said:
                said = told.get_nowait()  # of several counts the last is enough
        except Empty:
            if not said:
                await asyncio.sleep(STEP)
                continue
        yield _line(**said)
        if "count" not in said:
            return


def _line(**said: Any) -> str:
    return json.dumps(said) + "\n"
