"""What the tests of tables share."""

from __future__ import annotations

from pathlib import Path

from adapterbot.history import History
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
    """The names in the rows found, in order."""
    cells = [dict(c.split(": ", 1) for c in f.text.split(", ")) for f in source.retrieve(talk(*turns))]
    return [c[column] for c in cells]


def texts(source: TableSource, *turns: str) -> list[str]:
    return [fact.text for fact in source.retrieve(talk(*turns))]
