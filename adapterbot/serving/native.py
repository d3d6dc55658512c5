"""The bot's own API: the whole Reply, the skills, and sessions that belong to the key that began them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator
from typing import Any

import structlog
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from adapterbot.errors import StoreError, UnknownNameError, shorten
from adapterbot.history import History
from adapterbot.serving import answers as said
from adapterbot.serving.answers import answers
from adapterbot.serving.begun import Begun
from adapterbot.serving.keys import Caller
from adapterbot.serving.openai.wire import MOST_MESSAGES, events, turns_of
from adapterbot.serving.refusals import REFUSALS, Answer, ApiError, ErrorAnswer
from adapterbot.serving.turns import Ask, Pieces, while_there
from adapterbot.storage.conversations import Store, check_session_id
from adapterbot.storage.owners import Owned
from adapterbot.turn import DECODE_SETTINGS

log = structlog.get_logger("adapterbot.serving")
MOST_TURNS = 1000  # of a session in one answer

REPLY = answers(said.Replied, [said.Piece, said.Whole, ErrorAnswer])
routes = APIRouter(prefix="/v1", tags=["adapterbot"], responses=REFUSALS)


class Message(BaseModel):
    """What a user says, and how it is to be answered; the settings are those of `Bot.respond`."""

    model_config = ConfigDict(extra="forbid")

    message: str
    skill: str | None = None
    facts: list[str] | None = Field(None, max_length=64, description="Facts to answer from, in place of retrieval.")
    region: str | None = None
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram: int | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    drafts: int | None = None
    seed: int | None = None

    def request(self) -> dict[str, Any]:
        """What the bot is asked, but the message."""
        names = ("skill", "facts", "region", *DECODE_SETTINGS)
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class Question(Message):
    """A message and what was said before it, in any form that `History.from_list` reads."""

    history: list[Any] | None = Field(None, max_length=MOST_MESSAGES)


@routes.post("/respond", response_model=None, responses=REPLY)
async def respond(body: Question, request: Request) -> Response:
    """Answer one message; the whole Reply comes back."""
    return await _answer(request, Ask(body.message, History.of(body.history), request=body.request()), body.stream)


@routes.get("/skills", response_model=None, responses=answers(said.Skills))
async def skills(request: Request) -> Response:
    """Every skill: what it does, whether the manager may pick it, and what keeps it from answering."""
    bot = turns_of(request.app.state).bot
    return Answer(
        {
            "skills": [
                {
                    "name": name,
                    "summary": spec.summary,
                    "group": spec.group,
                    "auto": spec.routing.auto,
                    "answers": name in bot.skills,
                    "problem": str(bot.roster.problems.get(name, "")),
                }
                for name, spec in bot.specs.items()
            ]
        }
    )


@routes.post("/skills/{skill}/load", response_model=None, responses=answers(said.Loaded))
async def load_skill(skill: str, request: Request) -> Response:
    """Read a skill anew from the skills folder, with its adapter; for admin keys."""
    _check_admin(request)
    spec = await asyncio.to_thread(turns_of(request.app.state).bot.load_skill, skill)
    log.info("skill_loaded", skill=spec.name)
    return Answer({"name": spec.name, "summary": spec.summary, "answers": True})


@routes.post("/skills/{skill}/unload", response_model=None, responses=answers(said.Unloaded))
async def unload_skill(skill: str, request: Request) -> Response:
    """Let a skill answer no more, until it is loaded again or the server is started anew; for admin keys."""
    _check_admin(request)
    await asyncio.to_thread(turns_of(request.app.state).bot.unload_skill, skill)
    log.info("skill_unloaded", skill=skill)
    return Answer({"name": skill, "answers": False})


@routes.post("/sessions", status_code=201, response_model=None, responses=answers(said.Began, status=201))
async def begin_session(request: Request) -> Response:
    """Begin a session of one's own, which its first message names."""
    owned = _owned(request)
    id = owned.new_id()
    await asyncio.to_thread(owned.begin, id, "")
    _begun(request).note(owned.owner, id, "")
    return Answer({"id": id}, 201)


@routes.get("/sessions", response_model=None, responses=answers(said.Sessions))
async def list_sessions(request: Request) -> Response:
    """The sessions of this key in which something was said, the one used last first."""
    owned = await asyncio.to_thread(_owned(request).list)
    return Answer({"sessions": [dataclasses.asdict(conversation) for conversation in owned]})


