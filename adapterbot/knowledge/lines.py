"""Lines that come from outside: of files of knowledge, and facts in dialogue files and from callers.

The only place that reads facts from lines, the inverse of `Fact.line`; what a source finds is typed from the start.
"""

from __future__ import annotations

import json
import re
from typing import Any

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Count, Fact, Nothing, Passage, Row

ROW = re.compile(r"[a-z][\w ]*: \S")  # how a row begins: "name: ..., area: ..."
CELL = re.compile(r", (?=[A-Za-z][\w ]*: )")
NOTHING = re.compile(r"(\w+): (none|no such \w+|not available|nothing (?:was )?found)")
COUNT = re.compile(r"(\w+): (\d+) found")
KEYS = ("name", "poi", "event", "location", "trainID", "trainid")  # the cells that rows of the corpora go by


def read_json(raw: bytes, where: str) -> Any:
    """The JSON value on a line of a file.

    Raises:
        KnowledgeError: not UTF-8, or not JSON; it begins with `where`.
    """
    try:
        return json.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{where}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise KnowledgeError(f"{where}: not JSON: {error}") from None


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
