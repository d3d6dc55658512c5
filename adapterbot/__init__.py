"""The Adapter-Bot made real: one frozen dialogue model, one small adapter per skill, a manager that picks the skill.

>>> from adapterbot import Bot                              # doctest: +SKIP
>>> Bot.load().respond("My best friend moved away.").text   # doctest: +SKIP

Importing this module loads neither torch nor gradio; the names below are fetched when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adapterbot.bot import Bot
    from adapterbot.errors import AdapterbotError
    from adapterbot.history import History
    from adapterbot.spec.tables import SkillSpec
    from adapterbot.turn import Choice, Reply

__version__ = "0.2.0"
__all__ = ["AdapterbotError", "Bot", "Choice", "History", "Reply", "SkillSpec"]

_PLACES = {
    "AdapterbotError": "errors",
    "Bot": "bot",
    "Choice": "turn",
    "History": "history",
    "Reply": "turn",
    "SkillSpec": "spec.tables",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'adapterbot' has no attribute {name!r}")
    return getattr(import_module(f"adapterbot.{_PLACES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PLACES])