@routes.post("/sessions/{session}/turns", response_model=None, responses=REPLY)
async def say(session: str, body: Message, request: Request) -> Response:
    """Answer a message in a session. The exchange is stored before its reply is acknowledged.

    A store that fails costs its place there and nothing else, in sessions that this server knows.
    """
    try:
        title = await _check(request, session)
    except StoreError:
        known = _begun(request).title(_owned(request).owner, session)
        if known is None:
            raise
        title = known
    if not title:
        with contextlib.suppress(StoreError):  # a disk that is full costs the title, not the reply
            await asyncio.to_thread(_owned(request).rename, session, body.message)
    return await _answer(request, Ask(body.message, session=session, request=body.request()), body.stream)


@routes.get("/sessions/{session}/turns", response_model=None, responses=answers(said.Turns))
async def turns(
    session: str, request: Request, most: int = Query(100, ge=1, le=MOST_TURNS), before: int | None = Query(None, ge=0)
) -> Response:
    """The newest turns of a session, oldest first; `before` is the number of a turn, for the pages before it."""
    await _check(request, session)
    whole = await asyncio.to_thread(_exported, _store(request), session)
    numbered = [{"number": number, **turn} for number, turn in enumerate(whole["turns"])]
    shown = numbered[:before][-most:]
    return Answer({"session": session, "turns": shown, "warnings": whole.get("warnings", [])})


@routes.get("/sessions/{session}/export", response_model=None, responses=answers(said.Exported))
async def export(session: str, request: Request) -> Response:
    """The whole session as a file of JSON."""
    await _check(request, session)
    whole = await asyncio.to_thread(_exported, _store(request), session)
    return Answer(whole, headers={"content-disposition": f'attachment; filename="{session}.json"'})


@routes.delete("/sessions/{session}", response_model=None, responses=answers(said.Forgotten))
async def forget(session: str, request: Request) -> Response:
    """Forget a session and all that was said in it."""
    await _check(request, session)
    with contextlib.suppress(UnknownNameError):  # nothing was said in it
        await asyncio.to_thread(_store(request).remove, session)
    _begun(request).forget(_owned(request).owner, session)
    return Answer({"id": session, "deleted": True})


async def _answer(request: Request, ask: Ask, stream: bool | None) -> Response:
    turns = turns_of(request.app.state)
    if stream:
        return events(_told(await while_there(request, turns.stream(ask))), done=False)
    return Answer((await while_there(request, turns.reply(ask))).to_dict())


async def _told(pieces: Pieces) -> AsyncGenerator[dict[str, Any]]:
    """Events `piece` with more of the text, then one `reply` with the whole Reply."""
    try:
        async for piece in pieces:
            yield {"type": "piece", "text": piece}
    finally:
        await pieces.close()
    assert pieces.reply is not None
    yield {"type": "reply", "reply": pieces.reply.to_dict()}


def _check_admin(request: Request) -> None:
    """Raises ApiError (403) for a caller without an admin key, on this machine as well."""
    caller: Caller = request.state.caller
    if not caller.admin:
        text = "this takes an admin key; make one: adapterbot keys new --admin"
        raise ApiError(403, text, code="admin_key_needed")


def _begun(request: Request) -> Begun:
    found: Begun = request.app.state.begun
    return found


def _store(request: Request) -> Store:
    return turns_of(request.app.state).bot.store


def _owned(request: Request) -> Owned:
    """The conversations of whoever asks."""
    caller: Caller = request.state.caller
    return _store(request).of(caller.owner)


def _exported(store: Store, session: str) -> dict[str, Any]:
    """All of a session; one in which nothing was said has no turns."""
    try:
        return store.export(session)
    except UnknownNameError:
        return {"session": session, "turns": []}


async def _check(request: Request, session: str) -> str:
    """The title of a session of whoever asks.

    Raises:
        ApiError: 404 for a session that another key began, as for one that is not there: which, nobody learns.
        InputError: a name that no session can have.
    """
    owned = _owned(request)
    try:
        title = await asyncio.to_thread(owned.title, check_session_id(session))
        _begun(request).note(owned.owner, session, title)
        return title
    except UnknownNameError:
        _begun(request).forget(owned.owner, session)
        text = f"unknown session {shorten(session)!r}; POST /v1/sessions begins one, GET /v1/sessions lists yours"
        raise ApiError(404, text, param="session", code="session_not_found") from None
