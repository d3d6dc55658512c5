"""3 · Facts for a turn: one file per kind of source, all behind one method, `retrieve`.

`open_source` maps a skill's `[knowledge]` table to its source. Sources are safe to call from several threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from adapterbot.errors import KnowledgeError, shorten
from adapterbot.history import History
from adapterbot.home import Home, is_inside
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Fact

if TYPE_CHECKING:  # numpy is only loaded once passages are re-ranked
    from numpy.typing import ArrayLike


class Source(Protocol):
    """Where facts come from."""

    def retrieve(self, history: History) -> list[Fact]:
        """The facts for the reply to `history`, which ends with the newest user message; best first, maybe none."""
        ...


class Similarity(Protocol):
    """What re-ranking needs of a sentence encoder. Equal fingerprints mean equal vectors.

    The thresholds of the sources are measured with a sentence encoder (all-MiniLM-L6-v2). Pooled states of a language
    model lie close together whatever the text, so they do not belong here.
    """

    @property
    def fingerprint(self) -> str: ...
    def encode(self, texts: Sequence[str]) -> ArrayLike:
        """Unit rows [N, width]; a CPU tensor will do."""
        ...


class NoSource:
    """Finds nothing."""

    def retrieve(self, history: History) -> list[Fact]:
        """No facts."""
        return []


class OrElse:
    """`source`, and one fixed fact when it finds nothing (a skill's `when_empty`)."""

    def __init__(self, source: Source, fact: Fact) -> None:
        self._source, self._fact = source, fact

    def retrieve(self, history: History) -> list[Fact]:
        """What the source finds, else the fixed fact."""
        return self._source.retrieve(history) or [self._fact]


def open_source(spec: SkillSpec, home: Home, similarity: Similarity | None = None) -> Source:
    """The source that a skill's `[knowledge]` table names. Without `similarity` passages are ranked by bm25 alone.

    Each kind of source is a folder of its name whose `source.py` has a function `open_source` like this one.

    Raises:
        KnowledgeError: the table's file is missing, unreadable or outside the skill's folder, or a line of it is bad.
    """
    table = spec.knowledge
    source: Source = NoSource()
    if table.source != "none":
        source = import_module(f"adapterbot.knowledge.{table.source}.source").open_source(spec, home, similarity)
    return OrElse(source, Fact(table.when_empty, source=table.source)) if table.when_empty else source


def skill_file(spec: SkillSpec) -> Path:
    """The file that `[knowledge] file` names.

    Raises:
        KnowledgeError: no file is named, or it is not a file inside the skill's folder.
    """
    where, name = f"{spec.folder / 'skill.toml'}: knowledge.file", spec.knowledge.file
    if not name:
        raise KnowledgeError(f"{where}: source = {spec.knowledge.source!r} needs `file` (or `lines`)")
    path = spec.folder / name
    if "\0" in name or not is_inside(path, spec.folder):
        raise KnowledgeError(f"{where}: {shorten(name)!r} has to be a file inside the skill's folder")
    if not path.is_file():
        raise KnowledgeError(f"{where}: there is no file {path}")
    return path
