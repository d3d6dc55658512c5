"""What the routes of OpenAI's API share: names of models, what is refused, how a reply is written."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sse_starlette import EventSourceResponse
from starlette.datastructures import State

from adapterbot.bot import Bot
from adapterbot.errors import InputError, UnknownNameError
from adapterbot.history import History
from adapterbot.reply.stops import MOST as MOST_STOPS
from adapterbot.serving.refusals import ApiError, json_bytes, told
from adapterbot.serving.turns import Ask, Turns
from adapterbot.spec.mixing import parts_of
from adapterbot.turn import DECODE_SETTINGS, Reply

AUTO = "adapterbot"  # the model for which the manager chooses
MOST_MESSAGES = 4096  # of one request
MOST_CHOICES = 8
MOST_TOKENS = int(DECODE_SETTINGS["max_tokens"][2])
LOWEST_TOP_P = DECODE_SETTINGS["top_p"][1]
OWN = ("top_k", "repetition_penalty", "no_repeat_ngram", "min_tokens", "drafts")


class Extra(BaseModel):
    """What only this server understands: facts to answer from in place of retrieval, and the user's country."""

    facts: list[str] | None = Field(None, max_length=64)
    region: str | None = None


class StreamOptions(BaseModel):
    """How a stream tells its usage; members that other servers know are passed over."""

    model_config = ConfigDict(extra="ignore")
    include_usage: bool | None = None


class Sampling(BaseModel):
    """What every request for a text may say. Fields that nobody knows are passed over; null is as good as absent."""

    model_config = ConfigDict(extra="ignore")

    model: str | None = Field(None, description="`adapterbot`, or `adapterbot/<skill>`.")
    stream: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int | None = Field(None, description=f"At most {MOST_CHOICES}.")
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    top_k: int | None = None
    repetition_penalty: float | None = None
    no_repeat_ngram: int | None = None
    min_tokens: int | None = None
    max_tokens: int | None = None
    drafts: int | None = None
    adapterbot: Extra | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    functions: list[Any] | None = None
    function_call: Any = None
    response_format: dict[str, Any] | None = None

    def check(self) -> None:
        """Refuse what a bot of skills cannot do: to call a tool, or to answer in another form than plain text.

        Raises:
            ApiError: 400, and which field it is.
        """
        for name, wanted in self.unsupported().items():
            if wanted:
                text = f"{name} is not supported: this bot answers in plain text and calls no tools; leave it out"
                raise ApiError(400, text, param=name, code="unsupported_parameter")

    def unsupported(self) -> dict[str, bool]:
        """The fields that may ask for what there is not, and whether they do."""
        return {
            "tools": bool(self.tools) and kind_of(self.tool_choice) != "none",
            "tool_choice": must_call(self.tool_choice),
            "functions": bool(self.functions) and kind_of(self.function_call) != "none",
            "function_call": must_call(self.function_call),
            "response_format": kind_of(self.response_format) not in (None, "text"),
        }

    def most_tokens(self) -> tuple[str, int | None]:
        """The name and value of the limit on the reply's tokens."""
        return "max_tokens", self.max_tokens

    def decode(self, choice: int = 0) -> dict[str, Any]:
        """The decode settings of one of the choices.

        A limit above what a reply may have, and a `top_p` of 0, are taken for the nearest that there is; other values
        out of range raise `SettingError` in the turn.
        """
        settings = {name: getattr(self, name) for name in ("temperature", *OWN)}
        name, most = self.most_tokens()
        if most is not None and most < 1:
            raise ApiError(400, f"{name}={most}: a reply has at least 1 token", param=name)
        settings["max_tokens"] = None if most is None else min(most, MOST_TOKENS)
        settings["top_p"] = LOWEST_TOP_P if self.top_p == 0 else self.top_p
        settings["top_k"] = 0 if self.top_k == -1 else self.top_k  # other servers' word for "off"
        if self.seed is not None:
            settings["seed"] = (self.seed + choice) % 2**63
        return {name: value for name, value in settings.items() if value is not None}

    def choices(self) -> int:
        """How many replies are asked for."""
        if self.n is not None and not 1 <= self.n <= MOST_CHOICES:
            raise ApiError(400, f"n={self.n}: 1 to {MOST_CHOICES} choices are given", param="n")
        return self.n or 1

    def stops(self) -> tuple[str, ...]:
        """The texts before which a reply ends."""
        given = [self.stop] if isinstance(self.stop, str) else self.stop or []
        if len(given) > MOST_STOPS:
            raise ApiError(400, f"stop has {len(given)} texts; at most {MOST_STOPS} are looked for", param="stop")
        return tuple(text for text in given if text)

    def passed_over(self) -> list[str]:
        """A line on each setting that changes nothing here."""
        given = [name for name in ("frequency_penalty", "presence_penalty", "logit_bias") if getattr(self, name)]
        return [f"{name} is not supported and changed nothing" for name in given]

    def asks(self, bot: Bot, message: str, history: History) -> list[Ask]:
        """What the bot is asked, once per choice."""
        extra = self.adapterbot or Extra()
        request = {
            "skill": skill_of(bot, self.model),
            "facts": extra.facts,
            "region": extra.region,
            "stop": self.stops(),
        }
        return [Ask(message, history, request=request | self.decode(i)) for i in range(self.choices())]


