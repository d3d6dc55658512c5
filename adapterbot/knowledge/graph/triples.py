"""3 · Reading and importing triples: subject, relation and object on each line, tab-separated (or CSV).

A heading in the first line and lines that begin with "#" are no triples.

OpenDialKG's release (Moon et al. 2019), where a relation that begins with "~" is read backwards, is understood too.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from adapterbot.errors import KnowledgeError, shorten
from adapterbot.home import DATA, Home, opened, written_by_rename
from adapterbot.language.dates import listed

IMPORTED = "graph.tsv"  # in the user's folder, and the one that ships
LONGEST = 300  # characters of a name or relation
LONGEST_LINE = 16 * LONGEST  # bytes
BATCH = 10_000  # triples between two calls of `advance`
HEADER = ("subject", "relation", "object")
# What people call the columns; anything but letters is left out, so that "Entity 1" and "entity_1" are alike.
HEADINGS = (
    frozenset(listed("subject subj s head h source src from start entity entitya node name key")),
    frozenset(listed("relation relationship rel r predicate pred p property edge label link type verb")),
    frozenset(listed("object obj o tail t target dst to end entity entityb node value")),
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
COLUMNS = "write subject, relation and object on each line, with a tab between them"


class Triple(NamedTuple):
    """One edge of the graph; `line` is what a prompt shows."""

    subject: str
    relation: str
    object: str

    @property
    def line(self) -> str:
        """Subject, relation and object with tabs between them."""
        return "\t".join(self)

    @property
    def stored(self) -> str:
        """The line in a file, where one that begins with "#" would be a comment."""
        return f" {self.line}\n" if self.line.startswith("#") else f"{self.line}\n"


def read_triples(path: Path) -> Iterator[Triple]:
    """The triples of a .tsv, .txt or .csv file, one at a time; blank lines, comments and a heading are passed over.

    Raises:
        KnowledgeError: the first bad line, as `file:line: what is wrong`.
    """
    first = True
    for where, fields in _rows(path):
        if not (first and _is_heading(fields)):
            yield _triple(fields, where)
        first = False


def import_triples(path: Path, target: Path, advance: Callable[[int], None]) -> tuple[int, int]:
    """Write the triples of `path` to `target`, each once; returns how many triples and entities there are.

    `target` appears whole or not at all. `advance` is told how many triples were read so far.

    Raises:
        KnowledgeError: a bad line, no triple at all, or `target` cannot be written.
    """
    seen = set[bytes]()
    names = set[bytes]()
    count = 0
    try:
        with written_by_rename(target) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as out:
            for count, triple in enumerate(read_triples(path), 1):
                if count % BATCH == 0:
                    advance(count)
                mark = _mark(triple.line)
                if mark not in seen:
                    seen.add(mark)
                    names |= {_mark(triple.subject), _mark(triple.object)}
                    out.write(triple.stored)
            if not seen:
                raise KnowledgeError(f"{path}: no triples; {COLUMNS}")
    except OSError as error:
        raise KnowledgeError(f"{target}: cannot be written: {error.strerror}") from None
    advance(count)
    return len(seen), len(names)


def stock(home: Home, name: str) -> list[tuple[str, bool]]:
    """What there is to answer from, in words, and whether it is the user's own."""
    found = [(f"{_count(DATA / 'knowledge' / IMPORTED):,} triples that ship", False)]
    own = home.knowledge / IMPORTED
    if not own.is_file():
        return found
    count = _count(own)
    return [*found, (f"{count:,} triple{'s' if count > 1 else ''} in {own}", True)]


def _count(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def _mark(text: str) -> bytes:
    """A short stand-in for a text, so that millions of them fit into memory."""
    return hashlib.blake2b(text.encode("utf-8"), digest_size=12).digest()


def _rows(path: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """(`file:line`, columns) of each line that is not blank."""
    if path.suffix.lower() != ".csv":
        for number, line in _lines(path):
            columns = line.split("\t")
            if line.strip() and not line.startswith("#") and not (line.lstrip()[0] == "#" and len(columns) < 3):
                yield f"{path}:{number}", columns
        return
    lines = _CsvLines(path)
    try:
        for row in csv.reader(lines, strict=True):
            lines.inside = 0
            if any(map(str.strip, row)):
                yield f"{path}:{lines.number}", row
    except csv.Error as error:
        raise KnowledgeError(f"{path}:{lines.number}: not CSV: {error}") from None


class _CsvLines:
    """The lines of a CSV file without comments. There are none `inside` a row, whose quoted cells may go on.

    `inside` counts the lines of the row and is set to 0 at its end.
    """

    def __init__(self, path: Path) -> None:
        self._lines = _lines(path)
        self._path = path
        self.number = self.inside = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        for number, line in self._lines:
            self.number = number
            if self.inside > LONGEST:
                raise KnowledgeError(f"{self._path}:{number}: a row goes on; a quote is not closed")
            if self.inside or not line.lstrip().startswith("#"):
                self.inside += 1
                return line
        raise StopIteration


def _is_heading(fields: Sequence[str]) -> bool:
    """Whether the three fields are what people call the columns of triples."""
    names = ["".join(filter(str.isalpha, field.lower())) for field in fields]
    return len(names) == 3 and all(name in known for name, known in zip(names, HEADINGS, strict=True))


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = 0
    try:
        with opened(path) as stream:
            while raw := stream.readline(LONGEST_LINE):
                number += 1
                if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                    raise KnowledgeError(f"{path}:{number}: longer than {LONGEST_LINE} bytes; {COLUMNS}")
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise KnowledgeError(f"{path}:{number}: not UTF-8 (byte {error.start}); convert the file to UTF-8") from None
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror}") from None


def _triple(fields: Sequence[str], where: str) -> Triple:
    if len(fields) != 3:
        raise KnowledgeError(f"{where}: {len(fields)} column(s) instead of three; {COLUMNS}")
    subject, relation, other = (" ".join(CONTROL.sub(" ", field).split()) for field in fields)
    if relation.startswith("~"):
        subject, relation, other = other, relation[1:].strip(), subject
    for name, value in zip(HEADER, (subject, relation, other), strict=True):
        if not value:
            raise KnowledgeError(f"{where}: the {name} is empty; {COLUMNS}")
        if len(value) > LONGEST:
            raise KnowledgeError(
                f"{where}: the {name} {shorten(value, 30)!r} has {len(value)} characters; at most {LONGEST} are allowed"
            )
    return Triple(subject, relation, other)
