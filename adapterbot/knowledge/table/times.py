"""3 · Times of day in a message about a timetable or opening times: "after 9:15", "by half past six in the evening"."""

from __future__ import annotations

import re
from collections.abc import Sequence

from adapterbot.knowledge.query_language import Clause, Test
from adapterbot.language.clock import TimeOfDay, read_when, spelt

# What people say for a column of times, beside its own first word.
MOVES = (
    (re.compile(r"arriv", re.I), r"arriv\w*|reach\w*|(?:get|be) (?:there|in|to)"),
    (re.compile(r"leav|depart", re.I), r"leav\w*|depart\w*|set(?:ting)? off|go(?:ing)?|start\w*"),
)
SAID = {"leaveAt": "leaves", "arriveBy": "arrives"}
NEAR = 50  # characters before a time in which its column may be said


def times_of(text: str, columns: Sequence[str], asked: Sequence[str] = ()) -> list[Clause]:
    """What a text says of the columns of times."""
    found = list[Clause]()
    for time in read_when(text):
        for clause in _clauses(time, text[max(0, time.start - NEAR) : time.start], columns, asked):
            found = [other for other in found if (other.column, other.test) != (clause.column, clause.test)]
            found.append(clause)
    return found


def said_of(column: str, value: str) -> str:
    """A cell of a column of times, as a part of a sentence: "leaves at 18:05"."""
    words = " ".join(re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", column)).lower()
    return f"{SAID.get(column, words)} {'at ' if column in SAID or words.endswith('s') else ''}{value}"


def _clauses(time: TimeOfDay, before: str, columns: Sequence[str], asked: Sequence[str]) -> list[Clause]:
    arrival = next((name for name in columns if MOVES[0][0].search(name)), "")
    said = _column(before, columns)
    usual = next((name for name in columns if name != arrival), arrival)
    by = time.bound == "before" or (time.bound == "at" and arrival in asked and usual not in asked)
    column = said or (arrival if by and arrival else usual)
    if time.bound == "between":
        return [Clause(column, "<=", (_cell(time.last),)), Clause(column, ">=", (_cell(time.first),))]
    early = time.bound == "before" or (time.bound == "at" and column == arrival)
    test: Test = "<=" if early else ">="
    return [Clause(column, test, (_cell(time.first),))]


def _column(before: str, columns: Sequence[str]) -> str:
    """The column that was named last before a time."""
    places = {name: found[-1].start() for name in columns if (found := list(re.finditer(_cue(name), before, re.I)))}
    return max(places, key=lambda name: places[name], default="")


def _cue(name: str) -> str:
    stem = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)[0].lower().rstrip("s").rstrip("e") if name.isalpha() else name
    known = next((words for kind, words in MOVES if kind.search(name)), re.escape(stem) + r"\w*")
    return rf"\b(?:{known})"


def _cell(minutes: int) -> str:
    """As a table has it; the day's end is its last minute."""
    return spelt(min(minutes, 24 * 60 - 1))
