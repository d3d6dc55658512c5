"""Belief states of task dialogues as lines of queries (see `query_lines`).

A states file has one user turn a line: `{"id", "turn", "domain", "history", "user", "state": {domain: {slot: value}},
"requested", "changed"}`. A domain becomes the schema of a table, with columns, their order and their names drawn anew
for every dialogue, so that the writer learns to read a schema and not the names of one data set.
"""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from adapterbot.data.dialogue import objects
from adapterbot.data.query_lines import QueryLine

ANY = "any"  # the value of a slot that is all the same to the user
FEW = 6  # values of a column that a schema names
FEWEST = 2  # turns in which a value stands that a table has
RARE = 0.01  # a value of fewer turns than this share is a slip
KEPT = 0.9  # of the columns that the user speaks of; the others are such as the table lacks
MOST_COLUMNS = 8
# What a table calls a slot. The first is the most frequent.
CALLED = {
    "pricerange": ("pricerange", "price range", "price"),
    "food": ("food", "food", "cuisine"),
    "leave at": ("leaveAt", "leaveAt", "departs", "leaves at"),
    "arrive by": ("arriveBy", "arriveBy", "arrives", "arrives at"),
    "train id": ("trainID", "train number"),
    "departure": ("departure", "departure", "from", "origin"),
    "destination": ("destination", "destination", "to"),
    "poi type": ("poi_type", "poi_type", "type"),
    "traffic": ("traffic_info", "traffic"),
    "location": ("location", "city", "place"),
    "phone": ("phone", "phone", "telephone"),
    "date": ("date", "when"),
}
# Slots that are no column, and what a table of the domain has beside the slots of its states.
NO_COLUMNS = frozenset({"reference", "car type", "room", "agenda", "weather", "return leave at"})
BESIDE = {
    "restaurant": ("phone", "address", "postcode"),
    "hotel": ("phone", "address", "postcode"),
    "attraction": ("phone", "address", "postcode", "entrance fee"),
    "train": ("train id", "price", "duration"),
    "navigation": ("address", "distance"),
    "weather": ("sky", "high", "low"),
}
BOOKED = frozenset({"people", "day", "time", "stay", "rooms", "date", "end date"})  # of a stay or a table
COLUMN_OF_BOOKING = 0.25  # of the tables that have such columns
TIMES = frozenset({"leave at", "arrive by", "time", "return leave at"})
CLOCK = re.compile(r"(\d{1,2})(?::?(\d\d))? ?(am|pm)?")
LEAST = frozenset(["nearest", "closest", "shortest", "close", "nearby", "quickest", "fastest"])
THANKS = re.compile(r"\b(?:thanks?|thank you|bye|goodbye|cheers)\b", re.I)
CLOSINGS = 0.25  # of the turns that only say thanks
NAMED = 4  # letters of the shortest name that is looked for in what the bot said


@dataclass(slots=True)
class Domain:
    """What the states of a domain hold: the values of each slot, and what was asked for."""

    values: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    asked: Counter[str] = field(default_factory=Counter)

    def shown(self, slot: str) -> list[str]:
        """The values of a slot that has few, else none."""
        counts = self.values.get(slot, Counter())
        known = [value for value, count in counts.items() if value != ANY and count > RARE * counts.total()]
        return known if len(known) <= FEW and not any(value[:1].isdigit() for value in known) else []


@dataclass(frozen=True, slots=True)
class Turn:
    """One user turn: what is wanted of its domain, oldest wish first, what it asks, and what it changes."""

    dialogue: str
    history: tuple[str, ...]
    user: str
    domain: str
    wants: Mapping[str, str]
    asks: tuple[str, ...]
    changed: frozenset[str]
    about: str = ""  # the name of the row that is asked about

    @property
    def closing(self) -> bool:
        """Whether the user only says thanks."""
        return not self.asks and not self.changed and THANKS.search(self.user) is not None and "?" not in self.user


