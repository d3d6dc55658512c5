"""How well it is understood what a user wants: belief states of task dialogues against the queries that are written.

A table is made of the values that a set's states hold, and every user turn that asks or changes something is read with
what was said before. **Joint goal accuracy**: the share of turns whose clauses are all right and none too many (as in
TRADE, Wu et al. 2019, section 4.2); **slot F1**: of the single clauses. What is asked for is judged apart.
"""

from __future__ import annotations

import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from adapterbot.data.belief_states import ANY, FEWEST, Domain, Turn, domains_of, names_of, query_of, read_turns, told
from adapterbot.errors import DataError
from adapterbot.history import History
from adapterbot.knowledge.query_language import WrittenQuery
from adapterbot.knowledge.table.dialogue_state import understood
from adapterbot.knowledge.table.slots import Speech
from adapterbot.knowledge.table.store import fill, key
from adapterbot.knowledge.table.table import Table
from adapterbot.manager.tracker import shipped_tracker

# The columns of the tables; where the states call one otherwise, their name stands before it.
COLUMNS = {
    "restaurant": "address, area, food, name, phone, postcode, pricerange",
    "hotel": "address, area, internet, parking, name, phone, postcode, pricerange, stars, type",
    "attraction": "address, area, entrance fee, name, phone, postcode, type",
    "train": "arrive by=arriveBy, day, departure, destination, duration, leave at=leaveAt, price, train id=trainID",
}
SETS = {
    "multiwoz": ("restaurant", "hotel", "attraction", "train"),
    "camrest": ("restaurant",),
    "woz": ("restaurant",),
    "sgd": ("restaurant", "hotel"),
}
TURNS = 200  # of each set
Slot = tuple[str, str, tuple[str, ...]]
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Case:
    """One user turn: `table` is that of its domain, `right` what the states say."""

    dataset: str
    domain: str
    history: History
    right: WrittenQuery
    table: Table


@dataclass(frozen=True, slots=True)
class Understanding:
    """The measures on some turns; `asked` are those that ask for a column, of which `asked_right` are right."""

    turns: int
    joint_goal_accuracy: float
    slot_f1: float
    asked: int
    asked_right: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)


def cases(folder: Path, most: int = TURNS, seed: int = 0) -> list[Case]:
    """Turns of the validation states in `folder`, at most so many of each set, drawn at random."""
    found = list[Case]()
    for dataset, names in SETS.items():
        if (folder / dataset / "valid.jsonl.gz").is_file():
            of_set = [case for domain in names for case in _of_domain(folder, dataset, domain)]
            found += random.Random(seed).sample(of_set, min(most, len(of_set)))
    return found


def evaluate_understanding(
    write: Callable[[Case], WrittenQuery],
    folder: Path,
    *,
    most: int = TURNS,
    seed: int = 0,
    advance: Advance = lambda done, total: None,
) -> dict[str, Any]:
    """The measures of each set and of all of them, by the queries that `write` reads; `advance` is told what is done.

    Raises:
        DataError: the folder holds no validation states of these sets, or a file of them is damaged.
    """
    given = cases(folder, most, seed)
    if not given:
        raise DataError(f"{folder} has no NAME/valid.jsonl.gz of {', '.join(SETS)}")
    read = []
    for case in given:
        read.append(write(case))
        advance(1, len(given))
    return {name: found.to_dict() for name, found in judge(given, read).items()}


def tracked(case: Case) -> WrittenQuery:
    """What the state tracker reads in a turn: the query by which tables are asked."""
    return understood(case.history, case.table, Speech(case.table, case.domain, shipped_tracker())).query_of(
        case.table.entity
    )


def judge(given: Sequence[Case], read: Sequence[WrittenQuery]) -> dict[str, Understanding]:
    """The measures of each set, and of all of them, of what was read in the turns."""
    pairs = list(zip(given, read, strict=True))
    sets = {name: [pair for pair in pairs if pair[0].dataset == name] for name in SETS}
    return {name: _measured(part) for name, part in ({**sets, "all": pairs}).items() if part}


def slots_of(query: WrittenQuery, table: Table) -> frozenset[Slot]:
    """The clauses of a query, with values as the table has them; a row that is named stands for all else."""
    found = set[Slot]()
    flags = {column.name for column in table.columns if column.kind == "flag"}
    for clause in query.clauses:
        values = {near.lower() for value in clause.values for near in table.near(clause.column, value)}
        if clause.column == table.entity:
            values = {key(value) for value in values}
        elif clause.column in flags and "yes" in values:
            values = {"yes"}  # what is free is there
        found.add((clause.column, clause.test, tuple(sorted(values))))
    named = {slot for slot in found if slot[:2] == (table.entity, "=")}
    return frozenset(named or found)


def _measured(pairs: Iterable[tuple[Case, WrittenQuery]]) -> Understanding:
    whole = hits = wanted = written = asked = asked_right = turns = 0
    for case, query in pairs:
        right, said = slots_of(case.right, case.table), slots_of(query, case.table)
        turns += 1
        whole += right == said
        hits += len(right & said)
        wanted += len(right)
        written += len(said)
        if case.right.ask:
            asked += 1
            asked_right += set(case.right.ask) == set(query.ask)
    return Understanding(turns, whole / turns, 2 * hits / max(1, wanted + written), asked, asked_right / max(1, asked))


def _of_domain(folder: Path, dataset: str, name: str) -> Iterator[Case]:
    """The turns of one domain of a set that ask or change something."""
    columns = _columns(name)
    multiwoz = folder / "multiwoz" / "train.jsonl.gz"
    named = names_of(multiwoz, name) if dataset in ("camrest", "woz") and multiwoz.is_file() else []
    files = [folder / dataset / f"{part}.jsonl.gz" for part in ("train", "valid")]
    dialogues = [read_turns(file, frozenset({name}), named) if file.is_file() else [] for file in files]
    domain = domains_of(turns for part in dialogues for turns in part)[name]
    domain.values["name"].update(named)
    table = table_of(columns, domain)
    for turn in (turn for turns in dialogues[1] for turn in turns):
        query = "" if turn.closing else query_of(turn, columns)
        if query:
            yield Case(dataset, name, _said(turn), table.schema(name).read(query), table)


def _columns(domain: str) -> dict[str, str]:
    """The columns of a domain's table by the names of slots."""
    pairs = (part.rpartition("=") for part in COLUMNS[domain].split(", "))
    return {slot or column: column for slot, _, column in pairs}


def _said(turn: Turn) -> History:
    """What was said, the user last."""
    history = History()
    for i, text in enumerate(turn.history):
        history = history.add_bot(text) if (len(turn.history) - i) % 2 else history.add_user(text)
    return history.add_user(turn.user)


def table_of(columns: Mapping[str, str], domain: Domain) -> Table:
    """A table whose columns hold every value of the states, in no order that means anything."""
    values = [_values(domain, slot) for slot in columns]
    cells = list(zip_longest(*values, fillvalue="")) or [("",) * len(columns)]
    database = sqlite3.connect(":memory:", check_same_thread=False)
    rows = ((f"row {i}", row) for i, row in enumerate(cells))
    fill(database, list(columns.values()), rows, Path("states"), lambda count: None)
    return Table(database)


def _values(domain: Domain, slot: str) -> list[str]:
    counts = domain.values.get(slot, Counter[str]())
    found = [value for value, count in counts.items() if value != ANY and (count >= FEWEST or slot == "name")]
    return list(dict.fromkeys(filter(None, (told(slot, value) for value in found))))
