"""3 · Date words: which days a sentence such as "anything on next Friday, or a week from the 5th?" is about.

A small grammar over tokens: an expression may stand inside another one, so that "the day before Thanksgiving" and "two
weeks from next Friday" need no rule of their own. Where words can mean two days, both are given, the likelier first.
"""

# Long: one grammar, whose rules call each other.

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date

from adapterbot.language import periods
from adapterbot.language.cursor import SOME, WORDY, Cursor, weekday_of
from adapterbot.language.feasts import feast, feast_at
from adapterbot.language.periods import DAY, Span
from adapterbot.language.tokens import DAYS as DAYS
from adapterbot.language.tokens import MONTHS as MONTHS
from adapterbot.language.tokens import Token, split
from adapterbot.language.words import STOP

listed = re.compile(r"\S+").findall  # the words of a list written as one text

# What of a day is meant, as hours; a greeting means none of it.
PARTS = {"morning": (0, 12), "afternoon": (12, 18), "evening": (17, 24), "tonight": (17, 24), "night": (17, 24)}
WHICH = {"this": 0, "current": 0, "next": 1, "coming": 1, "following": 1, "last": -1, "past": -1, "previous": -1}
RELATIVE = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}
CUES = frozenset(listed("on for by till until about from since to and through between or is"))
IN = frozenset(listed("in during for this next last of until till by from and through to over"))
TO = frozenset(listed("to through thru until till - – —"))
ENDS = {"beginning": "start", "start": "start", "middle": "middle", "end": "end"}

DEEPEST = 6

Found = tuple[list[Span], int]  # what stands there, and where it ends


def read_days(text: str, today: date, *, past: bool = False) -> tuple[list[Span], str]:
    """The days that `text` is about, in its order, and `text` without the words that say so.

    `past`: it speaks of what has been, so that "on Friday" is the last one.
    """
    text = text.replace("\0", " ")
    tokens = split(text)
    spans, used = _Reader(tokens, today, past).read()
    part = next((i for i, token in enumerate(tokens) if token.text in PARTS and not _greets(tokens, i)), None)
    if part is not None:
        hours = PARTS[tokens[part].text]
        spans = [replace(s, hours=hours) if s.first == s.last else s for s in spans or [Span(today, today)]]
    gone = [tokens[i] for i in sorted(used | {i for i, t in enumerate(tokens) if t.text in PARTS})]
    for token in reversed(gone):
        text = text[: token.start] + " " * (token.end - token.start) + text[token.end :]
    return spans, text


def _greets(tokens: Sequence[Token], at: int) -> bool:
    return at > 0 and tokens[at - 1].text == "good"


