"""3 · Date words: which days a sentence such as "anything on next Friday, or the 5th?" is about.

Where a word can mean two days ("next Friday", or "Friday" said on a Friday), both are given, the likelier first.
"""

# Long: the names of months and days as people write them are a list.
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date, timedelta

listed = re.compile(r"\S+").findall  # the words of a list written as one text

MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
ORDINALS = [
    "first",
    "second",
    "third",
    "fourth",
    "fifth",
    "sixth",
    "seventh",
    "eighth",
    "ninth",
    "tenth",
    "eleventh",
    "twelfth",
    "thirteenth",
    "fourteenth",
    "fifteenth",
    "sixteenth",
    "seventeenth",
    "eighteenth",
    "nineteenth",
    "twentieth",
]
ORDINALS += [f"twenty {word}" for word in ORDINALS[:9]] + ["thirtieth", "thirty first"]
NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "eleven": 11,
    "twelve": 12,
    "a": 1,
    "an": 1,
    "couple": 2,
    "few": 4,
}
MISSPELT = {
    "tomorow": "tomorrow",
    "tommorow": "tomorrow",
    "tommorrow": "tomorrow",
    "tmrw": "tomorrow",
    "tmr": "tomorrow",
    "2moro": "tomorrow",
    "tonite": "tonight",
    "wensday": "wednesday",
    "wednsday": "wednesday",
    "thrusday": "thursday",
    "thurday": "thursday",
    "teusday": "tuesday",
    "tusday": "tuesday",
    "saterday": "saturday",
    "firday": "friday",
    "febuary": "february",
    "wkend": "weekend",
}
# What of a day is meant, as hours; a greeting means none of it.
PARTS = {"morning": (0, 12), "afternoon": (12, 18), "evening": (17, 24), "tonight": (17, 24), "night": (17, 24)}
PART = re.compile(rf"(?<!good )\b({'|'.join(PARTS)})\b", re.I)
DAY = timedelta(days=1)
WEEK = timedelta(weeks=1)
MOST_AHEAD = 5_000  # days; "in 900000 days" is no question about a calendar


@dataclass(frozen=True, slots=True)
class Span:
    """The days from `first` to `last`, both included; of each the hours from `hours[0]` until before `hours[1]`."""

    first: date
    last: date
    hours: tuple[int, int] = (0, 24)


def read_days(text: str, today: date) -> tuple[list[Span], str]:
    """The days that `text` is about, in its order, and `text` without the words that say so."""
    rest = re.sub(r"[\w']+", lambda m: MISSPELT.get(m[0].lower(), m[0]), text.replace("\0", " "))
    found: list[tuple[int, int, list[Span]]] = []  # start and end in the text, and what stands there
    for pattern, read in RULES:
        for match in list(pattern.finditer(rest)):
            if spans := read(match, today):
                found.append((match.start(), match.end(), spans))
                rest = rest[: match.start()] + "\0" * (match.end() - match.start()) + rest[match.end() :]
    part = PART.search(rest) or PART.search(text)
    spans = _joined(sorted(found, key=lambda item: item[:2]), rest)
    if part:
        hours = PARTS[part[1].lower()]
        spans = [replace(s, hours=hours) for s in spans or [Span(today, today)] if s.first == s.last] or spans
    return spans, PART.sub(" ", rest.replace("\0", " "))


def _joined(found: list[tuple[int, int, list[Span]]], rest: str) -> list[Span]:
    """All spans; two with "to" between them are one from the first to the second."""
    spans: list[Span] = []
    end_before = -1
    for start, end, new in found:
        between = rest[end_before:start].lower() if end_before >= 0 else ""
        ranged = re.fullmatch(r"\s*(?:to|through|thru|until|till|-|–)\s*", between) or (
            between.strip() == "and" and re.search(r"\bbetween[\s\0]*$", rest[:end_before], re.I)
        )
        if spans and ranged:
            last = new[0].last if new[0].last >= spans[-1].first else new[0].last + WEEK
            spans[-1] = Span(spans[-1].first, max(last, spans[-1].last))
        else:
            spans += new
        end_before = end
    return list(dict.fromkeys(spans))


def _day(day: date) -> list[Span]:
    return [Span(day, day)]


def _number(word: str) -> int:
    return int(word) if word.isdigit() else NUMBERS[word.lower()]


