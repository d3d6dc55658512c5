"""3 · Times of day as people say them: "half past nine", "1900", "between ten and eleven", "after seven at night"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from adapterbot.language.cursor import Cursor, weekday_of
from adapterbot.language.dates import PARTS, RELATIVE, listed
from adapterbot.language.tokens import Token, split
from adapterbot.language.words import STOP

Bound = Literal["at", "after", "before", "between"]
NOON, MIDNIGHT, HOUR = 12 * 60, 24 * 60, 60
WORDS = {"noon": NOON, "midday": NOON, "midnight": MIDNIGHT}
CUES: dict[str, Bound] = {
    **dict.fromkeys(listed("at around about approximately"), "at"),
    **dict.fromkeys(listed("by before until till"), "before"),
    **dict.fromkeys(listed("after from since past"), "after"),
    "between": "between",
}
FLIPPED: dict[Bound, Bound] = {"before": "after", "after": "before"}
TO = frozenset(listed("to until till through - – —"))
FIRST_AFTERNOON = 7  # a bare hour below this one is in the afternoon


@dataclass(frozen=True, slots=True)
class TimeOfDay:
    """Minutes since midnight, and how they bound what is asked for; `last` is the end of "between" alone."""

    bound: Bound
    first: int
    last: int = 0
    start: int = field(default=0, compare=False)  # where it is said

    def __str__(self) -> str:
        return f"{self.bound} {spelt(self.first)}" + (f" {spelt(self.last)}" if self.bound == "between" else "")


def spelt(minutes: int) -> str:
    """Minutes since midnight as HH:MM."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def read_times(text: str) -> tuple[list[TimeOfDay], str]:
    """The times of day that `text` speaks of, in its order, and `text` without them.

    Where it names no time but a part of the day ("in the afternoon"), that part.
    """
    tokens = split(text)
    reader = _Reader(tokens)
    found, used = reader.read()
    for token in (tokens[i] for i in used):
        text = text[: token.start] + " " * (token.end - token.start) + text[token.end :]
    return found, text


def read_part(text: str) -> TimeOfDay | None:
    """The part of a day that is meant where no time is named."""
    tokens = split(text)
    part = next((token for i, token in enumerate(tokens) if _is_part(tokens, i)), None)
    if part is None:
        return None
    first, last = PARTS[part.text]
    return TimeOfDay("between", HOUR * first, HOUR * last, part.start)


def _is_part(tokens: Sequence[Token], at: int) -> bool:
    """Whether a token is a part of the day; in a greeting it is none."""
    return tokens[at].text in PARTS and not (at and tokens[at - 1].text == "good")


@dataclass(frozen=True, slots=True)
class _Moment:
    """A time and where it ends; `open`: nobody said which half of the day it is in."""

    minutes: int
    end: int
    open: bool = False


