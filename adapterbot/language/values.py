"""Values in plain text: numbers, names, times, places, and which of them other texts hold."""

from __future__ import annotations

import re
from collections.abc import Iterable

NUMBER = r"\d+(?::\d\d)+|\d{1,3}(?:,\d{3})+|\d+"  # a time is one value, its hour is none; so is 384,000
WORD = re.compile(r"\w+")
ONES = WORD.findall("one two three four five six seven eight nine")
TEENS = WORD.findall("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
TENS = WORD.findall("twenty thirty forty fifty sixty seventy eighty ninety")
_SPELT = dict(zip([*ONES, *TEENS], range(1, 20), strict=True))
_SPELT |= {ten: 10 * n for n, ten in enumerate(TENS, 2)}
_SPELT |= {f"{ten}-{one}": _SPELT[ten] + _SPELT[one] for ten in TENS for one in ONES}
# From "two" to "ninety-nine", the longest first; "one" is a pronoun as well.
DIGITS = {word: str(_SPELT[word]) for word in sorted(_SPELT, key=len, reverse=True) if word != "one"}
COMPOUND = rf"(?i:{'|'.join(TENS)})-(?i:{'|'.join(ONES)})\b"
PART = re.compile(rf"{NUMBER}|{COMPOUND}|[^\W\d_]+")  # "12F" is 12 and F
VALUE = re.compile(rf"{NUMBER}|(?<![^\W_])(?:{COMPOUND}|[^\W\d_]+)")  # "12F" is 12: a unit is no name
# Words that are values whatever their case: days, months, what the sky does, parts of a town, prices.
VALUES = frozenset(
    WORD.findall("""
    monday tuesday wednesday thursday friday saturday sunday
    january february april june july august september october november december
    sunny rainy cloudy snowy windy foggy stormy humid frosty overcast drizzling drizzle misty hailing hail raining rain
    snowing snow blizzard fog frost storm thunderstorm
    north south east west centre cheap moderate expensive noon midday midnight
    """)
)
# One thing under several names: whoever has one of a group has all of them.
ALIKE = (
    frozenset({"rain", "rainy", "raining", "drizzle", "drizzling"}),
    frozenset({"snow", "snowy", "snowing", "blizzard"}),
    frozenset({"hail", "hailing"}),
    frozenset({"fog", "foggy", "mist", "misty"}),
    frozenset({"storm", "stormy", "thunderstorm"}),
    frozenset({"frost", "frosty"}),
    frozenset({"centre", "center"}),
    frozenset({"moderate", "moderately"}),
    frozenset({"sunny", "sun"}),
)


def unsupported(text: str, facts: Iterable[str], utterances: Iterable[str] = ()) -> list[str]:
    """The values of `text` that stand neither in `facts` nor in `utterances`, in order.

    Values are numbers (spelt ones from two to ninety-nine as well), names (capitals inside a sentence) and the words
    of VALUES. A name at the start of a sentence is not told from another word.
    """
    known = with_synonyms(parts([*facts, *utterances]))
    return [value for value in values(text) if value.lower() not in known]


def parts(texts: Iterable[str]) -> set[str]:
    """All words, numbers and times of `texts`, lower case; 09:45 is 9:45 as well."""
    found = {part.lower() for text in texts for part in PART.findall(text)}
    return found | {part.lstrip("0") for part in found if ":" in part}


def named(text: str) -> list[str]:
    """Numbers in digits, and names inside a sentence."""
    return [value[0] for value in VALUE.finditer(text) if value[0][0].isdigit() or is_name(value)]


def with_synonyms(known: Iterable[str]) -> set[str]:
    """Parts of texts (see `parts`) and what else says the same: "rainy" and "raining", "three" and 3."""
    known = set(known)
    for group in ALIKE:
        if known & group:
            known |= group
    known |= {DIGITS[word] for word in known & DIGITS.keys()}
    return known | {word for word, digit in DIGITS.items() if digit in known}


def values(text: str) -> list[str]:
    """The values of a text in order (see `unsupported`)."""
    return [value[0] for value in VALUE.finditer(text) if _counts(value[0].lower()) or is_name(value)]


def _counts(word: str) -> bool:
    return word[0].isdigit() or word in DIGITS or word in VALUES


def is_name(word: re.Match[str]) -> bool:
    """Whether a word found in a text has a capital inside a sentence; "I" is no name."""
    inside = re.search(r"[^\s.!?][^.!?]*$", word.string[: word.start()])
    return bool(inside) and word[0][0].isupper() and word[0] != "I"
