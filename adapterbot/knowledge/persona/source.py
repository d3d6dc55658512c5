"""3 · A persona: a few fixed sentences about the bot itself, the same for every turn.

As in Zhang et al. 2018 (arXiv 1801.07243), where four or five such sentences make a persona.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from adapterbot.errors import KnowledgeError
from adapterbot.facts import Fact, PersonaLine
from adapterbot.history import History
from adapterbot.knowledge import Opening, Source, skill_file


class PersonaSource(Source):
    """All persona lines, in their order, whatever was said."""

    def __init__(self, lines: Iterable[str]) -> None:
        kept = (" ".join(line.split()) for line in lines)
        self._facts = [PersonaLine(line, source="persona", score=1.0) for line in kept if line]

    @classmethod
    def open(cls, opening: Opening) -> PersonaSource:
        """The persona in the spec's `lines`, else in its `file`."""
        return cls(opening.spec.knowledge.lines or read_lines(skill_file(opening.spec)))

    def retrieve(self, history: History) -> list[Fact]:
        """The persona, one fact a line."""
        return [*self._facts]

    @classmethod
    def read_line(cls, line: str) -> PersonaLine:
        """A sentence about the bot."""
        return PersonaLine(line)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file.

    Raises:
        KnowledgeError: the file cannot be read, is not UTF-8, or has nothing in it.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None
    if not any(line.strip() for line in lines):
        raise KnowledgeError(f"{path}: empty; write one sentence about the bot on each line")
    return lines


SOURCE = PersonaSource
