"""What two texts have in common: word F1 and the longest run of words that one copies from the other."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence

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
    longest, row = 0, [0] * (len(theirs) + 1)
    for word in ours:
        row = [0, *(row[j] + 1 if word == other else 0 for j, other in enumerate(theirs))]
        longest = max(longest, *row)
    return longest
