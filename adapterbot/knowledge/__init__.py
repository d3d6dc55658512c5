"""3 · Facts for a turn: one folder per kind of source, all behind one contract, `Source`.

A folder `<kind>/` with a `source.py` that names its class as `SOURCE` is all that a further kind takes: specs name it
as `source = "<kind>"`, and app, commands and checks find it by that.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

from adapterbot.errors import InputError, KnowledgeError, UnknownNameError, shorten
from adapterbot.facts import Fact, Passage
from adapterbot.history import History
from adapterbot.home import Home, is_inside
from adapterbot.knowledge.lines import read_nothing
from adapterbot.spec.tables import SkillSpec
from adapterbot.turn import Evidence

if TYPE_CHECKING:  # numpy is only loaded once passages are re-ranked
    from numpy.typing import ArrayLike


MOST_FACTS = 1_000  # of a caller's own
MOST_TOLD = 200_000  # their characters in all
Advance = Callable[[int], None]  # told how many lines, rows or passages were read so far


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


@dataclass(frozen=True, slots=True)
class Opening:
    """What a source is opened with.

    `similarity` is None where no sentence encoder is installed; `demo` asks for samples where there is nothing real;
    `place` is where the user is, as a name.
    """

    spec: SkillSpec
    home: Home
    similarity: Similarity | None = None
    demo: bool = False
    place: str = ""


@dataclass(frozen=True, slots=True)
class Stock:
    """What a source has to answer from: where it is from, in words, and whether the user brought it."""

    what: str
    own: bool


class Source(ABC):
    """Where facts come from. Sources are safe to call from several threads.

    A source to which users can add files of their own says so by `files`, and has `add`, `remove` and `stock`; where
    each skill has its own (`per_skill`), they go by the skill's name, else by the source's kind.
    """

    needs_encoder: ClassVar[bool] = False  # whether it compares sentences
    is_read: ClassVar[bool] = False  # whether its facts are told in the reply's own words, and not cell by cell
    files: ClassVar[str] = ""  # what a user may add, in a few words
    per_skill: ClassVar[bool] = False

    @classmethod
    @abstractmethod
    def open(cls, opening: Opening) -> Self:
        """The source for one skill.

        Raises:
            KnowledgeError: its file is missing, unreadable or outside the skill's folder, or a line of it is bad.
        """

    @abstractmethod
    def retrieve(self, history: History) -> list[Fact]:
        """The facts for the reply to `history`, which ends with the newest user message; best first, maybe none."""

    def mentions(self, text: str) -> tuple[str, ...]:
        """What of it `text` names: entities, rows, titles."""
        return ()

    def evidence(self, history: History) -> Evidence | None:
        """What of it speaks for asking it, so clearly that it decides which skill answers; None where nothing does."""
        return None

    @classmethod
    def read_line(cls, line: str) -> Fact:
        """The fact that a line stands for, as dialogue files and callers give them: the inverse of `Fact.line`."""
        return read_nothing(line) or Passage("", line)

    @classmethod
    def about(cls, facts: Sequence[Fact], history: History) -> list[Fact]:
        """What of a caller's facts the newest message asks for; all of them, where a source does not tell."""
        return list(facts)

    @classmethod
    def add(cls, path: Path, home: Home, name: str, advance: Advance = lambda count: None) -> str:
        """Take in a file of the user's; returns a line for people.

        Raises:
            KnowledgeError: the file cannot be used (`file:line: what is wrong`); everything stays as it was.
        """
        raise KnowledgeError(f"nothing can be added to {name}")

    @classmethod
    def remove(cls, home: Home, name: str, file: Path | None = None) -> str:
        """Take away what the user added, or of several files only one; says in words what is left.

        Raises:
            KnowledgeError: it holds one file at a time, and one is named. UnknownNameError: nothing is of that file.
        """
        if file is not None:
            raise KnowledgeError(f"{name} holds one file of yours at a time: adapterbot knowledge rm {name}")
        return "removed" if cls.forget(home, name) else "nothing of your own was there"

    @classmethod
    def forget(cls, home: Home, name: str) -> bool:
        """Take away all that the user added; whether there was anything."""
        return False

    @classmethod
    def stock(cls, home: Home, name: str) -> Sequence[Stock]:
        """What there is to answer from."""
        return ()