def must_call(tool_choice: Any) -> bool:
    """Whether a tool has to be called, by this member of a request, where none may be."""
    return tool_choice is not None and kind_of(tool_choice) not in ("none", "auto")


def kind_of(member: Any) -> Any:
    """The `type` of an object, or what stands in its place."""
    return member.get("type") if isinstance(member, dict) else member


def skill_of(bot: Bot, model: str | None) -> str | None:
    """The skill that a model's name means; None: the manager chooses.

    Raises:
        ApiError: 404, there is no such model; the message lists the nearest.
    """
    if not model or model == AUTO:
        return None
    prefix, _, skill = model.partition("/")
    if prefix != AUTO or any(part.skill not in bot.specs for part in parts_of(skill)):
        known = [AUTO, *(f"{AUTO}/{name}" for name in bot.skills)]
        raise ApiError(404, str(UnknownNameError("model", model, known)), param="model", code="model_not_found")
    return skill


def adapter_of(bot: Bot, model: str | None) -> str | None:
    """The adapter that a model's name means where no turn is made; None: the bare backbone.

    Raises:
        ApiError: as `skill_of`. SpecError, AdapterError: what keeps the skill from answering.
    """
    skill = skill_of(bot, model)
    return None if skill is None or bot.roster.spec(skill).name not in bot.bank.rows else skill


def conversation(messages: Sequence[Any]) -> tuple[str, History]:
    """The newest user message, and what was said before it.

    Raises:
        ApiError: 400, a message of another form, or the last one is not the user's.
    """
    try:
        history = History.from_list(messages)
    except InputError as error:
        raise ApiError(400, str(error).replace("history[", "messages[", 1), param="messages") from None
    if history.notes and history.utterances and not history.utterances[-1].text:
        raise ApiError(400, history.notes[-1].replace("history[", "messages[", 1), param="messages")
    if not history.utterances or history.utterances[-1].speaker != "user":
        raise ApiError(400, "the last message has to be the user's: it is what is answered", param="messages")
    return history.utterances[-1].text, History(history.utterances[:-1], history.instructions, history.notes)


def identifier(kind: str) -> str:
    """A fresh id, such as chatcmpl-…"""
    return f"{kind}{uuid.uuid4().hex}"


def now() -> int:
    """Seconds since 1970."""
    return int(time.time())


def finish_reason(reply: Reply) -> str:
    """`length` where the limit on tokens cut the reply, else `stop`."""
    chosen = next((draft for draft in reply.drafts if draft.text == reply.text), None)
    return "length" if chosen is not None and not chosen.finished else "stop"


def usage(turns: Turns, replies: Sequence[Reply]) -> dict[str, Any]:
    """Tokens of the prompt (several choices have the same, which is read for the first of them) and of the replies."""
    prompt = max((reply.prompt_tokens for reply in replies), default=0)
    cached = min((reply.cached_tokens for reply in replies), default=0)
    return counted(prompt, cached, sum(turns.tokens(reply.text) for reply in replies))


def counted(prompt: int, cached: int, completion: int) -> dict[str, Any]:
    """The member `usage`: `cached` of the tokens of the prompt were read for an earlier one."""
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
    }


def inside(reply: Reply, notes: Sequence[str] = ()) -> dict[str, Any]:
    """The extra member `adapterbot`: who answered, why, and from what."""
    return {
        "skill": reply.skill,
        "routed_by": reply.routed_by,
        "reason": reply.reason,
        "care": reply.care,
        "scores": dict(reply.scores),
        "facts": [fact.to_dict() for fact in reply.facts],
        "seed": reply.seed,
        "warnings": [*reply.warnings, *notes],
        "timings": dict(reply.timings),
    }


def events(
    lines: AsyncGenerator[dict[str, Any]],
    *,
    done: bool = True,
    failed: Callable[[ApiError], dict[str, Any]] = ApiError.to_dict,
) -> EventSourceResponse:
    """Server-sent events of JSON; what goes wrong on the way is the last one, as `failed` tells it. `done`: `[DONE]`
    ends it."""

    def event(line: dict[str, Any]) -> dict[str, Any]:
        named = {"event": line["type"]} if not done and "type" in line else {}
        return {"data": json_bytes(line).decode(), **named}

    async def told_to_the_end() -> AsyncGenerator[dict[str, Any]]:
        try:
            async with aclosing(lines):
                async for line in lines:
                    yield event(line)
        except Exception as error:  # the answer has begun: no status can say it any more
            yield event(failed(told(error)))
        if done:
            yield {"data": "[DONE]"}

    return EventSourceResponse(told_to_the_end(), sep="\n")


def turns_of(state: State) -> Turns:
    """What asks the bot, in an application's state."""
    found: Turns = state.turns
    return found
