"""What the routes answer, as /openapi.json describes it. The routes write it themselves; tests hold them to this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic.json_schema import models_json_schema

COMPONENT = "#/components/schemas/{model}"
Responses = dict[int | str, dict[str, Any]]


class Status(BaseModel):
    """That the server lives, or welcomes requests."""

    status: Literal["ok", "ready"]


class Said(BaseModel):
    """One utterance of a history: a speaker's `text`, or the `content` of a chat API's system message."""

    speaker: Literal["user", "bot"] | None = None
    text: str | None = None
    role: Literal["system"] | None = None
    content: str | None = None


class Drafted(BaseModel):
    """One of the drafts, the best first."""

    text: str
    logprob: float | None = Field(description="The mean per token.")
    tokens: int
    finished: bool
    score: float | None


class Replied(BaseModel):
    """The whole Reply of `Bot.respond`."""

    text: str
    skill: str
    scores: dict[str, float]
    routed_by: Literal["forced", "manager", "fallback", "only", "care"]
    reason: str
    facts: list[dict[str, Any]] = Field(description="Each with `kind`, `text`, `title` and the fields of its kind.")
    drafts: list[Drafted]
    dropped: list[str]
    warnings: list[str]
    timings: dict[str, float] = Field(description="Seconds per stage.")
    history: list[Said]
    seed: int | None
    care: str
    prompt_tokens: int
    cached_tokens: int


class Piece(BaseModel):
    """An event with more of the text."""

    type: Literal["piece"]
    text: str


class Whole(BaseModel):
    """The last event of a stream."""

    type: Literal["reply"]
    reply: Replied


class Skill(BaseModel):
    """A skill, and what keeps it from answering."""

    name: str
    summary: str
    group: str
    auto: bool = Field(description="Whether the manager may pick it.")
    answers: bool
    problem: str


class Skills(BaseModel):
    """All skills."""

    skills: list[Skill]


class Loaded(BaseModel):
    """A skill that was loaded."""

    name: str
    summary: str
    answers: Literal[True]


class Unloaded(BaseModel):
    """A skill that answers no more."""

    name: str
    answers: Literal[False]


class Began(BaseModel):
    """A new session."""

    id: str


class Listed(BaseModel):
    """A session of a list."""

    id: str
    title: str
    turns: int
    updated_at: str = Field(description="ISO 8601, UTC.")


class Sessions(BaseModel):
    """The sessions of a key."""

    sessions: list[Listed]


class Exchanged(BaseModel):
    """A message of a session and the reply to it; `typed` is the message before it was shortened."""

    created_at: str
    message: str
    reply: str
    skill: str
    routed_by: str
    scores: dict[str, float] = {}
    reason: str = ""
    facts: list[dict[str, Any]] = []
    drafts: list[Drafted] = []
    dropped: list[str] = []
    warnings: list[str] = []
    timings: dict[str, float] = {}
    seed: int | None = None
    care: str = ""
    typed: str = ""
    prompt_tokens: int = 0
    cached_tokens: int = 0


class Numbered(Exchanged):
    """A turn of a page of turns."""

    number: int


class Turns(BaseModel):
    """Turns of a session, oldest first."""

    session: str
    turns: list[Numbered]
    warnings: list[str]


class Exported(BaseModel):
    """A whole session."""

    session: str
    turns: list[Exchanged]
    warnings: list[str] = []


class Forgotten(BaseModel):
    """A session that is gone."""

    id: str
    deleted: Literal[True]


EVENTS: tuple[type[BaseModel], ...] = (Piece, Whole)


def answers(model: type[BaseModel], events: Sequence[type[BaseModel]] = (), status: int = 200) -> Responses:
    """What a route answers where all is well: `model`, or, where a stream is asked for, `events`."""
    if not events:
        return {status: {"model": model}}
    data = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [{"$ref": COMPONENT.format(model=event.__name__)} for event in events]},
    }
    item = {"type": "object", "properties": {"event": {"type": "string"}, "data": data}, "required": ["data"]}
    stream = {"text/event-stream": {"schema": {"type": "string"}, "itemSchema": item}}
    return {status: {"model": model, "description": "The whole answer, or its events.", "content": stream}}


def schemas(models: Sequence[type[BaseModel]]) -> dict[str, Any]:
    """The schemas of models and of what they hold, by name, as parts of an OpenAPI description."""
    made = models_json_schema([(model, "serialization") for model in models], ref_template=COMPONENT)[1]
    found: dict[str, Any] = made["$defs"]
    return found
