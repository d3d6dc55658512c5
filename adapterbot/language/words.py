"""What two texts have in common: word F1 and the longest run of words that one copies from the other."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

MAX_TERMS = 64  # a pasted page must not become a query of thousands of terms
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

N = 4  # words of the n-grams by which copying is measured


def words(text: str) -> list[str]:
    """Lower-cased words without punctuation and articles (ParlAI's normalisation)."""
    text = "".join(" " if c in string.punctuation else c for c in text.lower())
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def word_f1(answer: str, reference: str) -> float:
    """Harmonic mean of word precision and recall, 0 to 1 (ParlAI's F1)."""
    return bag_f1(Counter(words(answer)), Counter(words(reference)))


def bag_f1(ours: Mapping[str, int], theirs: Mapping[str, int]) -> float:
    """The same of two bags of words, word -> how often."""
    common = sum(min(count, theirs.get(word, 0)) for word, count in ours.items())
    return 2 * common / (sum(ours.values()) + sum(theirs.values())) if common else 0.0


def copied(reply: str, facts: Sequence[str]) -> float | None:
    """How much of a fact a reply reads out in one go: the share of the fact's 4-grams, 0 to 1, of the fact most copied.

    The longest run of the reply's words that stands in a fact in the same order without a gap, counted in 4-grams,
    over the number of 4-grams in that fact (words as in `words`). None when no fact has four words.
    """
    said = words(reply)
    shares = []
    for fact in map(words, facts):
        if len(fact) >= N:
            shares.append(max(0, _longest_run(said, fact) - N + 1) / (len(fact) - N + 1))
    return max(shares, default=None)


def _longest_run(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """Length of the longest run of words that stands in both."""
    longest = 0
    row = [0] * (len(theirs) + 1)
    for word in ours:
        row = [0, *(row[j] + 1 if word == other else 0 for j, other in enumerate(theirs))]
        longest = max(longest, *row)
    return longest


def terms(text: str, most: int | None = MAX_TERMS) -> tuple[str, ...]:
    """The distinct content words of `text` in their order, lower case; at most `most`."""
    return tuple(dict.fromkeys(word for word in _words(text) if word not in STOP))[:most]


def _words(text: str) -> list[str]:
    """All words, lower case, "don't" as "do" and "it's" as "it"."""
    return [CLITIC.sub("", word) for word in WORD.findall(text.lower())]
