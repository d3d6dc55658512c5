"""5 · How a reply that tells a fact may begin: with the fact's own words, up to where a new phrase starts.

A small model that has to find its way into a fact token by token gets lost on the way; where the first words are given
it goes on well. So some drafts open with words of the facts, and the model says the rest in its own way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from adapterbot.facts import Fact, Passage, PersonaLine, Triple
from adapterbot.knowledge.graph.relations import told
from adapterbot.language.sentences import detokenized, split_sentences

SHARES = (0.6, 0.45, 0.3)  # of a sentence's words at most; the rest is the model's
JOINTS = frozenset(
    re.findall(
        r"\w+",
        """and or but which who whom whose that when where while since because although until than such in on at by for
        from with without as to into of about after before between during through under over""",
    )
)
OPEN = JOINTS | {"a", "an", "the"}  # words that nothing can end on


def openings(facts: Iterable[Fact], said: Sequence[str], most: int) -> list[str]:
    """At most `most` beginnings: of sentences a part, the longest first, of triples all, of rows the name or the like.

    With few sentences each gives several beginnings, with many each gives one. None stands in `said`.
    """
    facts = list(facts)
    texts = [detokenized(text) for fact in facts if (text := _prose(fact))]
    sentences = [sentence for text in texts for sentence in split_sentences(text)][:most]
    begun = [_beginning(sentence.split(), share) for share in SHARES for sentence in sentences]
    begun += [told(fact) for fact in facts if isinstance(fact, Triple)]
    begun += [name for fact in facts for name in fact.names]
    known = "\n".join(said).lower()
    return [text for text in dict.fromkeys(begun) if text and text.lower() not in known][:most]


def _prose(fact: Fact) -> str:
    """The sentences of a fact; "" where it has none."""
    return fact.text if isinstance(fact, Passage | PersonaLine) else ""


def _beginning(words: Sequence[str], share: float) -> str:
    """The longest part from the start that has `share` of the words at most and can be gone on from; "" if none.

    It ends where a phrase ends, else before a word in lower case that is no noun of an article.
    """
    most = int(share * len(words))
    ends = [end for end in range(2, most + 1) if _phrase_ends(words, end)]
    ends = ends or [end for end in range(2, most + 1) if words[end][0].islower() and words[end - 1].lower() not in OPEN]
    return " ".join(words[: ends[-1]]).rstrip(",;:") if ends else ""


def _phrase_ends(words: Sequence[str], end: int) -> bool:
    """Whether a phrase ends before word number `end`."""
    return words[end].lower() in JOINTS or words[end - 1][-1] in ";:" or words[end][0] == "("
