"""Facts that came as lines of text, in dialogue files and from callers: the inverse of `Fact.line`.

The only place that reads such lines; what a source finds is typed from the start.
"""

from __future__ import annotations

import re

from adapterbot.facts import Count, Fact, Nothing, Passage, Row

ROW = re.compile(r"[a-z][\w ]*: \S")  # how a row begins: "name: ..., area: ..."
CELL = re.compile(r", (?=[A-Za-z][\w ]*: )")
NOTHING = re.compile(r"(\w+): (none|no such \w+|not available|nothing (?:was )?found)")
COUNT = re.compile(r"(\w+): (\d+) found")
KEYS = ("name", "poi", "event", "location", "trainID", "trainid")  # the cells that rows of the corpora go by


def read_row(line: str, table: str) -> Fact:
    """A row of `table`, or what a table says where it has none to show; a `Passage` where the line is none of these."""
    if count := COUNT.fullmatch(line):
        return Count(int(count[2]), count[1])
    if nothing := read_nothing(line):
        return nothing
    if not ROW.match(line):
        return Passage("", line)
    cells = tuple((name, value) for name, _, value in (cell.partition(": ") for cell in CELL.split(line)))
    return Row(table, next((value for name, value in cells if name in KEYS), ""), cells)


def read_nothing(line: str) -> Nothing | None:
    """What was looked for and not found; None where the line says something else."""
    nothing = NOTHING.fullmatch(line)
    return Nothing(nothing[1], nothing[2]) if nothing else None
