"""POST /v1/completions: a text that the model goes on with, as it is.

It is no turn: `adapterbot` is the bare backbone, `adapterbot/<skill>` the backbone with the skill's adapter; no manager
chooses and no facts are looked up. What the guard refuses is not sent (`finish_reason` is then `content_filter`).
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any, cast

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from adapterbot.bot import Bot
from adapterbot.engine.request import Deadline
from adapterbot.errors import InputError, TooLongError
from adapterbot.pool import ReplyStream
from adapterbot.reply.continuation import Continuation, Opening, Token, continued, scored
from adapterbot.serving.answers import answers
from adapterbot.serving.openai.answers import Completion
from adapterbot.serving.openai.wire import (
    AUTO,
    Sampling,
    StreamOptions,
    adapter_of,
    counted,
    events,
    identifier,
    now,
    turns_of,
)
from adapterbot.serving.refusals import REFUSALS, Answer, ApiError, ErrorAnswer
from adapterbot.serving.turns import Turns, while_there
from adapterbot.turn import Decode

MOST_PROMPTS = 128  # of one request, times its choices
MOST_LIKELIEST = 20  # tokens at a place
PLAIN = Decode(temperature=1.0, top_p=1.0, repetition_penalty=1.0, no_repeat_ngram=0, min_tokens=0, max_tokens=16)

routes = APIRouter(prefix="/v1", tags=["openai"], responses=REFUSALS)


class CompletionRequest(Sampling):
    """Texts to go on with. What is not given is plain: no penalties, all of the probability, 16 tokens."""

    prompt: str | list[int] | list[str] | list[list[int]] = Field(description="A text or token ids, one or several.")
    echo: bool | None = None
    logprobs: int | None = Field(
        None, description=f"So many of the likeliest tokens at each place, 0 to {MOST_LIKELIEST}."
    )
    best_of: int | None = None
    suffix: str | None = None
    stream_options: StreamOptions | None = None

    def most_tokens(self) -> tuple[str, int | None]:
        """None may be added at all."""
        return "max_tokens", self.max_tokens or None

    def prompts(self) -> list[str | list[int]]:
        """One after the other."""
        given = self.prompt
        if isinstance(given, str) or (given and isinstance(given[0], int)):
            return [given]
        return list(cast("list[str | list[int]]", given))

    def check(self) -> None:
        """Raises ApiError (400) for what cannot be done."""
        super().check()
        if self.suffix:
            raise ApiError(400, "suffix is not supported: texts are gone on with at their end", param="suffix")
        if self.best_of is not None and self.best_of != self.choices():
            raise ApiError(400, "best_of is not supported; n texts are made, and n given back", param="best_of")
        if not 1 <= len(self.prompts()) * self.choices() <= MOST_PROMPTS:
            text = f"{len(self.prompts())} prompts times n={self.choices()}: 1 to {MOST_PROMPTS} texts are made"
            raise ApiError(400, text, param="prompt")
        if self.logprobs is not None and not 0 <= self.logprobs <= MOST_LIKELIEST:
            raise ApiError(400, f"logprobs={self.logprobs}: 0 to {MOST_LIKELIEST} tokens are given", param="logprobs")
        if self.logprobs is not None and self.stream:
            raise ApiError(400, "logprobs come with whole texts alone; leave out stream", param="logprobs")

    def openings(self, bot: Bot, deadline: Deadline) -> list[Opening]:
        """What the model is asked, each prompt once per choice."""
        adapter = adapter_of(bot, self.model)
        seed = secrets.randbelow(2**31)
        made = []
        for prompt in self.prompts():
            for choice in range(self.choices()):
                asked = self.decode(choice)
                decode = PLAIN.override({**asked, "drafts": 1})
                try:
                    ids = Opening.ids_of(bot.backbone, prompt, 0 if self.max_tokens == 0 else decode.max_tokens)
                except InputError as error:
                    code = "context_length_exceeded" if isinstance(error, TooLongError) else None
                    raise ApiError(400, str(error), param="prompt", code=code) from None
                made.append(Opening(ids, decode, asked.get("seed", seed + choice), adapter, self.stops(), deadline))
        return made


@routes.post("/completions", response_model=None, responses=answers(Completion, [Completion, ErrorAnswer]))
async def complete(body: CompletionRequest, request: Request) -> Response:
    """Go on with a text, as OpenAI's completions do."""
    turns = turns_of(request.app.state)
    body.check()
    writing = Writing(turns, body)
    deadline = turns.deadline()
    openings = await while_there(request, turns.work(lambda: body.openings(turns.bot, deadline)))
    if body.stream:
        return events(writing.chunks(writing.begin(openings[0]), openings))
    return Answer(await while_there(request, writing.whole(openings)))


