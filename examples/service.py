"""A service of your own around the bot, in FastAPI: requests at the same time share its work.

uvicorn service:app --app-dir examples
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from adapterbot import Bot
from adapterbot.errors import AdapterbotError, BusyError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Load the bot once, before the first request."""
    app.state.bot = Bot.load()
    yield


app = FastAPI(lifespan=lifespan)


class Question(BaseModel):
    """What a user of the service sends."""

    text: str
    skill: str | None = None


@app.post("/ask")
async def ask(question: Question) -> dict[str, str]:
    """The reply and the skill that gave it."""
    try:
        reply = await app.state.bot.arespond(question.text, skill=question.skill)
    except BusyError as error:
        raise HTTPException(503, str(error)) from None
    except AdapterbotError as error:  # its text is one line for whoever asked
        raise HTTPException(400, str(error)) from None
    return {"text": reply.text, "skill": reply.skill}
