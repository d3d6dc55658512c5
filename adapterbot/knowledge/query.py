"""3 · What to search for: the content words of the newest user turn, with older turns when it only refers back."""

from __future__ import annotations

import re
from dataclasses import dataclass

from adapterbot.history import History

MAX_TERMS = 64  # a pasted page must not become a query of thousands of terms
OLDER = 2  # how many earlier user turns a follow-up may refer to

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
CLITIC = re.compile(r"(n['’]t|['’](s|m|re|ve|ll|d))$")
# A turn with one of these may be about what was said before: "who founded it?"
REFERRING = frozenset(WORD.findall("it its itself he him his she her hers they them their theirs"))
# Function words, and the words by which people ask and chat whatever the topic is.
STOP = REFERRING | frozenset(
    WORD.findall("""
    a about above actually after again all almost already also although always am an and another any anybody anyone
    anything anyway are as ask at away back be became because been before being below besides between both but by ca
    came can come comes coming could did do does doing done down during each either else enough even ever every
    everybody everyone everything few for from gave get gets getting give given gives go goes going gone got had has
    have having hence here how however i if in indeed instead into is just keep kept kind knew know known let made
    make makes making many may maybe me might mine more most much must my myself neither never no nobody none nor
    not nothing now of off often oh on once one only onto or other others our ours ourselves out over own perhaps
    quite rather re really said same saw say says see seem seems seen sha shall should since so some somebody
    someone something sometimes somewhere soon still such take taken takes tell than that the then there these this
    those though thought through till to together too took toward towards tried try under until up upon us use used
    very want wanted wants was way we well went were what whatever when where whether which while who whom whose why
    will with without wo would yes yet you your yours yourself
    awesome bit bye chat chatting cool dear discuss enjoy enjoyed enjoying fact facts fan favorite favourite fine
    fun glad good goodbye great hear heard hello hey hi huge interested interesting learn learning like liked likes
    listen lol lot lots love loved lovely loves loving mean nice ok okay opinion opinions please prefer pretty right
    sorry sure talk talking thank thanks thing things think thinking topic wow yeah yep
    """)
)

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


def terms(text: str, most: int | None = MAX_TERMS) -> tuple[str, ...]:
    """The distinct content words of `text` in their order, lower case; at most `most`."""
    return tuple(dict.fromkeys(word for word in _words(text) if word not in STOP))[:most]


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
    newest, joined = Query(terms(said[-1]), said[-1]), list[Query]()
    if len(newest.terms) <= 1 or REFERRING & set(_words(newest.text)):
        texts = (f"{older} {newest.text}" for older in reversed(said[-1 - OLDER : -1]))
        joined = [query for text in texts if (query := Query(terms(text), text)).terms != newest.terms]
    nearest = [query for query in (newest, *joined[:1]) if query.terms]
    return [nearest, *([query] for query in joined[1:])] if nearest else []


def _words(text: str) -> list[str]:
    """All words, lower case, "don't" as "do" and "it's" as "it"."""
    return [CLITIC.sub("", word) for word in WORD.findall(text.lower())]
