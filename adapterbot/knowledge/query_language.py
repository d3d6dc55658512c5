"""3 · The form of a query that a source is asked with: its schema, and clauses that are read and checked against it.

    area = west; stars >= 4; food = thai | chinese; name != Saffron Court; sort price asc; ask phone, address

`all` wants everything and `none` nothing; `count` asks how many there are, `change` is a wish to change what is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

Test = Literal["=", "!=", "<", "<=", ">", ">="]
TESTS: tuple[Test, ...] = ("=", "!=", "<=", ">=", "<", ">")
WHOLE = ("all", "none", "change")  # queries of one word
BETWEEN = "; "
LONGEST_VALUE = 80  # characters
MOST_CLAUSES = 12
FEW = 6  # values that a schema shows of a column


@dataclass(frozen=True, slots=True)
class Clause:
    """What one column has to be. With several values one of them is enough, or none of them after `!=`."""

    column: str
    test: Test
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.column} {self.test} {' | '.join(self.values)}"


@dataclass(frozen=True, slots=True)
class WrittenQuery:
    """A query that has been read: `word` is one of `WHOLE`, or empty where there are clauses.

    `order` is the column to sort by and whether the most comes first.
    """

    clauses: tuple[Clause, ...] = ()
    order: tuple[str, bool] | None = None
    ask: tuple[str, ...] = ()
    count: bool = False
    word: str = ""

    def __str__(self) -> str:
        parts = [self.word] if self.word else list(map(str, self.clauses))
        parts += [f"sort {self.order[0]} {'desc' if self.order[1] else 'asc'}"] if self.order else []
        parts += ["count"] if self.count else []
        return BETWEEN.join([*parts, f"ask {', '.join(self.ask)}"] if self.ask else parts)

    def of(self, column: str) -> tuple[Clause, ...]:
        """The clauses on a column."""
        return tuple(clause for clause in self.clauses if clause.column == column)


@dataclass(frozen=True)
class Schema:
    """What can be asked of a source: the columns of `topic`, each with its values where it has few."""

    topic: str
    columns: tuple[tuple[str, tuple[str, ...]], ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(name for name, _ in self.columns)

    @cached_property
    def line(self) -> str:
        """What the writer of queries reads of it."""
        parts = [f"{n} ({', '.join(values)})" if 1 < len(values) <= FEW else n for n, values in self.columns]
        return f"{self.topic}: {', '.join(parts)}"

    def starts(self, text: str) -> bool:
        """Whether a query may begin like this."""
        if any(word.startswith(text) for word in WHOLE):
            return True
        *before, last = text.split(BETWEEN)
        if last.endswith(";"):
            return self.whole(text[:-1])
        if len(before) >= MOST_CLAUSES or not all(map(self._is_clause, before)) or len({*before}) < len(before):
            return False
        return not any(clause.startswith("ask ") for clause in before) and self._may_become(last)

    def whole(self, text: str) -> bool:
        """Whether this is a query."""
        clauses = text.split(BETWEEN)
        return text in WHOLE or (
            all(map(self._is_clause, clauses))
            and len({*clauses}) == len(clauses) <= MOST_CLAUSES
            and not any(clause.startswith("ask ") for clause in clauses[:-1])
        )

    def read(self, text: str) -> WrittenQuery:
        """The query that a text is.

        Raises:
            ValueError: it is none under this schema.
        """
        if not self.whole(text):
            raise ValueError(f"{text!r} is no query for {self.line}")
        if text in WHOLE:
            return WrittenQuery(word=text)
        clauses, order, ask, count = list[Clause](), None, tuple[str, ...](), False
        for part in text.split(BETWEEN):
            if part == "count":
                count = True
            elif part.startswith("ask ") and self._asked(part):
                ask = self._asked(part)
            elif part.startswith("sort ") and self._sorted(part):
                order = self._sorted(part)
            else:
                column, test, values = next(self._tested(part))
                clauses.append(Clause(column, test, tuple(v.strip() for v in values.split(" | "))))
        return WrittenQuery(tuple(clauses), order, ask, count)

    def _is_clause(self, text: str) -> bool:
        if text == "count" or self._asked(text) or self._sorted(text):
            return True
        return any(_is_value(value) for _, _, value in self._tested(text))

    def _asked(self, text: str) -> tuple[str, ...]:
        """The columns that an `ask` clause names, or none where it is no such clause."""
        named = tuple(text.removeprefix("ask ").split(", ")) if text.startswith("ask ") else ()
        return named if set(named) <= set(self.names) and len(set(named)) == len(named) else ()

    def _sorted(self, text: str) -> tuple[str, bool] | None:
        """The column and direction of a `sort` clause."""
        name, _, way = text.removeprefix("sort ").rpartition(" ") if text.startswith("sort ") else ("", "", "")
        return (name, way == "desc") if name in self.names and way in ("asc", "desc") else None

    def _tested(self, text: str) -> Iterator[tuple[str, Test, str]]:
        """Column, test and the rest, for each column that a clause may be about."""
        for name in self.names:
            for test in TESTS:
                if text.startswith(f"{name} {test} "):
                    yield name, test, text[len(name) + len(test) + 2 :]

    def _may_become(self, text: str) -> bool:
        """Whether a clause may begin like this."""
        ends = (f"{name} {test} " for name in self.names for test in TESTS)
        if "count".startswith(text) or any(end.startswith(text) for end in ends):
            return True
        if any(value == "" or _may_be_value(value) for _, _, value in self._tested(text)):
            return True
        if any(f"sort {name} {way}".startswith(text) for name in self.names for way in ("asc", "desc")):
            return True
        if not text.startswith("ask "):
            return "ask ".startswith(text)
        *known, last = text[4:].split(", ")
        left = [name for name in self.names if name not in known]
        return set(known) <= set(self.names) and any(f"{name}, ".startswith(last) for name in left)


def _is_value(text: str) -> bool:
    return _may_be_value(text) and all(part.strip() for part in text.split("|"))


def _may_be_value(text: str) -> bool:
    return len(text) <= LONGEST_VALUE and text[:1] not in (" ", "|") and not re.search(r"[;\n]|  |\|\S|\| \|", text)
