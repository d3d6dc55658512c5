"""POST /v1/embeddings: texts as unit vectors of MiniLM, the encoder that ships."""

from __future__ import annotations

import base64
from typing import Any, Literal

import torch
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from torch import Tensor

from adapterbot.engine.request import Deadline
from adapterbot.errors import UnknownNameError
from adapterbot.manager.bert import BATCH, MAX_TOKENS, BertEncoder
from adapterbot.manager.encoder import minilm
from adapterbot.serving.answers import answers
from adapterbot.serving.openai.answers import Embeddings
from adapterbot.serving.openai.wire import AUTO, turns_of
from adapterbot.serving.refusals import REFUSALS, Answer, ApiError
from adapterbot.serving.turns import while_there

NAMES = (AUTO, "all-MiniLM-L6-v2")
MOST_TEXTS = 512

routes = APIRouter(prefix="/v1", tags=["openai"], responses=REFUSALS)


class EmbeddingRequest(BaseModel):
    """Texts to encode. Fields that nobody knows are passed over; null is as good as absent."""

    model_config = ConfigDict(extra="ignore")

    input: str | list[str] | list[int] | list[list[int]] = Field(description=f"A text, or up to {MOST_TEXTS}.")
    model: str | None = Field(None, description=f"`{NAMES[0]}` or `{NAMES[1]}`: the same.")
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None

    def texts(self) -> list[str]:
        """Raises ApiError for anything else: token ids are of another model's vocabulary."""
        given = [self.input] if isinstance(self.input, str) else list(self.input)
        texts = [text for text in given if isinstance(text, str) and text]
        if len(texts) < len(given) or not 1 <= len(texts) <= MOST_TEXTS:
            text = f"input is a text, or 1 to {MOST_TEXTS} texts, none of them empty"
            ids = "no token ids, which are of another vocabulary (LangChain: check_embedding_ctx_length=False)"
            raise ApiError(400, f"{text}; {ids}", param="input")
        return texts


@routes.post("/embeddings", response_model=None, responses=answers(Embeddings))
async def embed(body: EmbeddingRequest, request: Request) -> Response:
    """Unit vectors of texts, the nearer the more alike in meaning; as numbers, or as base64 of float32."""
    if body.model and body.model.lower() not in [name.lower() for name in NAMES]:
        raise ApiError(404, str(UnknownNameError("model", body.model, NAMES)), param="model", code="model_not_found")
    texts = body.texts()
    turns = turns_of(request.app.state)
    deadline = turns.deadline()
    work = turns.work(lambda: _embedded(body, texts, deadline), deadline.leave)
    return Answer(await while_there(request, work))


def _embedded(body: EmbeddingRequest, texts: list[str], deadline: Deadline) -> dict[str, Any]:
    encoder = minilm()
    if body.dimensions not in (None, encoder.width):
        raise ApiError(400, f"dimensions={body.dimensions}: these vectors have {encoder.width}", param="dimensions")
    parts = list[Tensor]()
    for start in range(0, len(texts), BATCH):
        deadline.check()
        parts.append(encoder.encode(texts[start : start + BATCH]))
    vectors = torch.cat(parts)  # [N, width]
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(vector.numpy().astype("<f4").tobytes()).decode()
            if body.encoding_format == "base64"
            else vector.tolist(),
        }
        for index, vector in enumerate(vectors)
    ]
    lengths = [len(encoder.ids(text)) for text in texts]
    answer = {"object": "list", "data": data, "model": body.model or NAMES[1], "usage": _usage(lengths)}
    return answer | {AUTO: {"warnings": _cut(encoder, lengths)}}


def _usage(lengths: list[int]) -> dict[str, int]:
    return {"prompt_tokens": sum(lengths), "total_tokens": sum(lengths)}


def _cut(encoder: BertEncoder, lengths: list[int]) -> list[str]:
    """What was not read to its end."""
    most = min(MAX_TOKENS, encoder.shape.positions)
    return [f"of input[{i}] the first {most} tokens were read" for i, length in enumerate(lengths) if length >= most]
