"""POST /v1/chat/completions, whole and streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from adapterbot.serving.openai.stops import Stopper
from adapterbot.serving.openai.wire import (
    AUTO,
    MOST_MESSAGES,
    Sampling,
    conversation,
    cut_text,
    events,
    finish_reason,
    identifier,
    inside,
    now,
    turns_of,
    usage,
)
from adapterbot.serving.refusals import REFUSALS, Answer, ApiError
from adapterbot.serving.turns import Ask, Pieces, Turns, all_replies, while_there
from adapterbot.turn import Reply

routes = APIRouter(prefix="/v1", tags=["openai"], responses=REFUSALS)


class StreamOptions(BaseModel):
    """How a stream tells its usage; members that other servers know are passed over."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool | None = None


class ChatRequest(Sampling):
    """A conversation whose last message is to be answered."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(None, description="The newer name of max_tokens, and stronger.")
    stream_options: StreamOptions | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None
    modalities: list[str] | None = None
    logprobs: bool | None = None

    def most_tokens(self) -> tuple[str, int | None]:
        """The newer name goes before."""
        newer = self.max_completion_tokens
        return super().most_tokens() if newer is None else ("max_completion_tokens", newer)

    def check(self) -> None:
        """Refuse what a bot of skills cannot do.

        Raises:
            ApiError: 400, and what the field may hold.
        """
        wanted = {
            "tools": bool(self.tools) and self.tool_choice != "none",
            "functions": bool(self.functions),
            "logprobs": bool(self.logprobs),
            "modalities": any(kind != "text" for kind in self.modalities or ()),
            "response_format": (self.response_format or {}).get("type", "text") != "text",
        }
        for name, asked in wanted.items():
            if asked:
                text = f"{name} is not supported: this bot answers in plain text and calls no tools; leave it out"
                raise ApiError(400, text, param=name, code="unsupported_parameter")


@routes.post("/chat/completions", response_model=None)
async def chat(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation, as OpenAI's chat completions do."""
    turns = turns_of(request.app.state)
    body.check()
    message, history = conversation(body.messages)
    asks = body.asks(turns.bot, message, history)
    stops = body.stops()
    writing = Writing(turns, body)
    if body.stream:
        first = await while_there(request, turns.stream(asks[0]))
        return events(writing.chunks(first, asks, stops))
    replies = await while_there(request, all_replies(turns, asks))
    return Answer(writing.whole(replies, stops))


class Writing:
    """One answer in OpenAI's form."""

    def __init__(self, turns: Turns, body: ChatRequest) -> None:
        self._turns = turns
        self._notes = body.passed_over()
        self._counts = bool(body.stream_options and body.stream_options.include_usage)
        self._head = {
            "id": identifier("chatcmpl-"),
            "created": now(),
            "model": body.model or AUTO,
            "system_fingerprint": f"fp_{turns.bot.backbone.fingerprint[:16]}",
        }

    def whole(self, replies: list[Reply], stops: tuple[str, ...]) -> dict[str, Any]:
        """All choices at once."""
        cuts = [cut_text(reply, stops) for reply in replies]
        choices: list[dict[str, Any]] = [
            {
                "index": index,
                "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": finish_reason(reply, stopped),
                **({"adapterbot": inside(reply, self._notes)} if len(replies) > 1 else {}),
            }
            for index, (reply, (text, stopped)) in enumerate(zip(replies, cuts, strict=True))
        ]
        return self._head | {
            "object": "chat.completion",
            "choices": choices,
            "usage": usage(self._turns, replies, [text for text, _ in cuts]),
            "adapterbot": inside(replies[0], self._notes),
        }

    async def chunks(self, first: Pieces, asks: list[Ask], stops: tuple[str, ...]) -> AsyncGenerator[dict[str, Any]]:
        """The choices one after the other, each with its role first and its reason to finish last; then the usage."""
        replies: list[Reply] = []
        texts: list[str] = []
        for index, ask in enumerate(asks):
            pieces = await self._turns.stream(ask) if index else first
            stopper = Stopper(stops)
            text = ""
            try:
                yield self._chunk(index, {"role": "assistant", "content": ""})
                async for piece in pieces:
                    if shown := stopper.more(piece):
                        text += shown
                        yield self._chunk(index, {"content": shown})
                if rest := stopper.rest():
                    text += rest
                    yield self._chunk(index, {"content": rest})
            finally:
                await pieces.close()
            assert pieces.reply is not None
            replies.append(pieces.reply)
            texts.append(text)
            yield self._chunk(index, {}, finish_reason(pieces.reply, stopper.stopped)) | {
                "adapterbot": inside(pieces.reply, self._notes)
            }
        if self._counts:
            yield self._head | {
                "object": "chat.completion.chunk",
                "choices": [],
                "usage": usage(self._turns, replies, texts),
            }

    def _chunk(self, index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        counted = {"usage": None} if self._counts else {}
        return self._head | {"object": "chat.completion.chunk", "choices": [choice]} | counted