@dataclass(frozen=True, slots=True)
class Text:
    """An opening, what was added, and, where they were asked for, all tokens with their probabilities."""

    opening: Opening
    added: Continuation
    tokens: list[Token] | None


class Writing:
    """One answer in OpenAI's form."""

    def __init__(self, turns: Turns, body: CompletionRequest) -> None:
        self._turns = turns
        self._bot = turns.bot
        self._body = body
        self._head = {
            "id": identifier("cmpl-"),
            "object": "text_completion",
            "created": now(),
            "model": body.model or AUTO,
            "system_fingerprint": f"fp_{self._bot.backbone.fingerprint[:16]}",
        }

    async def whole(self, openings: list[Opening]) -> dict[str, Any]:
        """All choices at once."""
        texts = [await self._text(opening) for opening in openings]
        choices = [
            {
                "index": index,
                "text": self._echo(text.opening) + text.added.text,
                "logprobs": None if text.tokens is None else self._logprobs(text.tokens),
                "finish_reason": _reason(text.added),
            }
            for index, text in enumerate(texts)
        ]
        return self._head | {"choices": choices, "usage": self._usage([(t.opening, t.added) for t in texts])}

    async def _text(self, opening: Opening) -> Text:
        """Go on with one text, and look at all of it where probabilities were asked for."""
        added = Continuation("", (), False)
        if self._body.max_tokens != 0:
            pieces = self.begin(opening)
            try:
                async for _ in pieces:
                    pass
            finally:
                await pieces.aclose()
            added = cast(Continuation, pieces.reply)
        likeliest = self._body.logprobs
        if likeliest is None:
            return Text(opening, added, None)
        ids = [*opening.ids, *added.ids]
        bot = self._bot
        tokens = await self._turns.work(lambda: scored(bot.backbone, bot.bank, ids, opening.adapter, likeliest))
        return Text(opening, added, tokens if self._body.echo else tokens[len(opening.ids) :])

    def begin(self, opening: Opening) -> ReplyStream:
        """The pieces of one text; raises BusyError."""
        bot = self._bot

        def open() -> Any:
            return continued(bot.scheduler, bot.bank, opening, bot.guard)

        return ReplyStream(bot.pool, open, opening.deadline.leave)

    async def chunks(self, first: ReplyStream, openings: list[Opening]) -> AsyncGenerator[dict[str, Any]]:
        """The choices one after the other, each with its reason to finish last; then the usage."""
        made = []
        for index, opening in enumerate(openings):
            pieces = self.begin(opening) if index else first
            try:
                if echoed := self._echo(opening):
                    yield self._chunk(index, echoed)
                async for piece in pieces:
                    yield self._chunk(index, piece)
            finally:
                await pieces.aclose()
            added = cast(Continuation, pieces.reply)
            made.append((opening, added))
            yield self._chunk(index, "", _reason(added))
        if self._body.stream_options and self._body.stream_options.include_usage:
            yield self._head | {"choices": [], "usage": self._usage(made)}

    def _chunk(self, index: int, text: str, reason: str | None = None) -> dict[str, Any]:
        return self._head | {"choices": [{"index": index, "text": text, "logprobs": None, "finish_reason": reason}]}

    def _echo(self, opening: Opening) -> str:
        return self._bot.backbone.tokenizer.decode(opening.ids) if self._body.echo else ""

    def _logprobs(self, tokens: list[Token]) -> dict[str, Any]:
        """Four lists of one length; the first token of a text has no probability."""
        counts = bool(self._body.logprobs)
        begin = 0 if self._body.echo or not tokens else tokens[0].start  # offsets are into the text that is sent
        return {
            "tokens": [token.text for token in tokens],
            "token_logprobs": [token.logprob for token in tokens],
            "top_logprobs": [token.likeliest or None for token in tokens] if counts else None,
            "text_offset": [token.start - begin for token in tokens],
        }

    def _usage(self, made: list[tuple[Opening, Continuation]]) -> dict[str, Any]:
        firsts = made[:: self._body.choices()]  # the others have the same prompt
        prompt = sum(len(opening.ids) for opening, _ in firsts)
        cached = sum(added.cached for _, added in firsts)
        return counted(prompt, cached, sum(len(added.ids) for _, added in made))


def _reason(added: Continuation) -> str:
    if added.refused:
        return "content_filter"
    return "stop" if added.finished else "length"
