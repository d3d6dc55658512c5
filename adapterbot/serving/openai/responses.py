"""/v1/responses: the newer form of a chat, whole or as events; what was said before is remembered by response id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from adapterbot.errors import shorten
from adapterbot.history import READ, SPOKEN, History
from adapterbot.serving.answers import answers
from adapterbot.serving.keys import Caller
from adapterbot.serving.openai.answers import Deleted, ResponseAnswer, ResponseEvent
from adapterbot.serving.openai.wire import (
    AUTO,
    MOST_MESSAGES,
    Sampling,
    conversation,
    events,
    finish_reason,
    identifier,
    inside,
    kind_of,
    now,
    turns_of,
    usage,
)
from adapterbot.serving.refusals import REFUSALS, Answer, ApiError, json_bytes
from adapterbot.serving.turns import Pieces, Turns, while_there
from adapterbot.turn import Reply

MOST_KEPT = 1000  # responses, of all callers; the oldest go
MOST_BYTES = 64 * 2**20  # of all of them

routes = APIRouter(prefix="/v1", tags=["openai"], responses=REFUSALS)


class ResponseRequest(Sampling):
    """What is said, after what was said in the response `previous_response_id`."""

    input: str | list[dict[str, Any]] = Field(description="A message, or a conversation that ends with the user's.")
    instructions: str | None = None
    max_output_tokens: int | None = None
    previous_response_id: str | None = None
    store: bool | None = None
    metadata: dict[str, Any] | None = None
    text: dict[str, Any] | None = None
    logprobs: Any = None
    top_logprobs: int | None = None
    include: list[str] | None = None
    background: bool | None = None
    conversation: Any = None
    prompt: Any = None

    def most_tokens(self) -> tuple[str, int | None]:
        """As it is called here."""
        return "max_output_tokens", self.max_output_tokens if self.max_output_tokens is not None else self.max_tokens

    def unsupported(self) -> dict[str, bool]:
        """Probabilities, several choices, and what is kept or goes on elsewhere as well."""
        return super().unsupported() | {
            "logprobs": bool(self.logprobs),
            "top_logprobs": bool(self.top_logprobs),
            "include": any(what.endswith("logprobs") for what in self.include or ()),
            "text": kind_of((self.text or {}).get("format")) not in (None, "text"),
            "background": bool(self.background),
            "conversation": self.conversation is not None,
            "prompt": self.prompt is not None,
            "n": self.choices() > 1,
        }

    def said(self, before: History) -> tuple[str, History]:
        """The message to answer and what was said before it; raises ApiError."""
        items = [{"role": "user", "content": self.input}] if isinstance(self.input, str) else self.input
        items = [item for item in items if is_said(item)]
        if not 1 <= len(items) <= MOST_MESSAGES:
            raise ApiError(400, f"input is a text or 1 to {MOST_MESSAGES} messages", param="input")
        try:
            message, history = conversation(items)
        except ApiError as error:
            raise ApiError(400, error.message.replace("messages[", "input[", 1), param="input") from None
        told = (self.instructions,) if self.instructions else ()
        past = (*before.utterances, *history.utterances)
        return message, replace(history, utterances=past, instructions=(*told, *history.instructions))


def is_said(item: Mapping[str, Any]) -> bool:
    """Whether an item of an input is a message: calls of tools, what they gave, thoughts and the like are not."""
    kind = item.get("type")
    return "role" in item or not isinstance(kind, str) or kind in ("message", *SPOKEN)


class Kept:
    """The last responses in memory, each for its caller alone: at most `most` bytes of them."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._kept: OrderedDict[tuple[str, str], tuple[dict[str, Any], History, int]] = OrderedDict()
        self._most = most
        self._bytes = 0

    def keep(self, owner: str, response: dict[str, Any], history: History) -> None:
        """Remember a response and the conversation up to it, as far as turns read it."""
        past = history.window(READ)
        size = len(json_bytes(response)) + sum(len(text) for text in (*past.texts, *past.instructions))
        self._kept[owner, response["id"]] = (response, past, size)
        self._bytes += size
        while len(self._kept) > MOST_KEPT or self._bytes > self._most:
            self._bytes -= self._kept.popitem(last=False)[1][2]

    def find(self, owner: str, id: str, param: str) -> tuple[dict[str, Any], History]:
        """Raises ApiError (404) for one that is not there any more, or is another's."""
        if (owner, id) not in self._kept:
            text = f"there is no response {shorten(id)!r} (any more): the last {MOST_KEPT} are kept until a restart"
            raise ApiError(404, text, param=param, code="response_not_found")
        return self._kept[owner, id][:2]

    def forget(self, owner: str, id: str) -> None:
        """Raises as `find`."""
        self.find(owner, id, "response_id")
        self._bytes -= self._kept.pop((owner, id))[2]


