"""3 · Whether somebody wants the calendar changed: it can only be read."""

from __future__ import annotations

import re

from adapterbot.language.dates import listed
from adapterbot.language.words import WORD

MAX_CHARACTERS = 2_000  # of a message that are looked at
# What a wish for a change begins with, after nothing but politeness.
VERBS = frozenset(
    listed("""
    add create put book cancel delete remove erase clear move reschedule postpone change rename invite enter save make
    mark set update shift push pencil block drop schedule remind""")
)
POLITE = frozenset(
    listed("""
    please hey hi hello ok okay and also then so just now can could would will you i we i'd need want like have let's
    let to thanks great go ahead kindly""")
)
CLAUSE = re.compile(r"[,:;.!?]+(?=\s|$)")
# How a question begins; whatever was said before it, a message that ends in one asks.
QUESTION = re.compile(
    r"\W*(?:and |so |then )?(?:what|when|where|who|whom|which|why|how|am|is|are|do|does|did|was|were|have)\b", re.I
)
SHOWN = frozenset(listed("for today tonight tomorrow this next on look please is like in"))  # "schedule for monday"
TOLD = frozenset(listed("when where what who how why whether if"))  # "remind me when it is"


def asks_for_change(text: str) -> bool:
    """Whether somebody wants an event added, moved or deleted."""
    clauses = [clause for clause in CLAUSE.split(text[:MAX_CHARACTERS]) if clause.strip()]
    if not clauses or QUESTION.match(clauses[-1]):
        return False
    return any(_changes(WORD.findall(clause.lower())) for clause in clauses)


def _changes(words: list[str]) -> bool:
    """Whether a clause is a wish for a change."""
    start = next((i for i, word in enumerate(words) if word not in POLITE), len(words))
    verb, *follows = words[start:] or [""]
    if verb not in VERBS or not follows:
        return False
    if verb == "remind":
        return follows[0] == "me" and len(follows) > 1 and follows[1] not in TOLD
    return verb != "schedule" or follows[0] not in SHOWN
