"""What the routes of OpenAI's API answer, as /openapi.json describes it (see `serving.answers`)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from adapterbot.serving.refusals import ErrorBody

Finish = Literal["stop", "length"]


class Inside(BaseModel):
    """The extra member `adapterbot`: who answered, why, and from what."""

    skill: str
    routed_by: Literal["forced", "manager", "fallback", "only", "care"]
    reason: str
    care: str
    scores: dict[str, float]
    facts: list[dict[str, Any]] = Field(description="Each with `kind`, `text`, `title` and the fields of its kind.")
    seed: int | None
    warnings: list[str]
    timings: dict[str, float] = Field(description="Seconds per stage.")


class Read(BaseModel):
    """How many tokens were read for an earlier prompt, and not again."""

    cached_tokens: int


class Usage(BaseModel):
    """Tokens of the prompt and of what was made."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: Read


class ChatMessage(BaseModel):
    """A reply."""

    role: Literal["assistant"]
    content: str
    refusal: None
    annotations: list[Any]


class ChatChoice(BaseModel):
    """One of the replies; of several each has its own `adapterbot`."""

    index: int
    message: ChatMessage
    logprobs: None
    finish_reason: Finish
    adapterbot: Inside | None = None


class ChatCompletion(BaseModel):
    """The answer to a chat."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChoice]
    usage: Usage
    adapterbot: Inside


class ChatDelta(BaseModel):
    """More of a reply: first its role, then its text."""

    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    """More of one of the replies, or why it ends."""

    index: int
    delta: ChatDelta
    logprobs: None
    finish_reason: Finish | None


class ChatChunk(BaseModel):
    """An event of a streamed chat. The last one of a reply has `adapterbot`, the last of all the usage if asked for."""

    id: str
    object: Literal["chat.completion.chunk"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    adapterbot: Inside | None = None


class Logprobs(BaseModel):
    """Four lists of one length. The first token of a text has no probability."""

    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float] | None] | None
    text_offset: list[int]


class TextChoice(BaseModel):
    """A text that was gone on with, or more of it."""

    index: int
    text: str
    logprobs: Logprobs | None
    finish_reason: Finish | Literal["content_filter"] | None


class Completion(BaseModel):
    """Texts that were gone on with; an event of a stream of them has no usage but for the last, if asked for."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: Usage | None = None


class Embedding(BaseModel):
    """A unit vector: its numbers, or the base64 of them as float32."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingUsage(BaseModel):
    """Tokens that were read."""

    prompt_tokens: int
    total_tokens: int


class Warnings(BaseModel):
    """The extra member `adapterbot` of embeddings."""

    warnings: list[str]


class Embeddings(BaseModel):
    """The vectors of texts, in their order."""

    object: Literal["list"]
    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    adapterbot: Warnings


class Model(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    name: str
    description: str
    root: str
    parent: str | None


class Models(BaseModel):
    """All models."""

    object: Literal["list"]
    data: list[Model]


class Part(BaseModel):
    """The text of a message."""

    type: Literal["output_text"]
    text: str
    annotations: list[Any]
    logprobs: list[Any]


class Item(BaseModel):
    """The one message of a response."""

    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    status: Literal["in_progress", "completed", "incomplete"]
    content: list[Part]


class Reasoning(BaseModel):
    """Tokens that nobody sees: none."""

    reasoning_tokens: Literal[0]


class ResponseUsage(BaseModel):
    """Tokens of the prompt and of the reply."""

    input_tokens: int
    input_tokens_details: Read
    output_tokens: int
    output_tokens_details: Reasoning
    total_tokens: int


class Reason(BaseModel):
    """Why a response is incomplete."""

    reason: Literal["max_output_tokens"]


class ResponseAnswer(BaseModel):
    """A response; `adapterbot` and `usage` are there once it is whole."""

    id: str
    object: Literal["response"]
    created_at: int
    model: str
    status: Literal["in_progress", "completed", "incomplete"]
    error: None
    incomplete_details: Reason | None
    instructions: str | None
    max_output_tokens: int | None
    metadata: dict[str, Any]
    output: list[Item]
    parallel_tool_calls: Literal[False]
    previous_response_id: str | None
    store: bool
    temperature: float | None
    text: dict[str, Any]
    tool_choice: Literal["none"]
    tools: list[Any]
    top_p: float | None
    truncation: Literal["auto"]
    usage: ResponseUsage | None
    adapterbot: Inside | None = None


class Deleted(BaseModel):
    """A response that was forgotten."""

    id: str
    object: Literal["response"]
    deleted: Literal[True]


class ResponseEvent(BaseModel):
    """An event of a streamed response; which members it has depends on its type."""

    type: Literal[
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
        "response.incomplete",
        "error",
    ]
    sequence_number: int
    response: ResponseAnswer | None = None
    item: Item | None = None
    part: Part | None = None
    item_id: str | None = None
    output_index: int | None = None
    content_index: int | None = None
    delta: str | None = None
    text: str | None = None
    logprobs: list[Any] | None = None
    code: str | None = None
    message: str | None = None
    param: str | None = None
    error: ErrorBody | None = None


EVENTS: tuple[type[BaseModel], ...] = (ChatChunk, Completion, ResponseEvent)
