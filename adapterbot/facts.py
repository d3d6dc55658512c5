"""What a reply rests on, typed: nobody has to read a fact back out of its line.

`Fact.line` is what the prompt shows, in the words that the skills were trained on; checks, app and API read the fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Literal

Cells = tuple[tuple[str, str], ...]  # name and value of each cell, in order
Wanted = tuple[tuple[str, str, str], ...]  # column, test and value of what was looked for
Label = Literal["supported", "contradicted", "not known"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One piece of evidence.

    `source` is the kind of source that found it ("caller" for a fact that came with the request), `note` says for
    people how it was found ("2 of 7 for italian"), `score` is the source's own (higher is better).
    """

    kind: ClassVar[str] = "fact"
    source: str = ""
    note: str = ""
    score: float = 0.0

    @property
    def line(self) -> str:
        """What the prompt shows."""
        raise TypeError(f"{type(self).__name__} has no line")

    @property
    def row(self) -> Cells:
        """What it holds by name, where it is a row of something; else empty."""
        return ()

    @property
    def names(self) -> tuple[str, ...]:
        """What it goes by, where it is a row of something."""
        return ()

    @property
    def heading(self) -> str:
        """What people see above it."""
        return self.note

    def to_dict(self) -> dict[str, Any]:
        """The JSON form: `kind`, `text` (the line), `title` (the heading), and every field of its own."""
        plain = {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"kind": self.kind, "text": self.line, "title": self.heading} | plain


@dataclass(frozen=True, slots=True)
class Passage(Fact):
    """A few sentences of a text; `title` is that of the whole text."""

    kind: ClassVar[str] = "passage"
    title: str
    text: str

    @property
    def line(self) -> str:
        return self.text

    @property
    def heading(self) -> str:
        return self.title


@dataclass(frozen=True, slots=True)
class PersonaLine(Fact):
    """A sentence that the bot says of itself."""

    kind: ClassVar[str] = "persona"
    text: str

    @property
    def line(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Triple(Fact):
    """One edge of a knowledge graph, as in OpenDialKG (Moon et al. 2019); `asked` is the end that the user asks for."""

    kind: ClassVar[str] = "triple"
    subject: str
    relation: str
    object: str
    asked: str = ""

    @property
    def line(self) -> str:
        return f"{self.subject}\t{self.relation}\t{self.object}"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asks of a row: a column (empty where no column tells it); of one that they say is so or so, what
    they said (`test` and `said`, as in a query) and whether it `holds`."""

    column: str
    test: str = ""
    said: str = ""
    holds: bool | None = None


@dataclass(frozen=True, slots=True)
class Row(Fact):
    """A row of `table`, without its empty cells; `key` is the value that it goes by, `asked` what is asked of it."""

    kind: ClassVar[str] = "row"
    table: str
    key: str
    cells: Cells
    asked: tuple[Asked, ...] = ()

    @property
    def line(self) -> str:
        return row_line(self.cells)

    @property
    def row(self) -> Cells:
        return self.cells

    @property
    def names(self) -> tuple[str, ...]:
        return (self.key,) if self.key else ()


@dataclass(frozen=True, slots=True)
class Day:
    """The weather of one day; temperatures are whole degrees."""

    weekday: str
    sky: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Forecast(Fact):
    """The weather of a week at one place, Monday first; `today` is a weekday, `unit` is F or C."""

    kind: ClassVar[str] = "forecast"
    place: str
    days: tuple[Day, ...]
    today: str
    unit: Literal["F", "C"] = "F"

    @property
    def line(self) -> str:
        return row_line(self.row)

    @property
    def row(self) -> Cells:
        days = ((d.weekday, f"{d.sky}, low of {d.low}{self.unit}, high of {d.high}{self.unit}") for d in self.days)
        return (("location", self.place), *days, ("today", self.today))

    @property
    def names(self) -> tuple[str, ...]:
        return (self.place,)


@dataclass(frozen=True, slots=True)
class Event(Fact):
    """One event of a calendar. `start` and `end` are local times; `said` are its cells, as the in-car corpus has them.

    The words of a date depend on the day on which they are said, so the calendar writes them.
    """

    kind: ClassVar[str] = "event"
    event: str
    start: datetime
    end: datetime
    place: str = ""
    all_day: bool = False
    said: Cells = ()

    @property
    def line(self) -> str:
        return row_line(self.said)

    @property
    def row(self) -> Cells:
        return self.said

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(value for name, value in self.said if name == "event")

    @property
    def heading(self) -> str:
        return self.event


@dataclass(frozen=True, slots=True)
class Verdict(Fact):
    """What the evidence says of a claim; never shown without that evidence, unless nothing is known."""

    kind: ClassVar[str] = "verdict"
    claim: str
    label: Label
    evidence: str = ""

    @property
    def line(self) -> str:
        return f"verdict: {self.label}" + (f"\n{self.evidence}" if self.evidence else "")

    @property
    def heading(self) -> str:
        return self.claim


@dataclass(frozen=True, slots=True)
class Nothing(Fact):
    """`topic` was looked for and not found; `wanted` is what it should have been: column, test and value."""

    kind: ClassVar[str] = "nothing"
    topic: str
    words: str = "none"
    wanted: Wanted = ()

    @property
    def line(self) -> str:
        return f"{self.topic}: {self.words}"


@dataclass(frozen=True, slots=True)
class Notice(Fact):
    """What a source says of itself: no place was given, the calendar can only be read."""

    kind: ClassVar[str] = "notice"
    topic: str
    words: str

    @property
    def line(self) -> str:
        return f"{self.topic}: {self.words}"


@dataclass(frozen=True, slots=True)
class Count(Fact):
    """How many there are of something, where too little was asked to choose by, or where that is `asked`; `wanted` is
    what they are."""

    kind: ClassVar[str] = "count"
    n: int
    of: str
    asked: bool = False
    wanted: Wanted = ()

    @property
    def line(self) -> str:
        return f"{self.of}: {self.n} found"


@dataclass(frozen=True, slots=True)
class Answer(Fact):
    """What a source worked out from its other facts: how many there are, until when, whether there is time.

    `asked` says which of these, `value` is the bare result ("6", "17:30", "no"), `text` tells it. No model words it
    anew: the facts behind it hold other numbers, which would be mixed up with it.
    """

    kind: ClassVar[str] = "answer"
    asked: str
    value: str
    text: str

    @property
    def line(self) -> str:
        return self.text


def row_line(cells: Iterable[tuple[str, str]]) -> str:
    """Cells as the skills read them: "name: Blue Amphora, area: west"."""
    return ", ".join(f"{name}: {value}" for name, value in cells)


def _plain(value: Any) -> Any:
    """A field as JSON can hold it; cells become an object."""
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        pairs = all(isinstance(v, tuple) and len(v) == 2 for v in value)
        return dict(value) if value and pairs else [_plain(v) for v in value]
    return value