class _Reader(Cursor):
    """Reads the tokens of one message."""

    def __init__(self, tokens: Sequence[Token], today: date, past: bool) -> None:
        super().__init__(tokens)
        self.today = today
        self.past = past
        self._known: dict[int, Found | None] = {}
        self._depth = 0

    def read(self) -> tuple[list[Span], set[int]]:
        """All spans, two with "to" between them as one; and the places of the tokens that say so."""
        spans: list[Span] = []
        used = set[int]()
        at = before = 0
        while at < len(self.tokens):
            found = self._expression(at)
            if found is None:
                at += 1
                continue
            new, end = found
            if spans and self._ranged(before, at, used):
                last = new[0].last if new[0].last >= spans[-1].first else new[0].last + periods.WEEK
                spans[-1] = Span(spans[-1].first, max(last, spans[-1].last))
            else:
                spans += new
            used |= set(range(at, end))
            at = before = end
        return list(dict.fromkeys(spans)), used

    def _ranged(self, before: int, at: int, used: set[int]) -> bool:
        """Whether what stands between two expressions makes them the ends of one span."""
        between = [self.text(i) for i in range(before, at) if self.text(i) != "the"]
        first = before
        while first - 1 in used:
            first -= 1
        opened = "between" in (self.text(first - 1), self.text(first - 2) if self.text(first - 1) == "the" else "")
        return len(between) == 1 and (between[0] in TO or (between[0] == "and" and opened))

    def _expression(self, at: int) -> Found | None:
        """The longest reading of what begins at a token; expressions stand in each other up to DEEPEST times."""
        if at not in self._known and self._depth < DEEPEST:
            self._depth += 1
            self._known[at] = self._longest(at)
            self._depth -= 1
        return self._known.get(at)

    def _longest(self, at: int) -> Found | None:
        rules: tuple[Callable[[int], Found | None], ...] = (
            *(self._inside, self._offset, self._beside, self._several, self._dated),
            *(self._feast, self._named, self._relative, self._ordinal, self._whole_year),
        )
        found = [one for rule in rules if (one := rule(at)) and one[0]]
        return max(found, key=lambda one: one[1], default=None)

    def _inside(self, at: int) -> Found | None:
        """The first week of January, the last Friday of the month, the end of May."""
        start = self.skip(at, "the")
        number = self.number(start, 1, 53, nth=True) or (-1 if self.text(start) in ("last", "final") else None)
        what = self.what(start + 1) if number else None
        end = ENDS.get(self.text(start), "")
        after = start + 2 if number else start + 1
        if (what is None and not end) or self.text(after) not in ("of", "in"):
            return None
        period = self._period(after + 1)
        if period is None:
            return None
        if end:
            return [periods.third(period[0], end)], period[1]
        found = periods.nth_in(period[0], number or 1, what if what is not None else "day")
        return ([found], period[1]) if found else None

    def _period(self, at: int) -> tuple[Span, int] | None:
        """A whole month, year or week, which something else is inside."""
        step = WHICH.get(self.text(at), 0)
        start = at + 1 if self.text(at) in WHICH or self.text(at) == "the" else at
        number = self.month(start)
        if number:
            said = self.year(start + 1)
            which = "last" if step < 0 else ""
            whole = periods.in_month(number, said[0] if said else None, which, self.today, self.past)[0]
            return periods.month(whole.first.year, number), said[1] if said else start + 1
        if said := self.year(start):
            return periods.year(said[0]), said[1]
        unit = self.unit(start)
        if unit in ("week", "month", "year") and start > at:
            day = periods.later(self.today, step, unit) or self.today
            if unit == "week":
                return periods.week(day), start + 1
            return periods.month(day.year, day.month) if unit == "month" else periods.year(day.year), start + 1
        return None

    def _offset(self, at: int) -> Found | None:
        """In two days, three weeks ago, a week from tomorrow, two days after Christmas."""
        leads = self.text(at) == "in"
        counted = self.count(at + leads)
        unit = self.unit(counted[1]) if counted else ""
        if counted is None or not unit:
            return None
        count, end = counted[0], counted[1] + 1
        word = self.text(end)
        if word in ("from", "after", "before", "since", "on") and (anchor := self._anchor(end + 1)):
            day, end, now = anchor
            if word == "on" and leads:
                return self._vague(self.today, count, unit, counted[1] + 1)
            moved = periods.later(day, -count if word == "before" else count, unit)
            return self._vague(day, count, unit, end) if now else (periods.one(moved), end) if moved else None
        if word in ("ago", "back"):
            return self._vague(self.today, -count, unit, end + 1)
        if word in ("later", "hence") or leads:
            end = self.skip(self.skip(end, "'", "’"), "time", "hence", "later")
            return self._vague(self.today, count, unit, end)
        return None

    def _anchor(self, at: int) -> tuple[date, int, bool] | None:
        """The day from which is counted, and whether it is just now."""
        if self.text(at) in ("now", "today"):
            return self.today, at + 1, True
        found = self._expression(at)
        return (found[0][0].first, found[1], False) if found else None

    def _vague(self, day: date, count: int, unit: str, end: int) -> Found | None:
        """So many units from now; by several weeks nobody means the very day."""
        moved = periods.later(day, count, unit)
        if moved is None:
            return None
        weeks = abs(count) * (2 if unit == "fortnight" else 1) if unit in ("week", "fortnight") else 0
        return ([periods.week(moved)] if weeks > 1 else periods.one(moved)), end

    def _beside(self, at: int) -> Found | None:
        """The day after tomorrow, the week before Christmas, the weekend after next."""
        start = self.skip(at, "the")
        what = self.what(start)
        if what is None or self.text(start + 1) not in ("after", "before"):
            return None
        back = self.text(start + 1) == "before"
        if self.text(start + 2) == ("last" if back else "next"):
            unit = what if isinstance(what, str) else "week"
            if isinstance(what, str) and what != "weekend":
                return periods.in_unit(what, -2 if back else 2, self.today), start + 3
            nearest = periods.beside(what, Span(self.today, self.today), back)
            moved = periods.later(nearest.first, -1 if back else 1, unit) or nearest.first
            return [Span(moved, moved + (nearest.last - nearest.first))], start + 3
        found = self._expression(start + 2)
        return ([periods.beside(what, found[0][0], back)], found[1]) if found else None

    def _several(self, at: int) -> Found | None:
        """The next two weeks, the last ten days."""
        start = self.skip(at, "the")
        step = WHICH.get(self.text(start), 0)
        counted = self.count(start + 1) if step else None
        if step and not counted and self.text(start + 1) in ("days", "weeks"):
            counted = SOME["few"], start + 1
        unit = self.unit(counted[1]) if counted else ""
        if counted is None or not unit:
            return None
        moved = periods.later(self.today, step * counted[0], unit)
        return ([Span(min(moved, self.today), max(moved, self.today))], counted[1] + 1) if moved else None

    def _dated(self, at: int) -> Found | None:
        """The 5th of March 2027, March 5, 5/3, 2027-03-05; with the weekday before it or not."""
        short = weekday_of(self.text(at))
        start = self.skip(self.skip(at + (short is not None), ","), "the")
        if found := self._in_marks(start):
            return found
        number, end = self.number(start, 1, 31), start + 1
        month = self.month(self.skip(end, "of")) if number else self.month(start)
        if number and month:
            end = self.skip(end, "of") + 1
        elif month:
            end = self.skip(self.skip(start + 1, "."), "the")
            number, end = self.number(end, 1, 31), end + 1
            if number and self.text(end) in ("am", "pm"):
                return None
        elif number and short is not None and self.tokens[start].nth:
            return self._weekday_the_nth(short, number), end
        if not number or not month:
            return None
        said = self.year(self.skip(end, ","))
        days = periods.on_date(month, number, said[0] if said else None, self.today, self.past)
        return self._until(days, said[1] if said else end)

    def _until(self, days: list[Span], end: int) -> Found:
        """The days, and with "to 12" after them those up to that one."""
        number = self.number(end + 1, 1, 31) if self.text(end) in TO and days else None
        last = periods.made(days[0].first.year, days[0].first.month, number) if number else None
        if last and last > days[0].first and self.text(end + 2) not in ("am", "pm"):
            return [Span(days[0].first, last)], end + 2
        return days, end

    def _in_marks(self, at: int) -> Found | None:
        """3/5 as the fifth of March, 25/12 as Christmas; 2027-03-05."""
        if found := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", self.text(at)):
            return periods.on_date(int(found[2]), int(found[3]), int(found[1]), self.today, self.past), at + 1
        if found := re.fullmatch(r"(\d{1,2})/(\d{1,2})(?:/(\d{4}))?", self.text(at)):
            first, second = int(found[1]), int(found[2])
            month, day = (second, first) if first > 12 else (first, second)
            said = int(found[3]) if found[3] else None
            return periods.on_date(month, day, said, self.today, self.past) if 0 < month < 13 else [], at + 1
        return None

    def _weekday_the_nth(self, weekday: int, number: int) -> list[Span]:
        """Friday the 13th."""
        firsts = (periods.month(self.today.year, self.today.month + i).first for i in range(-36, 37))
        tried = (day for first in firsts if (day := periods.made(first.year, first.month, number)))
        found = periods.nearest((d for d in tried if d.weekday() == weekday), self.today, self.past)
        return periods.one(found) if found else []

    def _feast(self, at: int) -> Found | None:
        """Thanksgiving, last Christmas, Easter Monday 2027."""
        which = WHICH.get(self.text(at))
        start = at + 1 if which is not None else self.skip(at, "the")
        named = feast_at([token.text for token in self.tokens[start : start + 5]])
        if named is None:
            return None
        name, end = named[0], start + named[1]
        said = self.year(end)
        years = [said[0]] if said else range(self.today.year - 1, self.today.year + 2)
        days = [day for year in years if (day := feast(name, year))]
        found = days[0] if said and days else periods.nearest(iter(days), self.today, self.past or which == -1)
        return (periods.one(found), said[1] if said else end) if found else None

    def _named(self, at: int) -> Found | None:
        """Friday, next Friday, last month, the weekend, in June, June 2028; but no "day of the week"."""
        if self.text(at - 1) == "of" and self.unit(at - 2):
            return None
        start = self.skip(at, "the")
        if self.text(start) == "rest":
            start = self.skip(self.skip(start + 1, "of"), "the")
        word = self.text(start)
        which = {1: "next", -1: "last", 0: "this"}[WHICH[word]] if word in WHICH else ""
        start += word in WHICH
        unit, end = self.unit(start), start + 1
        if unit in ("week", "weekend", "month", "year") and (which or start > at or unit == "weekend"):
            return periods.in_unit(unit, WHICH.get(word, 0) or -(self.past and not which), self.today), end
        weekday = weekday_of(self.text(start))
        if weekday is not None and (len(self.text(start)) > 5 or which or self.text(at - 1) in CUES):
            return periods.on_weekday(weekday, which, self.today, self.past), end
        number, said = self.month(start), self.year(end)
        cued = which or self.text(at - 1) in IN or said
        if number is None or (not cued and (self.text(start) in WORDY or len(self.text(start)) < 4)):
            return None
        found = periods.in_month(number, said[0] if said else None, which, self.today, self.past)
        return found, said[1] if said else end

    def _relative(self, at: int) -> Found | None:
        """Today, tomorrow, right now; "tomorrow week"."""
        word = self.text(at)
        if word in RELATIVE:
            day = self.today + RELATIVE[word] * DAY
            return (
                (periods.one(day + periods.WEEK), at + 2) if self.text(at + 1) == "week" else (periods.one(day), at + 1)
            )
        if (word, self.text(at + 1)) in (("right", "now"), ("later", "on")):
            return periods.one(self.today), at + 2
        return None

    def _ordinal(self, at: int) -> Found | None:
        """The 5th, "on the twenty-first", "the first of the month"; but not "my 2nd meeting"."""
        start = self.skip(at, "the")
        number = self.number(start, 1, 31, nth=True)
        if number is None:
            return None
        end = start + 1
        if [self.text(i) for i in range(end, end + 3)] in (["of", "the", "month"], ["of", "this", "month"]):
            return periods.on_day_of_month(number, self.today, self.past), end + 3
        closes = not any(token.text[0].isalnum() for token in self.tokens[end:])
        cued = self.text(at - 1) in CUES
        article = start > at
        if self.tokens[start].digits:
            day = closes or ((article or cued) and not _names(self.text(end)))
        else:  # "the second" is often no day
            day = (article and cued and not _names(self.text(end))) or (article and closes and number > 3)
        return (periods.on_day_of_month(number, self.today, self.past), end) if day else None

    def _whole_year(self, at: int) -> Found | None:
        """2028, after "in" and the like."""
        said = self.year(at) if self.text(at - 1) in IN else None
        return ([periods.year(said[0])], said[1]) if said else None


def _names(word: str) -> bool:
    """Whether the word after an ordinal is what is counted: "the 2nd meeting"."""
    return bool(word) and word[0].isalpha() and word not in STOP and word not in PARTS and word not in RELATIVE