class Nowhere(Source):
    """Finds nothing: the source of skills that answer from the conversation alone."""

    @classmethod
    def open(cls, opening: Opening) -> Nowhere:
        """It needs nothing."""
        return cls()

    def retrieve(self, history: History) -> list[Fact]:
        """No facts."""
        return []


class OrElse(Source):
    """`source`, and one fixed fact when it finds nothing (a skill's `when_empty`)."""

    def __init__(self, source: Source, fact: Fact) -> None:
        self._source = source
        self._fact = fact

    @classmethod
    def open(cls, opening: Opening) -> OrElse:
        """The source of a skill that has a `when_empty`."""
        kind = source_class(opening.spec.knowledge.source)
        return cls(kind.open(opening), kind.read_line(opening.spec.knowledge.when_empty))

    def retrieve(self, history: History) -> list[Fact]:
        """What the source finds, else the fixed fact."""
        return self._source.retrieve(history) or [self._fact]

    def mentions(self, text: str) -> tuple[str, ...]:
        """What the source mentions."""
        return self._source.mentions(text)

    def evidence(self, history: History) -> Evidence | None:
        """What speaks for asking the source."""
        return self._source.evidence(history)


def kinds() -> list[str]:
    """The kinds of source that there are, "none" among them."""
    return ["none", *sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg)]


def source_class(kind: str) -> type[Source]:
    """The source of that kind.

    Raises:
        UnknownNameError: there is none; the message names the nearest.
    """
    if kind == "none":
        return Nowhere
    if kind not in kinds():
        raise UnknownNameError("knowledge source", kind, kinds())
    found: type[Source] = import_module(f"{__name__}.{kind}.source").SOURCE
    return found


def open_source(opening: Opening) -> Source:
    """The source that the `[knowledge]` table of a skill names, ready to be asked (see `Source.open`)."""
    table = opening.spec.knowledge
    return OrElse.open(opening) if table.when_empty else source_class(table.source).open(opening)


def given_facts(facts: object, spec: SkillSpec, history: History = History()) -> tuple[Fact, ...]:
    """A caller's own facts, typed or as lines of text, which are read as this skill's source writes them; what of them
    the newest message of `history` asks for.

    Raises:
        InputError: it is something else, or more than a prompt could ever hold.
    """
    if not isinstance(facts, (list, tuple)) or not all(isinstance(fact, (str, Fact)) for fact in facts):
        raise InputError("facts is a list of texts")
    size = sum(len(fact) for fact in facts if isinstance(fact, str))
    if len(facts) > MOST_FACTS or size > MOST_TOLD:
        given = f"{len(facts):,} facts" if len(facts) > MOST_FACTS else f"facts of {size:,} characters"
        raise InputError(f"{given} were given; at most {MOST_FACTS:,} of {MOST_TOLD:,} characters in all are read")
    kind = source_class(spec.knowledge.source)
    read = [fact if isinstance(fact, Fact) else _given(fact, kind) for fact in facts]
    return tuple(kind.about(read, history))


def _given(line: str, kind: type[Source]) -> Fact:
    line = line.encode("utf-8", "replace").decode()  # a lone surrogate is no character
    return replace(kind.read_line(line), source="caller")


def skill_file(spec: SkillSpec) -> Path:
    """The file that `[knowledge] file` names.

    Raises:
        KnowledgeError: no file is named, or it is not a file inside the skill's folder.
    """
    where = f"{spec.folder / 'skill.toml'}: knowledge.file"
    name = spec.knowledge.file
    if not name:
        raise KnowledgeError(f"{where}: source = {spec.knowledge.source!r} needs `file` (or `lines`)")
    path = spec.folder / name
    if "\0" in name or not is_inside(path, spec.folder):
        raise KnowledgeError(f"{where}: {shorten(name)!r} has to be a file inside the skill's folder")
    if not path.is_file():
        raise KnowledgeError(f"{where}: there is no file {path}")
    return path
