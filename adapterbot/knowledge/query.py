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


@dataclass(frozen=True, slots=True)
class Query:
    """Terms for the full-text index, and the text for the encoder."""

    terms: tuple[str, ...]
    text: str


def terms(text: str) -> tuple[str, ...]:
    """The distinct content words of `text` in their order, lower case; at most `MAX_TERMS`."""
    return tuple(dict.fromkeys(word for word in _words(text) if word not in STOP))[:MAX_TERMS]


def queries(history: History) -> list[Query]:
    """Queries to try in turn: the newest user turn, then, if it only refers back, joined with each of the two before.

    A turn refers back when it has a word such as 'it' or 'they', or at most one content word ("tell me more").
    """
    said = [u.text for u in history if u.speaker == "user"]
    if not said:
        return []
    newest = Query(terms(said[-1]), said[-1])
    tried = [newest] if newest.terms else []
    if len(newest.terms) <= 1 or REFERRING & set(_words(newest.text)):
        joined = (f"{older} {newest.text}" for older in reversed(said[-1 - OLDER : -1]))
        tried += [Query(terms(text), text) for text in joined if terms(text) != newest.terms]
    return tried


def _words(text: str) -> list[str]:
    """All words, lower case, "don't" as "do" and "it's" as "it"."""
    return [CLITIC.sub("", word) for word in WORD.findall(text.lower())]
