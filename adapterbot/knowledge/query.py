"""3 · What to search for: the content words of the newest user turn, with older turns when it only refers back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapterbot.history import History
from adapterbot.language.words import REFERRING, _words, terms

OLDER = 2  # how many earlier user turns a follow-up may refer to


POLITE = re.compile(
    r"\W*(?:please\W+|so\W+|and\W+|(?:can|could|would|will) you\W+|do you know\W+|i want to know\W+)*", re.IGNORECASE
)
ASKS = re.compile(
    r"(?:tell|explain|describe|what|who|whom|whose|when|where|which|why|how|(?:any|some)thing about)\b"
    r"(?!.*\byour?\b)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Query:
    """Terms for the full-text index, and the text for the encoder."""

    terms: tuple[str, ...]
    text: str


def asks(text: str) -> bool:
    """Whether a turn wants to know something of the world: "who was ...?", "tell me about ..."; not "how are you?"."""
    polite = POLITE.match(text)
    return bool(ASKS.match(text, polite.end() if polite else 0)) and bool(terms(text))


def queries(history: History) -> list[list[Query]]:
    """Groups of queries to try in turn, the best of a group counts: the newest user turn, and, if it only refers back,
    joined with the one before; then joined with the one before that.

    A turn refers back when it has a word such as 'it' or 'they', or at most one content word ("tell me more"). "How
    long do they sleep?" is of cats, if that is what was talked of, and not of sleep.
    """
    said = [u.text for u in history if u.speaker == "user"]
    if not said:
        return []
    newest = Query(terms(said[-1]), said[-1])
    joined = list[Query]()
    if len(newest.terms) <= 1 or REFERRING & set(_words(newest.text)):
        texts = (f"{older} {newest.text}" for older in reversed(said[-1 - OLDER : -1]))
        joined = [query for text in texts if (query := Query(terms(text), text)).terms != newest.terms]
    nearest = [query for query in (newest, *joined[:1]) if query.terms]
    return [nearest, *([query] for query in joined[1:])] if nearest else []
