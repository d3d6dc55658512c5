"""A text that is looked at from many sides, split once: its words, sentences and values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cached_property

from adapterbot.language.sentences import split_sentences
from adapterbot.language.values import named, parts
from adapterbot.language.words import terms, words

STEM = 5  # letters; content words that begin alike are one: "discovered" and "discovery"
WORD = re.compile(r"\w+")
CLAUSE_END = re.compile(r"(?<=[.!?])\s+")  # also after "p.m.": two texts that repeat a sentence are cut alike


class Text:
    """One text; everything else about it is worked out when it is first asked for, and kept."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Text({self.text!r})"

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """All words and numbers, lower case."""
        return tuple(WORD.findall(self.text.lower()))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words without punctuation and articles, lower case (ParlAI's normalisation)."""
        return tuple(words(self.text))

    @cached_property
    def bag(self) -> Counter[str]:
        """How often each of `words` stands in it."""
        return Counter(self.words)

    @cached_property
    def sentences(self) -> tuple[Text, ...]:
        """Its sentences."""
        return tuple(Text(sentence) for sentence in split_sentences(self.text))

    @cached_property
    def repeatable(self) -> frozenset[tuple[str, ...]]:
        """The words of each sentence that has more than two: "I see." and "Thank you!" may be said again."""
        clauses = (tuple(WORD.findall(clause.lower())) for clause in CLAUSE_END.split(self.text))
        return frozenset(clause for clause in clauses if len(clause) > 2)

    @cached_property
    def parts(self) -> frozenset[str]:
        """All words, numbers and times, lower case; 09:45 is 9:45 as well."""
        return frozenset(parts([self.text]))

    @cached_property
    def named(self) -> tuple[str, ...]:
        """Numbers in digits, and names inside a sentence."""
        return tuple(named(self.text))

    @cached_property
    def terms(self) -> tuple[str, ...]:
        """The distinct content words in their order, lower case."""
        return terms(self.text)

    @cached_property
    def stems(self) -> frozenset[str]:
        """The beginnings of all its content words."""
        return frozenset(word[:STEM] for word in terms(self.text, most=None))


def all_parts(texts: Iterable[Text]) -> frozenset[str]:
    """The parts of all texts."""
    return frozenset().union(*(text.parts for text in texts))