@routes.post("/responses", response_model=None, responses=answers(ResponseAnswer, [ResponseEvent]))
async def respond(body: ResponseRequest, request: Request) -> Response:
    """Answer a message, as OpenAI's responses do."""
    turns = turns_of(request.app.state)
    body.check()
    owner, kept = _owner(request), _kept(request)
    before = (
        kept.find(owner, body.previous_response_id, "previous_response_id")[1] if body.previous_response_id else None
    )
    message, history = body.said(before or History())
    writing = Writing(turns, body, kept, owner)
    (ask,) = body.asks(turns.bot, message, history)
    if body.stream:
        begun = await while_there(request, turns.stream(ask))
        return events(writing.events(begun), done=False, failed=writing.failed)
    return Answer(writing.whole(await while_there(request, turns.reply(ask))))


@routes.get("/responses/{response_id}", response_model=None, responses=answers(ResponseAnswer))
async def retrieve(response_id: str, request: Request) -> Response:
    """A response of the last ones."""
    return Answer(_kept(request).find(_owner(request), response_id, "response_id")[0])


@routes.delete("/responses/{response_id}", response_model=None, responses=answers(Deleted))
async def forget(response_id: str, request: Request) -> Response:
    """Forget a response, and what was said up to it."""
    _kept(request).forget(_owner(request), response_id)
    return Answer({"id": response_id, "object": "response", "deleted": True})


class Writing:
    """One response in OpenAI's form, first without its text, at last with it."""

    def __init__(self, turns: Turns, body: ResponseRequest, kept: Kept, owner: str) -> None:
        self._turns = turns
        self._body = body
        self._kept = kept
        self._owner = owner
        self._message = identifier("msg_")
        self._count = 0
        self._head: dict[str, Any] = {
            "id": identifier("resp_"),
            "object": "response",
            "created_at": now(),
            "model": body.model or AUTO,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": body.instructions,
            "max_output_tokens": body.most_tokens()[1],
            "metadata": body.metadata or {},
            "output": [],
            "parallel_tool_calls": False,
            "previous_response_id": body.previous_response_id,
            "store": body.store is not False,
            "temperature": body.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "none",
            "tools": [],
            "top_p": body.top_p,
            "truncation": "auto",
            "usage": None,
        }

    def whole(self, reply: Reply) -> dict[str, Any]:
        """The response with its text; it is kept from then on, unless `store` is false."""
        cut = finish_reason(reply) == "length"
        settings = self._turns.bot.specs[reply.skill].decode
        counted = usage(self._turns, [reply])
        response = self._head | {
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": [self._item(reply.text, "incomplete" if cut else "completed")],
            "temperature": self._head["temperature"] if self._head["temperature"] is not None else settings.temperature,
            "top_p": self._head["top_p"] if self._head["top_p"] is not None else settings.top_p,
            "usage": {
                "input_tokens": counted["prompt_tokens"],
                "input_tokens_details": counted["prompt_tokens_details"],
                "output_tokens": counted["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": counted["total_tokens"],
            },
            AUTO: inside(reply, self._body.passed_over()),
        }
        if self._body.store is not False:
            self._kept.keep(self._owner, response, reply.history)
        return response

    async def events(self, pieces: Pieces) -> AsyncGenerator[dict[str, Any]]:
        """The response begins, its one message, its one part and the text in pieces, then each of them whole."""
        place = {"item_id": self._message, "output_index": 0, "content_index": 0}
        yield self._event("response.created", response=self._head)
        yield self._event("response.in_progress", response=self._head)
        begun = self._item("", "in_progress") | {"content": []}
        yield self._event("response.output_item.added", output_index=0, item=begun)
        yield self._event("response.content_part.added", **place, part=_part(""))
        try:
            async for piece in pieces:
                yield self._event("response.output_text.delta", **place, delta=piece, logprobs=[])
        finally:
            await pieces.close()
        assert pieces.reply is not None
        response = self.whole(pieces.reply)
        text = pieces.reply.text
        yield self._event("response.output_text.done", **place, text=text, logprobs=[])
        yield self._event("response.content_part.done", **place, part=_part(text))
        yield self._event("response.output_item.done", output_index=0, item=response["output"][0])
        yield self._event(f"response.{response['status']}", response=response)

    def failed(self, error: ApiError) -> dict[str, Any]:
        """The event of what went wrong on the way: its members as they are described, and once more as some send it."""
        whole = error.to_dict()
        told = {name: whole["error"][name] for name in ("code", "message", "param")}
        return self._event("error", **told, **whole)

    def _event(self, kind: str, **fields: Any) -> dict[str, Any]:
        self._count += 1
        return {"type": kind, "sequence_number": self._count - 1, **fields}

    def _item(self, text: str, status: str) -> dict[str, Any]:
        return {"id": self._message, "type": "message", "role": "assistant", "status": status, "content": [_part(text)]}


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _owner(request: Request) -> str:
    caller: Caller = request.state.caller
    return caller.owner


def _kept(request: Request) -> Kept:
    kept: Kept = request.app.state.kept
    return kept
