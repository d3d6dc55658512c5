"""The tokens of a message, looked at from any place: words, numbers, and the names of days, months and years there."""

from __future__ import annotations

from collections.abc import Sequence

from adapterbot.language.periods import UNITS
from adapterbot.language.tokens import DAYS, MONTHS, Token

SOME = {"a": 1, "an": 1, "couple": 2, "few": 4}
WORDY = frozenset(("march", "may"))  # months that are other words too


def weekday_of(word: str) -> int | None:
    """Monday 0, for the whole word, its plural and its short form."""
    full = word.removesuffix("s")
    if full in DAYS:
        return DAYS.index(full)
    return next((i for i, d in enumerate(DAYS) if word in (d[:3], d[:4], d[:5]) and len(word) < 6), None)


class Cursor:
    """Looks at tokens; a place beyond them holds no word and no number."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self.tokens = tokens

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else ""

    def skip(self, at: int, *words: str) -> int:
        return at + 1 if self.text(at) in words else at

    def number(self, at: int, low: int, high: int, nth: bool | None = None) -> int | None:
        """The number at a token, where it lies between two others."""
        token = self.tokens[at] if at < len(self.tokens) else None
        if token is None or token.number is None or (nth is not None and token.nth != nth):
            return None
        return token.number if low <= token.number <= high else None

    def count(self, at: int) -> tuple[int, int] | None:
        """How many, as in "3 days", "a week", "a couple of weeks"."""
        if (number := self.number(at, 0, 10**6, nth=False)) is not None:
            return number, at + 1
        if self.text(at) in ("a", "an") and self.text(at + 1) in ("couple", "few"):
            at += 1
        if self.text(at) in SOME:
            return SOME[self.text(at)], self.skip(at + 1, "of")
        return None

    def unit(self, at: int) -> str:
        word = self.text(at)
        return next((unit for unit in UNITS if word in (unit, f"{unit}s")), "")

    def what(self, at: int) -> str | int | None:
        """A unit, or a weekday as a number."""
        weekday = weekday_of(self.text(at)) if len(self.text(at)) > 5 else None
        return self.unit(at) or weekday

    def month(self, at: int) -> int | None:
        word = self.text(at)
        short = (m[:n] for m in MONTHS for n in (3, 4))
        if word in MONTHS or (word in short and word not in WORDY):
            return next(i for i, name in enumerate(MONTHS, 1) if name.startswith(word[:3]))
        return None

    def year(self, at: int) -> tuple[int, int] | None:
        """A year: 2028, or "twenty twenty eight"."""
        if (number := self.number(at, 1900, 2199, nth=False)) is not None:
            return number, at + 1
        century, rest = self.number(at, 19, 21, nth=False), self.number(at + 1, 10, 99, nth=False)
        return (century * 100 + rest, at + 2) if century and rest and not self.tokens[at].digits else None
