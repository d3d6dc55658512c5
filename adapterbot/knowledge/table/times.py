"""3 · Times of day in a message about a timetable: "after 9:15", "by half past six in the evening"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapterbot.knowledge.query_language import Clause, Test
from adapterbot.language.values import DIGITS

EARLY = ("by", "before", "until", "till", "no later than", "not later than", "at the latest", "earlier than", "latest")
LATE = ("after", "past", "from", "later than", "not before", "no earlier than", "earliest", "than", "since")
HOURS = "|".join([*(word for word, digits in DIGITS.items() if int(digits) <= 12), "one"])
SPOKEN = re.compile(
    rf"\b(half|(?:a )?quarter|\d{{1,2}}|{'|'.join(w for w in DIGITS if '-' not in w)})(?: minutes)? "
    rf"(past|to) (\d{{1,2}}|{HOURS})\b",
    re.I,
)
OCLOCK = re.compile(
    rf"\b({HOURS})(?= ?(?:o'?\s?clock|[ap]\.?m\b|in the|at night))"
    rf"|(?<=after )({HOURS})\b|(?<=before )({HOURS})\b|(?<=\bby )({HOURS})\b",
    re.I,
)
MILITARY = re.compile(r"(?<=\s)([01]\d|2[0-3])([0-5]\d)(?=(?: hours| hrs|h)?\b)(?! pounds)")
CLOCK = re.compile(
    r"(?:\b(no later than|not later than|no earlier than|not before|later than|earlier than|at|by|before|after|around|"
    r"about|until|till|from|past|than|since)\s+)?"
    r"(?:\b(\d{1,2})(?:[:.](\d\d))?\s*(?:(?:([ap])\.?m\b\.?)|(o'?\s?clock))?(?![\d:])|\b(noon|midday|midnight)\b)",
    re.I,
)
COUNTING = re.compile(
    r"\s*(?:-|(?:star|people|person|ticket|seat|night|day|adult|of us|pounds?|quid|miles?|min|hour|euro)s?\b)", re.I
)
ARRIVING = r"arriv\w*|reach\w*|(?:get|be) (?:there|in|to)"
LEAVING = r"leav\w*|depart\w*|set(?:ting)? off|go(?:ing)?|start\w*"
MOVES = re.compile(rf"\b(?:({ARRIVING})|({LEAVING}))\b", re.I)
EVENING = re.compile(r"^\s*(?:o'?\s?clock\s*)?(?:in the (evening|afternoon|morning)|(at night)|(tonight))", re.I)


def times_of(text: str, columns: Sequence[str], asked: Sequence[str] = ()) -> list[Clause]:
    """What a text says of the columns of times; a bare hour from 1 to 6 is in the afternoon."""
    text = _in_digits(text)
    arrival = next((name for name in columns if "arriv" in name.lower()), "")
    departure = next((name for name in columns if name != arrival), arrival)
    found = list[Clause]()
    for match in CLOCK.finditer(text):
        time = _time(match, text)
        if not time:
            continue
        moves = list(MOVES.finditer(text[max(0, match.start() - 50) : match.start(2)]))
        said = (match[1] or "").lower()
        if moves:
            arriving = moves[-1][1] is not None
        else:
            arriving = said in EARLY or (not said and "arriveBy" in asked and "leaveAt" not in asked)
        column = arrival if arriving and arrival else departure
        early = said in EARLY or (arriving and said not in LATE)
        test: Test = "<=" if early else ">="
        found = [clause for clause in found if (clause.column, clause.test) != (column, test)]
        found.append(Clause(column, test, (time,)))
    return found


def _in_digits(text: str) -> str:
    """Times in words and in four digits as hours and minutes: "half past nine" is 9:30."""
    text = MILITARY.sub(r"\1:\2", text)
    text = SPOKEN.sub(_spoken, re.sub(rf"\bhalf ({HOURS})\b", r"half past \1", text, flags=re.I))
    text = re.sub(r"\bbetween (\S+(?: ?[ap]m)?) and (\S+)", r"after \1 and before \2", text, flags=re.I)
    return OCLOCK.sub(lambda hour: _digits(next(filter(None, hour.groups()))), text)


def _spoken(match: re.Match[str]) -> str:
    word = match[1].lower().removeprefix("a ")
    minutes = {"half": 30, "quarter": 15}.get(word) or int(_digits(word))
    hour = int(_digits(match[3]))
    if minutes > 59 or hour > 24:
        return match[0]
    if match[2].lower() == "to":
        hour, minutes = (hour - 1) % 24, 60 - minutes
    return f"{hour}:{minutes:02d}"


def _digits(word: str) -> str:
    return "1" if word.lower() == "one" else DIGITS.get(word.lower(), word)


def _time(found: re.Match[str], text: str) -> str:
    """HH:MM, or "" when the number is no time."""
    said, hour, minutes, half, clock, word = found.groups()
    if word:
        return "00:00" if word.lower() == "midnight" else "12:00"
    part = EVENING.match(text[found.end() :])
    exact = minutes or half or clock or part
    if not exact and (not said or said.lower() in ("from", "about", "around", "than", "past")):
        return ""
    if not (minutes or half) and COUNTING.match(text, found.end()):
        return ""
    number = int(hour)
    late = part and (part[2] or part[3] or (part[1] or "").lower() in ("evening", "afternoon"))
    if half:
        number = number % 12 + (12 if half.lower() == "p" else 0)
    elif (late and number < 12) or (not minutes and not part and number in range(1, 7)):
        number += 12
    return f"{number:02d}:{minutes or '00'}" if number < 25 and int(minutes or 0) < 60 else ""