def read_turns(path: Path, domains: frozenset[str] | None = None, names: Sequence[str] = ()) -> list[list[Turn]]:
    """The user turns of a states file by dialogue, of some domains alone; `names` are rows that the bot may name."""
    rows = [item for _, item in objects(path)]
    grouped = [list(group) for _, group in itertools.groupby(rows, lambda row: row["id"])]
    return [turns for group in grouped if (turns := [t for t in _turns(group, names) if _kept(t, domains)])]


def names_of(path: Path, domain: str) -> list[str]:
    """The names of rows that stand in the states of a domain."""
    named = {row["state"].get(domain, {}).get("name", "") for _, row in objects(path)}
    return sorted(name for name in named if len(name) >= NAMED)


def _kept(turn: Turn, domains: frozenset[str] | None) -> bool:
    return bool(turn.domain) and (domains is None or turn.domain in domains)


def _turns(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Iterator[Turn]:
    """The turns of a dialogue, with the whole of what was said before each as far as the file has it."""
    said: dict[int, str] = {}
    order: dict[str, dict[str, None]] = defaultdict(dict)
    coming = [row["state"].get(row["domain"], {}).get("name", "") for row in rows]
    for number, row in enumerate(rows):
        at = int(row["turn"])
        for i, text in enumerate(reversed(row["history"]), 1):
            said[at - i] = text
        said[at] = row["user"]
        first = at
        while first - 1 in said:
            first -= 1
        history = tuple(said[i] for i in range(first, at))
        domain = row["domain"]
        state = row["state"].get(domain, {})
        new = sorted(state.keys() - order[domain].keys(), key=lambda slot: (_place(state[slot], row["user"]), slot))
        order[domain] |= dict.fromkeys(new)
        wants = {slot: state[slot] for slot in order[domain] if slot in state}
        about = _named([*names, *coming[number : number + 3]], history[-1]) if history else ""
        asks, changed = tuple(row["requested"]), frozenset(row["changed"])
        yield Turn(row["id"], history, row["user"], domain, wants, asks, changed, wants.get("name", about))


def _place(value: str, text: str) -> int:
    at = text.lower().find(value.lower())
    return at if at >= 0 else len(text)


def _named(names: Iterable[str], text: str) -> str:
    """The only name of these that stands in a text, as it stands there."""
    low = text.lower()
    found = {name.lower() for name in names if len(name) >= NAMED and name.lower() in low}
    longest = [name for name in found if not any(name != other and name in other for other in found)]
    if len(longest) != 1:
        return ""
    at = low.index(longest[0])
    return text[at : at + len(longest[0])]


def domains_of(dialogues: Iterable[Iterable[Turn]]) -> dict[str, Domain]:
    """What the turns hold, by domain."""
    domains: dict[str, Domain] = defaultdict(Domain)
    for turn in itertools.chain.from_iterable(dialogues):
        domain = domains[turn.domain]
        domain.asked.update(turn.asks)
        for slot, value in turn.wants.items():
            domain.values[slot][value.lower()] += 1
    return domains


def lines_of(dialogue: Sequence[Turn], domains: Mapping[str, Domain], draw: random.Random) -> Iterator[QueryLine]:
    """The turns of one dialogue as lines, without those whose query cannot be told from their state."""
    schemas: dict[str, tuple[str, dict[str, str]]] = {}
    for turn in dialogue:
        if turn.domain not in schemas:
            spoken = {slot for t in dialogue if t.domain == turn.domain for slot in (*t.wants, *t.asks)}
            schemas[turn.domain] = schema_of(turn.domain, domains[turn.domain], spoken, draw)
        schema, columns = schemas[turn.domain]
        query = query_of(turn, columns)
        if query and (query != "none" or draw.random() < CLOSINGS):
            yield QueryLine(schema, turn.history, turn.user, query)


def schema_of(name: str, domain: Domain, spoken: Iterable[str], draw: random.Random) -> tuple[str, dict[str, str]]:
    """A table's schema, and what it calls each slot that is a column of it."""
    slots = [slot for slot in sorted(spoken) if slot not in NO_COLUMNS and draw.random() < KEPT]
    if name in ("restaurant", "hotel") and draw.random() > COLUMN_OF_BOOKING:
        slots = [slot for slot in slots if slot not in BOOKED]
    beside = [*BESIDE.get(name, ()), *(slot for slot in (*domain.values, *domain.asked) if slot not in NO_COLUMNS)]
    beside = [slot for slot in dict.fromkeys(beside) if slot not in spoken and slot not in BOOKED]
    more = min(len(beside), max(2, draw.randint(4, MOST_COLUMNS) - len(slots)))
    slots += draw.sample(beside, more)
    if "name" not in slots and "name" in domain.values:
        slots.append("name")
    draw.shuffle(slots)
    called = {slot: draw.choice(CALLED.get(slot, (slot, slot.replace(" ", "_")))) for slot in slots}
    if name == "navigation" and "name" in called:
        called["name"] = draw.choice(("poi", "poi", "name"))
    if name == "weather":
        called |= {slot: column for slot, column in (("location", "place"), ("date", "when")) if slot in called}
    parts = []
    for slot, column in called.items():
        values = domain.shown(slot)
        draw.shuffle(values)
        parts.append(f"{column} ({', '.join(values)})" if len(values) > 1 else column)
    return f"{name}: {', '.join(parts)}", called


def query_of(turn: Turn, columns: Mapping[str, str]) -> str:
    """The query that finds what the turn wants; empty where its state does not tell."""
    if turn.closing:
        return "none"
    asked = [columns[slot] for slot in turn.asks if slot in columns]
    if turn.asks and not turn.changed - {"name"}:  # about what was shown
        name = turn.about or turn.wants.get("name", "")
        if not asked or not name or name == ANY or "name" not in columns:
            return ""
        return f"{columns['name']} = {name}; ask {', '.join(asked)}"
    if not turn.changed and turn.history:
        return ""  # booked, or said of something else
    wants = dict(turn.wants)
    if wants.get("name", ANY) != ANY and "name" in columns and not BOOKED & columns.keys():
        wants = {"name": wants["name"]}
    said = {slot: told(slot, value) for slot, value in wants.items() if slot in columns}
    if not all(said.values()):
        return ""
    clauses = [clause for slot, value in said.items() for clause in _clauses(slot, value, columns)]
    if not clauses and not asked:
        return "all" if not turn.wants else ""
    return "; ".join([*clauses, *([f"ask {', '.join(asked)}"] if asked else [])])


def told(slot: str, value: str) -> str:
    """A value as queries have it, a time of day as HH:MM; empty where that cannot be told."""
    value = " ".join(value.replace(";", ",").split())
    if slot not in TIMES or value.lower() == ANY:
        return value
    time = CLOCK.fullmatch(value.lower().replace(".", ""))
    if time is None:
        return ""
    hour = int(time[1])
    if time[3]:
        hour = hour % 12 + (12 if time[3] == "pm" else 0)
    return f"{hour:02d}:{time[2] or '00'}" if (time[2] or time[3]) and hour < 25 else ""


def _clauses(slot: str, value: str, columns: Mapping[str, str]) -> Iterator[str]:
    """What a slot's value asks of its column."""
    column, low = columns[slot], value.lower()
    if low == ANY:
        return
    if slot == "distance":
        if LEAST & set(re.findall(r"\w+", low)):
            yield f"sort {column} asc"
        elif number := re.search(r"\d+", low):
            yield f"{column} <= {number[0]}"
    elif slot == "traffic":
        if re.search(r"avoid|no heavy|without|least", low):
            yield f"{column} != heavy traffic"
        elif "no traffic" in low:
            yield f"{column} = no traffic"
    elif slot == "leave at":
        yield f"{column} >= {value}"
    elif slot == "arrive by":
        yield f"{column} <= {value}"
    else:
        yield f"{column} = {value}"