class _Reader(Cursor):
    """Reads the tokens of one message."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        super().__init__(tokens)
        parts = {token.text for i, token in enumerate(tokens) if _is_part(tokens, i)}
        self._part = parts.pop() if len(parts) == 1 else ""

    def read(self) -> tuple[list[TimeOfDay], set[int]]:
        """All times, and the places of the tokens that say them."""
        found = list[TimeOfDay]()
        used = set[int]()
        at = 0
        while at < len(self.tokens):
            bound = self._bound(at)
            start = at + (bound is not None)
            one = self._ranged(start, bound) or self._single(start, bound, at)
            if one is None:
                at += 1
                continue
            found.append(replace(one[0], start=self.tokens[at].start))
            used |= set(range(at, one[1]))
            at = one[1]
        return found, used

    def _bound(self, at: int) -> Bound | None:
        """How what follows bounds a time."""
        word = self.text(at)
        if word == "than" and self.text(at - 1) in ("later", "earlier"):
            return "after" if self.text(at - 1) == "later" else "before"
        return CUES.get(word)

    def _single(self, start: int, bound: Bound | None, at: int) -> tuple[TimeOfDay, int] | None:
        moment = self._moment(start, cued=bound is not None)
        if moment is None or (bound == "after" and self.text(at) == "from" and moment.open and self._bare(start)):
            return None
        moment = self._placed(moment)
        before = {self.text(i) for i in range(max(0, at - 2), at)}
        bound = "at" if bound in (None, "between") else bound
        if {"not", "no"} & before and bound in FLIPPED:
            bound = FLIPPED[bound]
        end = moment.end
        if self.text(end) == "or" and self.text(end + 1) in ("later", "after", "earlier", "before"):
            bound = "after" if self.text(end + 1) in ("later", "after") else "before"
            end += 2
        minutes = moment.minutes % MIDNIGHT if bound in ("at", "after") else moment.minutes
        return TimeOfDay(bound, minutes), end

    def _ranged(self, start: int, bound: Bound | None) -> tuple[TimeOfDay, int] | None:
        """Between ten and eleven, from 9 to 11:30, 10am-1pm; "after ten to eleven" is 10:50."""
        opened = bound == "between" or self.text(start - 1) == "from"
        first = self._moment(start, cued=opened, whole=opened)
        joint = self.text(first.end) if first else ""
        if first is None or not (joint in TO or (joint == "and" and bound == "between")):
            return None
        last = self._moment(first.end + 1, cued=True)
        if last is None or (self._bare(start) and not opened and last.open):
            return None
        until = self._placed(last)
        early = self._placed(first).minutes
        if first.open and not last.open:  # "7 and 9 pm", "11 and 1 pm"
            early = next((m for m in (first.minutes + NOON, first.minutes) if m < until.minutes), early)
        late = until.minutes
        if late <= early and late + NOON <= MIDNIGHT and last.open:
            late += NOON
        return (TimeOfDay("between", early, late), until.end) if early < late else None

    def _placed(self, moment: _Moment) -> _Moment:
        """In which half of the day it is, by a part of the day that is named elsewhere, or as people mean it."""
        if not moment.open:
            return moment
        if self._part:
            return replace(moment, minutes=in_part(moment.minutes, self._part), open=False)
        late = HOUR <= moment.minutes % MIDNIGHT < FIRST_AFTERNOON * HOUR - 30 or moment.minutes < HOUR
        return replace(moment, minutes=moment.minutes + NOON if late else moment.minutes)

    def _bare(self, at: int) -> bool:
        """Whether a number stands there that only its cue makes a time."""
        return self.number(at, 0, 24, nth=False) is not None and self.text(at + 1) not in (
            "am",
            "pm",
            "o'clock",
            "oclock",
        )

    def _moment(self, at: int, cued: bool, whole: bool = False) -> _Moment | None:
        """The time that begins at a token; without a cue only what can be nothing else.

        `whole`: another one follows, so that "from ten to eleven" is an hour.
        """
        if self.text(at) in WORDS:
            return _Moment(WORDS[self.text(at)], at + 1)
        ways = (lambda: self._written(at, cued), lambda: self._spoken(at))
        found = ways[not whole]() or ways[whole]()
        return self._halved(found) if found else None

    def _spoken(self, at: int) -> _Moment | None:
        """Half past nine, a quarter to ten, twenty to five."""
        start = at + (self.text(at) in ("a", "an"))
        number = self.number(start, 1, 59, nth=False)
        minutes = {"half": 30, "quarter": 15}.get(self.text(start), number)
        end = start + 1
        end += self.text(end) in ("minutes", "minute")
        word = self.text(end)
        hour = self.number(end + 1, 1, 24, nth=False)
        noon = WORDS.get(self.text(end + 1))
        if minutes is None or word not in ("past", "to", "before", "after") or (hour is None and noon is None):
            return None
        if number is not None and (word in ("before", "after") or (word == "to" and number % 5)):
            return None  # "3 to 4 people"
        whole = noon if noon is not None else (hour or 0) * HOUR
        late = word in ("past", "after")
        return _Moment(whole + (minutes if late else -minutes), end + 2, open=noon is None and (hour or 0) <= 12)

    def _written(self, at: int, cued: bool) -> _Moment | None:
        """9:30, 7 pm, nine o'clock, seven thirty, 1900."""
        if found := re.fullmatch(r"(\d{1,2})[:.](\d\d)", self.text(at)):
            hour, minutes = int(found[1]), int(found[2])
            sure = ":" in self.text(at) or cued or self.text(at + 1) in ("am", "pm")
            sure = sure and (":" in self.text(at) or self._ends(at + 1))
            told = hour <= 12 and not found[1].startswith("0")
            return _Moment(hour * HOUR + minutes, at + 1, open=told) if sure and hour < 25 and minutes < 60 else None
        hours = self.number(at, 100, 2400, nth=False)
        if hours is not None and cued and hours % 100 < 60 and (len(self.text(at)) == 4 or hours % 100 == 0):
            if self._ends(at + 1) or self.text(at + 1) in ("hours", "hrs"):
                return _Moment(hours // 100 * HOUR + hours % 100, at + 1 + (self.text(at + 1) in ("hours", "hrs")))
            return None
        hour_said = self.number(at, 0, 24, nth=False)
        if hour_said is None:
            return None
        if self.text(at + 1) in ("o'clock", "oclock", "o’clock"):
            return _Moment(hour_said * HOUR, at + 2, open=hour_said <= 12)
        past = self.number(at + 1, 10, 59, nth=False)
        if past is not None and cued and hour_said and self._ends(at + 2):
            return _Moment(hour_said * HOUR + past, at + 2, open=hour_said <= 12)
        if self.text(at + 1) in ("am", "pm") or (cued and self._ends(at + 1)):
            return _Moment(hour_said * HOUR, at + 1, open=hour_said <= 12)
        return None

    def _ends(self, at: int) -> bool:
        """Whether a number may be a time by what follows: nothing that could be counted."""
        word = self.text(at)
        plain = word in STOP or word in PARTS or word in RELATIVE or weekday_of(word) is not None
        return not word or not word[0].isalnum() or word in ("am", "pm") or plain

    def _halved(self, moment: _Moment) -> _Moment:
        """With "am", "pm" or "in the evening" right after it, the half of the day."""
        word = self.text(moment.end)
        if word in ("am", "pm"):
            hours = moment.minutes % NOON
            return _Moment(hours + (NOON if word == "pm" else 0), moment.end + 1)
        end = moment.end
        while self.text(end) in ("in", "the", "at", "this"):
            end += 1
        if self.text(end) in PARTS and moment.open and end - moment.end < 3:
            return _Moment(in_part(moment.minutes, self.text(end)), end + 1)
        return moment


def in_part(minutes: int, part: str) -> int:
    """A time as the hour hand shows it, in that part of a day."""
    minutes = minutes % NOON
    if part == "morning" or (part in ("night", "tonight") and minutes < 6 * HOUR):
        return minutes
    return minutes + NOON


def read_when(text: str) -> list[TimeOfDay]:
    """The times that `text` names, else the part of the day."""
    part = read_part(text)
    return read_times(text)[0] or ([part] if part else [])
