"""What the tests of tables share."""

from __future__ import annotations

import csv
from pathlib import Path

from adapterbot.facts import Row
from adapterbot.history import History
from adapterbot.home import DATA
from adapterbot.knowledge.table.source import TableSource
from adapterbot.spec.tables import KnowledgeTable, SkillSpec


def spec(name: str, folder: Path, **knowledge: object) -> SkillSpec:
    table = KnowledgeTable(source="table", limit=3, **knowledge)
    return SkillSpec(name=name, folder=folder, summary="s", group="task", knowledge=table)


def talk(*turns: str) -> History:
    """A conversation that the user begins, turn by turn."""
    history = History()
    for i, text in enumerate(turns):
        history = history.add_bot(text) if i % 2 else history.add_user(text)
    return history


def names(source: TableSource, *turns: str, column: str = "name") -> list[str]:
    """The names in the rows found, in order; nothing but rows may be found."""
    facts = source.retrieve(talk(*turns))
    rows = [fact for fact in facts if isinstance(fact, Row)]
    assert len(rows) == len(facts)
    return [dict(row.cells)[column] for row in rows]


def texts(source: TableSource, *turns: str) -> list[str]:
    return [fact.line for fact in source.retrieve(talk(*turns))]


def shipped_rows(name: str) -> list[dict[str, str]]:
    """The rows of a table that ships."""
    with (DATA / "knowledge" / f"{name}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
