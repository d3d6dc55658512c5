"""What the page answers by itself, by no model: what it can do, and that it speaks English."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from adapterbot.home import DATA
from adapterbot.language.words import STOP
from adapterbot.ui import words

if TYPE_CHECKING:
    from adapterbot.bot import Bot

# Told by their meaning, as a skill's routing examples are: a message this near to one of them asks for the same.
ASKS = ("What can you do?", "What can you help me with?", "What are your skills?", "What can I ask you?")
NEAR = 0.80
# A message of so many words of which so many are in no English text that ships is in another language. Of 1,700 routing
# examples in English this takes two for foreign, both of garbled words; of 36 messages in 20 languages it sees 33.
FEWEST = 3
UNKNOWN = 0.60
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
ENDING = re.compile(r"(n['’]t|['’](s|m|re|ve|ll|d)|s|ed|ing)$")


def fixed_answer(bot: Bot, message: str, *, auto: bool) -> tuple[str, str]:
    """The text and the reason of an answer that no model makes; both empty where one does.

    Who asks a skill of their choice what it can do hears the skill (`auto` is False).
    """
    if is_foreign(message):
        return words.ENGLISH, words.FOREIGN
    manager = bot.manager if auto and message.strip() else None
    if manager and max(manager.sentences(message, ASKS)) >= NEAR:
        return words.CAN_DO, words.ABOUT_ITSELF
    return "", ""


def is_foreign(message: str) -> bool:
    """Whether a message is in another language than English, by its script or by its words."""
    letters = [c for c in message if c.isalpha()]
    latin = sum(unicodedata.name(c, "").startswith("LATIN") for c in letters)
    if 2 * latin < len(letters):
        return True
    said = _words(message)
    return len(said) >= FEWEST and sum(not _known(word) for word in said) >= UNKNOWN * len(said)


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in WORD.findall(text)]


def _known(word: str) -> bool:
    stem = ENDING.sub("", word)
    return bool({word, stem, f"{stem}e"} & _english())


@cache
def _english() -> frozenset[str]:
    """The words of the passages and dialogues that ship, and the function words of English."""
    return STOP | {word for text in _texts() for word in _words(text)}


def _texts() -> Iterator[str]:
    for path in (DATA / "knowledge" / "passages.jsonl", *sorted((DATA / "samples").glob("*.jsonl"))):
        with path.open(encoding="utf-8") as lines:
            for line in lines:
                read = json.loads(line)
                yield str(read.get("text", ""))
                yield from (str(turn.get("text", "")) for turn in read.get("turns", ()))
