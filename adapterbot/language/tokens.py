"""Text as tokens with their places; numbers and ordinals are read however they are written: 21st, "twenty-first"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from adapterbot.language.words import CLITIC, STOP

MONTHS = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# A date, a time, a day of a month, a number before am or pm, a code such as TR1029, a number, a word, a mark.
PIECE = re.compile(
    r"\d{4}-\d\d-\d\d(?!\d)|\d{1,2}[:.]\d\d(?![\d:])|\d{1,2}/\d{1,2}(?:/\d{4})?(?![\d/])|\d+(?:st|nd|rd|th)\b"
    r"|\d+(?=[ap]\.?m\b)|[ap]\.m\b\.?|[^\W\d_]+\d\w*|\d+[^\W\d_]\w*|\d+|[^\W\d_]+(?:['’][^\W\d_]+)*|[^\w\s]|_",
    re.I,
)
NUMBER = re.compile(r"(\d+)(st|nd|rd|th)?")
LONGEST = 7  # pieces of one number: "two thousand and twenty-six"
MOST_DIGITS = 6
# Whole words for which people write something shorter.
SHORT = {
    "tmrw": "tomorrow",
    "tmr": "tomorrow",
    "tonite": "tonight",
    "wkend": "weekend",
    "xmas": "christmas",
}
# Long words that nothing else looks like: a misspelt one is taken for what it is nearest to.
SPELT = (*DAYS, *(month for month in MONTHS if len(month) > 6), "tomorrow", "yesterday", "tonight", "weekend")
CLOSE = 0.82


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a text. `text` is in lower case, without "'s", spelt right; `number` is what it counts, if it does.

    `nth`: it is an ordinal. `digits`: it was written in digits.
    """

    text: str
    start: int
    end: int
    number: int | None = None
    nth: bool = False
    digits: bool = False


def split(text: str) -> list[Token]:
    """The tokens of a text."""
    pieces = [(m[0], m.start(), m.end()) for m in PIECE.finditer(text)]
    return list(_merged(text, pieces))


def _merged(text: str, pieces: list[tuple[str, int, int]]) -> Iterator[Token]:
    """Pieces, those of one number as one token."""
    at = 0
    while at < len(pieces):
        piece, start, end = pieces[at]
        size = 1
        found = NUMBER.fullmatch(piece.lower())
        if found is None and piece[0].isalpha() and _in_digits(piece.lower()) != piece.lower():
            for size in range(min(LONGEST, len(pieces) - at), 0, -1):
                end = pieces[at + size - 1][2]
                if found := NUMBER.fullmatch(_in_digits(text[start:end].lower())):
                    break
        if found and len(found[1]) <= MOST_DIGITS:
            yield Token(text[start:end].lower(), start, end, int(found[1]), bool(found[2]), piece[0].isdigit())
        else:
            yield Token(_word(piece), start, end)
        at += size


@lru_cache(maxsize=4096)
def _in_digits(words: str) -> str:
    """Numbers in digits; "no one" stays."""
    from text_to_num import alpha2digit

    return str(alpha2digit(words, "en", 0))


@lru_cache(maxsize=4096)
def _word(piece: str) -> str:
    """A word as it is looked up."""
    word = piece.lower().replace(".", "") or piece
    word = CLITIC.sub("", SHORT.get(word, word))
    if len(word) < 6 or not word.isalpha() or word in SPELT or word in STOP or word.removesuffix("s") in SPELT:
        return word
    near = difflib.get_close_matches(word, SPELT, n=1, cutoff=CLOSE)
    return near[0] if near else word
