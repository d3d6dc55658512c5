"""3 · Which of the values that a message says of a row are denied: "so it isn't in the north?", "it has no wifi?"

A negation is about the value that follows it and those joined to it by "or". A "no" that answers denies nothing, nor
does a question that begins with "isn't" or "don't you". What is wanted and not wanted the state tracker tells.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapterbot.knowledge.table.vocabulary import WORD, Span

NEGATORS = frozenset(
    WORD.findall("""
    not never without neither nor no dont doesnt didnt isnt arent wasnt cant cannot wont hasnt havent lacks
    """)
)
ASKING = frozenset(WORD.findall("isnt arent doesnt dont didnt cant wasnt wouldnt"))  # where a question begins with one
SUBJECTS = frozenset(WORD.findall("you there it they that this the we he she"))
# What follows a "no" that is an answer.
AFTER_ANSWER = frozenset(
    WORD.findall("""
    i im id ive we it its lets let the a an wait sorry thanks thank actually make that thats please not you this there
    in on from to but just my how what is are rather instead he she they more less fewer idea problem worries
    """)
)
MARKS = frozenset(",.;:!?()")
BREAKS = frozenset(WORD.findall("but though however instead although whereas yet"))
JOINS = frozenset(WORD.findall("or nor"))
REACH = 8  # tokens between a negation and its value


def denied(words: Sequence[str], spans: Sequence[Span]) -> frozenset[Span]:
    """The values that are said not to be so."""
    found = list[Span]()
    for at, word in enumerate(words):
        after = _negates(words, at, word)
        if after:
            found += _scope(words, spans, after)
    return frozenset(found)


def _negates(words: Sequence[str], at: int, word: str) -> int:
    """Where the scope of a negation at a token begins; 0 where there is none."""
    following = words[at + 1] if at + 1 < len(words) else ""
    before = words[at - 1] if at else ""
    if word not in NEGATORS:
        return 0
    if word == "no" and (following in AFTER_ANSWER or following in MARKS or not following):
        return 0
    begins = not at or before in MARKS or before in ("and", "so", "but", "well", "oh")
    if word in ASKING and begins and "?" in words and (following in SUBJECTS or word != "dont"):
        return 0
    return at + 1


def _scope(words: Sequence[str], spans: Sequence[Span], start: int) -> list[Span]:
    """The value that a negation is about, and those that are joined to it."""
    following = [span for span in spans if span.start >= start]
    if not following or following[0].start - start > REACH:
        return []
    between = words[start : following[0].start]
    if set(between) & (BREAKS | MARKS):
        return []
    found = [following[0]]
    for span in following[1:]:
        gap = set(words[found[-1].end : span.start])
        listed = bool(gap & JOINS) or ("," in gap and _listed(words, following, span, found[-1]))
        if not listed or gap & BREAKS or gap & (MARKS - {","}):
            break
        found.append(span)
    return found


def _listed(words: Sequence[str], spans: Sequence[Span], span: Span, before: Span) -> bool:
    """Whether a value behind a comma goes on a list that an "or" ends: "not north, south or east"."""
    later = next((other for other in spans if other.start >= span.end), None)
    same = later is not None and {c.name for c in later.columns} & {c.name for c in before.columns}
    return bool(same and later and set(words[span.end : later.start]) & JOINS)
