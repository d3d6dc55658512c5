"""Lines that the writer of queries learns from: what was said, the schema of a source, and the query that finds what
is wanted after the last message. Our own lie in data/queries; belief states of corpora are read as such lines.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from adapterbot.data.dialogue import in_validation, objects
from adapterbot.errors import DataError
from adapterbot.home import DATA

OWN = DATA / "queries" / "lines.jsonl"
# Behind a column's name in a schema: no part of the name, and a table's own schema has none.
UNITS = (
    "miles|pounds|minutes|months|years|days|euros|dollars|inches|hours|min|eur|usd|gbp|chf|km|cm|mm|m|g|kg|mg|l|h|dB|GB"
    "|gb|sqm|°c|%"
)
UNIT = re.compile(rf"(?<=\w) (?:{UNITS})(?= \(|,|$| ?(?:!=|<=|>=|=|<|>)| asc| desc|;)")


@dataclass(frozen=True, slots=True)
class QueryLine:
    """One message, what was said before it (user and bot in turn, the bot last), and its query under `schema`."""

    schema: str
    history: tuple[str, ...]
    message: str
    query: str

    @property
    def utterances(self) -> tuple[str, ...]:
        """The conversation and the query as its last utterance."""
        return (*self.history, self.message, self.query)


def own_lines(path: Path = OWN) -> tuple[list[QueryLine], list[QueryLine]]:
    """The lines of a file for training and for validation; a conversation is wholly in one of them.

    Raises:
        DataError: a line that is none, as `file:line: what is wrong`.
    """
    train, valid = list[QueryLine](), list[QueryLine]()
    for number, item in objects(path):
        line = _line(item, f"{path}:{number}")
        first = (*line.history, line.message)[0]
        (valid if in_validation(f"{line.schema.partition(':')[0]} {first}") else train).append(line)
    return train, valid


def without_units(text: str) -> str:
    """A schema or a query without the units that stand behind the names of columns."""
    return UNIT.sub("", text)


def _line(item: object, where: str) -> QueryLine:
    if not isinstance(item, dict) or not all(isinstance(item.get(k), str) for k in ("schema", "message", "query")):
        raise DataError(f'{where}: a line is {{"schema", "history", "message", "query"}}')
    history = item.get("history", [])
    if not isinstance(history, list) or len(history) % 2 or not all(isinstance(text, str) for text in history):
        raise DataError(f"{where}: history is a list of texts, of user and bot in turn")
    return QueryLine(without_units(item["schema"]), tuple(history), item["message"], _plain(item["query"]))


def _plain(query: str) -> str:
    """Units go from names of columns alone, not from values."""
    clauses = []
    for clause in query.split("; "):
        operator = re.search(r" (?:!=|<=|>=|=|<|>) ", clause)
        if operator:
            clauses.append(without_units(clause[: operator.start()]) + clause[operator.start() :])
        elif clause.startswith(("ask ", "sort ")):
            word, _, names = clause.partition(" ")
            clauses.append(f"{word} {without_units(names)}")
        else:
            clauses.append(clause)
    return "; ".join(clauses)
