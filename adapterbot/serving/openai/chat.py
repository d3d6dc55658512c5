"""POST /v1/chat/completions, whole and streamed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from adapterbot.serving.answers import answers
from adapterbot.serving.openai.answers import ChatChunk, ChatCompletion
from adapterbot.serving.openai.tasks import Told, task_of
from adapterbot.serving.openai.wire import (
    AUTO,
    MOST_MESSAGES,
    Sampling,
    StreamOptions,
    conversation,
    events,
    finish_reason,
    identifier,
    inside,
    now,
    turns_of,
    usage,
)
from adapterbot.serving.refusals import REFUSALS, Answer, ErrorAnswer
from adapterbot.serving.turns import Ask, Pieces, Turns, all_replies, while_there
from adapterbot.turn import Reply

routes = APIRouter(prefix="/v1", tags=["openai"], responses=REFUSALS)


class ChatRequest(Sampling):
    """A conversation whose last message is to be answered."""

    messages: list[dict[str, Any]] = Field(min_length=1, max_length=MOST_MESSAGES)
    max_completion_tokens: int | None = Field(None, description="The newer name of max_tokens, and stronger.")
    stream_options: StreamOptions | None = None
    modalities: list[str] | None = None
    audio: Any = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    web_search_options: Any = None

    def most_tokens(self) -> tuple[str, int | None]:
        """The newer name goes before."""
        newer = self.max_completion_tokens
        return super().most_tokens() if newer is None else ("max_completion_tokens", newer)

    def unsupported(self) -> dict[str, bool]:
        """Probabilities, searches and sounds as well."""
        return super().unsupported() | {
            "logprobs": bool(self.logprobs),
            "top_logprobs": bool(self.top_logprobs),
            "web_search_options": self.web_search_options is not None,
            "modalities": any(kind != "text" for kind in self.modalities or ()),
            "audio": self.audio is not None,
        }


@routes.post("/chat/completions", response_model=None, responses=answers(ChatCompletion, [ChatChunk, ErrorAnswer]))
async def chat(body: ChatRequest, request: Request) -> Response:
    """Answer a conversation, as OpenAI's chat completions do."""
    turns = turns_of(request.app.state)
    body.check()
    message, history = conversation(body.messages)
    asks = body.asks(turns.bot, message, history)
    writing = Writing(turns, body)
    if task := task_of(message):
        told = await while_there(request, turns.work(lambda: task.reply(turns.bot)))
        return events(writing.chunks(Told(told), asks[:1])) if body.stream else Answer(writing.whole([told]))
    if body.stream:
        first = await while_there(request, turns.stream(asks[0]))
        return events(writing.chunks(first, asks))
    replies = await while_there(request, all_replies(turns, asks))
    return Answer(writing.whole(replies))


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

    def whole(self, replies: list[Reply]) -> dict[str, Any]:
        """All choices at once."""
        choices: list[dict[str, Any]] = [
            {
                "index": index,
                "message": {"role": "assistant", "content": reply.text, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": finish_reason(reply),
                **({"adapterbot": inside(reply, self._notes)} if len(replies) > 1 else {}),
            }
            for index, reply in enumerate(replies)
        ]
        return self._head | {
            "object": "chat.completion",
            "choices": choices,
            "usage": usage(self._turns, replies),
            "adapterbot": inside(replies[0], self._notes),
        }

    async def chunks(self, first: Pieces | Told, asks: list[Ask]) -> AsyncGenerator[dict[str, Any]]:
        """The choices one after the other, each with its role first and its reason to finish last; then the usage."""
        replies: list[Reply] = []
        for index, ask in enumerate(asks):
            pieces = await self._turns.stream(ask) if index else first
            try:
                yield self._chunk(index, {"role": "assistant", "content": ""})
                async for piece in pieces:
                    yield self._chunk(index, {"content": piece})
            finally:
                await pieces.close()
            assert pieces.reply is not None
            replies.append(pieces.reply)
            yield self._chunk(index, {}, finish_reason(pieces.reply)) | {
                "adapterbot": inside(pieces.reply, self._notes)
            }
        if self._counts:
            yield self._head | {
                "object": "chat.completion.chunk",
                "choices": [],
                "usage": usage(self._turns, replies),
            }

    def _chunk(self, index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
        counted = {"usage": None} if self._counts else {}
        return self._head | {"object": "chat.completion.chunk", "choices": [choice]} | counted
