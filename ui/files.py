"""People's own files in the page: what a file would become, adding it, what is there, and taking it away."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapterbot.errors import AdapterbotError, InputError, shorten
from adapterbot.home import Home
from adapterbot.knowledge import Advance, Source
from adapterbot.knowledge.graph.triples import read_triples
from adapterbot.knowledge.own import source_taking, taking_files
from adapterbot.knowledge.passages.added import added_files
from adapterbot.knowledge.passages.readers import passages_of
from adapterbot.knowledge.table.source import TableSource
from adapterbot.knowledge.table.store import NAMES, read_table
from adapterbot.ui import words

if TYPE_CHECKING:
    from adapterbot.bot import Bot

MOST_BYTES = 20 * 2**20  # of one file
MOST_FILES = 100  # of passages
HEAD = 2**16  # bytes of a file from which it is told what it would become
ENDINGS = (".csv", ".ics", ".md", ".txt", ".tsv")
FOLDER = "uploads"  # in the user's folder: a file lies there as long as it is read


@dataclass(frozen=True, slots=True)
class Becomes:
    """What a file can become: `name` is what `knowledge add` calls it, `text` says it to people."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Own:
    """Something of the user's own that the bot answers from; `file` is set where it is one of several."""

    name: str
    what: str
    file: str = ""


class Files:
    """The files of everybody who uses this bot: they lie in its home. Safe to use from several threads."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot
        self._lock = threading.Lock()
        shutil.rmtree(self._home.root / FOLDER, ignore_errors=True)  # of imports that were killed

    @property
    def _home(self) -> Home:
        return self._bot.home

    @property
    def calendar(self) -> bool:
        """Whether there is a calendar of the user's own."""
        return (self._home.knowledge / "calendar.ics").is_file()

    def becomes(self, name: str, head: bytes) -> list[Becomes]:
        """What a file of that name can become, the likeliest first; `head` are its first bytes, at most HEAD.

        Raises:
            InputError: it is of no kind that is taken, or a table that fits no skill.
            KnowledgeError: its first line is not one of column names.
        """
        ending = Path(name).suffix.lower()
        if ending not in ENDINGS:
            raise InputError(words.other_ending(_shown(name), ENDINGS))
        if not head.strip():
            raise InputError(words.empty_file(_shown(name)))
        if b"\0" in head:
            raise InputError(words.no_text(_shown(name)))
        if ending == ".ics":
            return [Becomes("calendar", words.as_calendar())]
        if ending in (".md", ".txt"):
            return [Becomes("passages", words.as_passages())]
        return self._of_columns(name, head)

    def _of_columns(self, name: str, head: bytes) -> list[Becomes]:
        """Tables whose columns a file has, and triples where it has three."""
        whole = head if len(head) < HEAD else head[: head.rfind(b"\n") + 1]
        with self._laid_down(name, whole) as path:
            try:
                header, _ = read_table(path, path.stem)
            except AdapterbotError:
                if Path(name).suffix.lower() != ".tsv":
                    raise
                header = []  # triples need no line of column names
        has = {column.lower() for column in header}
        sources = taking_files(self._home).items()
        needed = {skill: source.needed(skill) for skill, source in sources if issubclass(source, TableSource)}
        fitting = [skill for skill, columns in needed.items() if has and has >= {c.lower() for c in columns}]
        found = [Becomes(skill, words.as_table(skill)) for skill in sorted(fitting, key=lambda s: -len(needed[s]))]
        if len(header) == 3 or not header:
            found.insert(0 if Path(name).suffix.lower() == ".tsv" else len(found), Becomes("graph", words.as_graph()))
        if not found:
            missing = {s: [c for c in columns if c.lower() not in has] for s, columns in needed.items() if columns}
            nearest = min(missing, key=lambda skill: len(missing[skill]))
            raise InputError(words.no_table(_shown(name), header, nearest, missing[nearest]))
        return found

    def add(self, name: str, kind: str, content: bytes, advance: Advance) -> tuple[str, str]:
        """Take a file in; returns what was added, in words, and a question that it answers.

        Raises:
            InputError: another file is being added, or there are too many.
            UnknownNameError: `kind` takes no files. KnowledgeError: the file cannot be used, and why.
        """
        source = source_taking(self._home, kind)
        if not self._lock.acquire(blocking=False):
            raise InputError(words.ANOTHER_FILE)
        try:
            if kind == "passages" and len(added_files(self._home)) >= MOST_FILES:
                raise InputError(words.too_many_files(_shown(name), MOST_FILES))
            with self._laid_down(name, content) as path:
                done = source.add(path, self._home, kind, advance)
                question = _question(kind, path)
            self._bot.reopen()
            return done, question
        finally:
            self._lock.release()

    def own(self) -> list[Own]:
        """What there is of the user's own."""
        found = list[Own]()
        for name, source in taking_files(self._home).items():
            if name == "passages":
                counts = {file.name: file.last - file.first + 1 for file in added_files(self._home)}
                found += [Own(name, f"{count:,} passage{'s' * (count > 1)}", file) for file, count in counts.items()]
            else:
                found += [Own(name, what) for what in self._stock(source, name)]
        return found

    def _stock(self, source: type[Source], name: str) -> list[str]:
        """What people brought, without the place on this machine where it lies."""
        try:
            return [stock.what.partition(" in ")[0] for stock in source.stock(self._home, name) if stock.own]
        except AdapterbotError as error:
            return [str(error)]  # it can be removed

    def remove(self, name: str, file: str = "") -> str:
        """Take one away; says what is left. Raises as `Source.remove` does."""
        done = source_taking(self._home, name).remove(self._home, name, Path(file) if file else None)
        self._bot.reopen()
        return done

    @contextmanager
    def _laid_down(self, name: str, content: bytes) -> Iterator[Path]:
        """The file on disk; errors that name it say its name alone."""
        folder = self._home.root / FOLDER
        plain = "".join(c for c in Path(name).name if c.isprintable() and c not in '/\\:*?"<>|').strip(". ")[-100:]
        path = folder / (plain or "file")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            path.write_bytes(content)
            yield path
        except AdapterbotError as error:
            raise InputError(str(error).replace(f"{folder}/", "")) from None
        finally:
            path.unlink(missing_ok=True)


def _question(kind: str, path: Path) -> str:
    """Something to ask of a file that was taken in as `kind`."""
    if kind == "calendar":
        return words.ASK_CALENDAR
    if kind == "passages":
        title, _ = next(passages_of(path))
        return words.ASK_ABOUT.format(title)
    if kind == "graph":
        return words.ASK_ABOUT.format(next(read_triples(path)).subject)
    header, lines = read_table(path, path.stem)
    _, cells = next(lines)
    name = next((i for known in NAMES for i, column in enumerate(header) if column.lower() == known), 0)
    told = next(i for i in reversed(range(len(header))) if i != name or len(header) == 1)
    return words.ASK_CELL.format(header[told].replace("_", " "), cells[name])


def _shown(name: str) -> str:
    return shorten(Path(name).name)