def _month(word: str) -> int:
    return next(i for i, name in enumerate(MONTHS, 1) if name.startswith(word.lower()[:3]))


def _made(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _next_of_month(day: int, today: date) -> list[Span]:
    """The next day with this number, in the first month from now that has it."""
    months = ((today.year + (today.month - 1 + i) // 12, (today.month - 1 + i) % 12 + 1) for i in range(3))
    made = (_made(year, month, day) for year, month in months)
    return next((_day(d) for d in made if d and d >= today), [])


def _in_year(month: int, day: int, year: str | None, today: date) -> list[Span]:
    """That day of the year, the next one where no year is said (a 29 February may be eight years away)."""
    if not 1 <= month <= 12:
        return []
    years = [int(year)] if year else range(today.year, today.year + 9)
    made = (_made(y, month, day) for y in years)
    return next((_day(d) for d in made if d and (year or d >= today)), [])


def _numeric(match: re.Match[str], today: date) -> list[Span]:
    """3/5 as the fifth of March, 25/12 as Christmas."""
    first = int(match[1])
    second = int(match[2])
    month, day = (second, first) if first > 12 else (first, second)
    return _in_year(month, day, match[3], today)


def _whole_month(year: int, month: int, today: date) -> list[Span]:
    first = date(year, month, 1)
    after = date(year + month // 12, month % 12 + 1, 1)
    return [Span(max(first, today), after - DAY)]


def _named_month(match: re.Match[str], today: date) -> list[Span]:
    month = _month(match[1])
    return _whole_month(today.year + (month < today.month), month, today)


def _relative(match: re.Match[str], today: date) -> list[Span]:
    """In two days, three weeks from now, five days ago."""
    back = (match["after"] or "").strip().lower() == "ago"
    if not back and not (match["before"] or match["after"]):
        return []
    count = _number(match["number"])
    if count > MOST_AHEAD:
        return []
    weeks = match["unit"].lower() == "week"
    day = today + (WEEK if weeks else DAY) * (-count if back else count)
    if weeks and count > 1:  # nobody means the very day
        return _week(day)
    return _day(day)


def _coming(match: re.Match[str], today: date) -> list[Span]:
    """The next two weeks."""
    count = _number(match[1] or "few") * (7 if match[2].lower() == "week" else 1)
    return [Span(today, today + DAY * count)] if count <= MOST_AHEAD else []


def _week(day: date) -> list[Span]:
    monday = day - DAY * day.weekday()
    return [Span(monday, monday + 6 * DAY)]


def _unit(match: re.Match[str], today: date) -> list[Span]:
    """This week, next weekend, last month."""
    which = (match[1] or "this").lower()
    unit = match[2].lower()
    step = {"next": 1, "last": -1}.get(which, 0)
    monday = today - DAY * today.weekday()
    if unit == "week":
        return _week(today + step * WEEK) if step else [Span(today, monday + 6 * DAY)]
    if unit == "weekend":
        saturday = monday + 5 * DAY + step * WEEK
        spans = [Span(saturday if step else max(saturday, today), saturday + DAY)]
        if step > 0 and today.weekday() < 5:  # the one that comes next, to some people
            spans.append(Span(saturday - WEEK, saturday - WEEK + DAY))
        return spans
    if unit == "year":
        year = today.year + step
        return [Span(today if step == 0 else date(year, 1, 1), date(year, 12, 31))]
    months = today.year * 12 + today.month - 1 + step
    return _whole_month(months // 12, months % 12 + 1, date.min if step else today)


def _weekday(match: re.Match[str], today: date) -> list[Span]:
    """Friday, next Friday, last Friday."""
    which = (match[1] or "").lower()
    ahead = (next(i for i, d in enumerate(DAYS) if d.startswith(match[2].lower()[:3])) - today.weekday()) % 7
    coming = today + ahead * DAY
    if which == "last":
        return _day(coming - WEEK)
    if which == "next":
        monday = today - DAY * today.weekday()
        target = monday + WEEK + coming.weekday() * DAY
        return _day(target) + (_day(coming) if today < coming < target else [])
    return _day(coming) + (_day(coming + WEEK) if ahead == 0 and which != "this" else [])


def _ordinal(match: re.Match[str], today: date) -> list[Span]:
    word = next(group for group in match.groups() if group).lower()
    number = int(word) if word.isdigit() else ORDINALS.index(re.sub(r"[-\s]+", " ", word)) + 1
    return _next_of_month(number, today)


def _rule(pattern: str, read: Callable[[re.Match[str], date], list[Span]]) -> tuple[re.Pattern[str], _Read]:
    return re.compile(pattern, re.I), read


_Read = Callable[[re.Match[str], date], list[Span]]
_MONTH = rf"({'|'.join(MONTHS)}|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)"
_NTH = r"(\d{1,2})(?:st|nd|rd|th)"
_SPELT = "|".join(word.replace(" ", r"[-\s]+") for word in reversed(ORDINALS))
_SPELT_ALONE = "|".join(word.replace(" ", r"[-\s]+") for word in reversed(ORDINALS[3:]))  # "the second" is often no day
_COUNT = rf"\d{{1,6}}|{'|'.join(NUMBERS)}"
# Tried in this order; what a rule has read is gone for the next.
RULES = (
    _rule(r"\b(20\d\d)-(\d\d)-(\d\d)\b", lambda m, t: _in_year(int(m[2]), int(m[3]), m[1], t)),
    _rule(r"\b(\d{1,2})/(\d{1,2})(?:/(20\d\d))?\b", _numeric),
    _rule(
        rf"\b{_MONTH}\.?\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?\b(?:,?\s+(20\d\d)\b)?(?!:|\s*[ap]m\b)",
        lambda m, t: _in_year(_month(m[1]), int(m[2]), m[3], t),
    ),
    _rule(
        rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}\b(?:,?\s+(20\d\d)\b)?",
        lambda m, t: _in_year(_month(m[2]), int(m[1]), m[3], t),
    ),
    _rule(rf"\b(?:in|during|this|next|for)\s+{_MONTH}\b", _named_month),
    _rule(rf"\b({'|'.join(m for m in MONTHS if m not in ('march', 'may'))})\b", _named_month),
    _rule(r"\b(?:the\s+)?day after tomorrow\b", lambda m, t: _day(t + 2 * DAY)),
    _rule(r"\b(?:the\s+)?day before yesterday\b", lambda m, t: _day(t - 2 * DAY)),
    _rule(r"\btomorrow(?:'s)?\b", lambda m, t: _day(t + DAY)),
    _rule(r"\byesterday(?:'s)?\b", lambda m, t: _day(t - DAY)),
    _rule(r"\b(?:today(?:'s)?|right now|later on)\b", lambda m, t: _day(t)),
    _rule(
        rf"\b(?P<before>in\s+)?(?:the\s+)?(?:a\s+)?(?P<number>{_COUNT})\s+(?:of\s+)?(?P<unit>day|week)s?\b"
        r"(?P<after>\s+from (?:now|today)|\s+ago\b)?",
        lambda m, t: _relative(m, t) if not _is_next(m) else [],
    ),
    _rule(rf"\b(?:next|coming|following)\s+(?:({_COUNT})\s+)?(?:of\s+)?(day|week)s\b", _coming),
    _rule(r"\bweek after next\b", lambda m, t: _week(t + 2 * WEEK)),
    _rule(r"\b(?:the\s+)?(?:rest of\s+)?(?:the\s+)?(?:(this|next|last|coming)\s+)?(weekend|week|month|year)\b", _unit),
    _rule(rf"\b(?:(this|next|last|coming)\s+)?({'|'.join(DAYS)})(?:s|'s)?\b", _weekday),
    _rule(r"\b(?:on|for|by|till|until|about|(this|next|last))\s+(mon|tues?|wed|thurs?|thu|fri|sat|sun)\b", _weekday),
    _rule(
        rf"\b(?:the|on|for|about)\s+{_NTH}\b(?!\s+(?:meeting|event|appointment|thing|one|item|time|day)s?\b)"
        rf"|\b{_NTH}(?=\W*$)",
        _ordinal,
    ),
    _rule(rf"\b(?:on|for|about|until)\s+the\s+({_SPELT})\b|\bthe\s+({_SPELT_ALONE})(?=\W*$)", _ordinal),
)


def _is_next(match: re.Match[str]) -> bool:
    """Whether "next" stands before: "the next two weeks" are no day."""
    return bool(re.search(r"(?:next|coming|following)\s+(?:a\s+)?$", match.string[: match.start()], re.I))
