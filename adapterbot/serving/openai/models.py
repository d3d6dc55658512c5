"""GET /v1/models: the bot whose manager chooses, and every skill that can answer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request

from adapterbot.bot import Bot
from adapterbot.serving.answers import answers
from adapterbot.serving.openai.answers import Model, Models
from adapterbot.serving.openai.wire import AUTO, now, skill_of, turns_of
from adapterbot.serving.refusals import REFUSALS, Answer, ApiError
from adapterbot.spec.mixing import parts_of

routes = APIRouter(prefix="/v1", tags=["openai"], responses=REFUSALS)
STARTED = now()


@routes.get("/models", response_model=None, responses=answers(Models))
async def models(request: Request) -> Answer:
    """Every model that can be asked."""
    bot = turns_of(request.app.state).bot
    entries = [_entry(AUTO, bot), *(_entry(f"{AUTO}/{skill}", bot) for skill in bot.skills)]
    return Answer({"object": "list", "data": entries})


@routes.get("/models/{model:path}", response_model=None, responses=answers(Model))
async def model(model: str, request: Request) -> Answer:
    """One model; 404 with the nearest names for one that is not there."""
    bot = turns_of(request.app.state).bot
    if not model:
        raise ApiError(404, "no model was named; GET /v1/models has them all", param="model", code="model_not_found")
    skill_of(bot, model)
    return Answer(_entry(model, bot))


def _entry(model: str, bot: Bot) -> dict[str, Any]:
    skill = model.partition("/")[2]
    about = (
        " ".join(bot.specs[part.skill].summary for part in parts_of(skill))
        if skill
        else "The manager picks the skill for every message."
    )
    entry = {"id": model, "object": "model", "created": STARTED, "owned_by": AUTO, "name": model, "description": about}
    return entry | ({"root": AUTO, "parent": AUTO} if skill else {"root": AUTO, "parent": None})
