"""3 · A Wikipedia dump (pages-articles, .xml or .xml.bz2) as passages: what articles say before their first heading."""

from __future__ import annotations

import bz2
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from adapterbot.errors import KnowledgeError, shorten
from adapterbot.home import opened
from adapterbot.knowledge.passages.cutting import cut
from adapterbot.language.markup import clean, from_wikitext

CHUNK = 2**18  # bytes given to the XML parser at once
ARTICLE = 4 * 2**20  # characters of a page that are kept; Wikipedia itself allows 2 MB
ARTICLE_PASSAGES = 3  # at most
UNREAD_PAGE = re.compile(r"\s*#\w+\s*:?\s*\[\[|.*\{\{\s*disambig", re.IGNORECASE | re.DOTALL)


def read_dump(path: Path) -> Iterator[tuple[str, str]]:
    """Titles and passages of the articles, without redirects, lists of meanings and pages that are no article.

    Raises:
        KnowledgeError: it is no such dump, damaged or cut off. One with a DTD is refused as well: dumps have none, and
            entities that expand to gigabytes are declared there.
    """
    for title, wikitext in _pages(path):
        if not UNREAD_PAGE.match(wikitext):
            for passage in islice(cut(from_wikitext(wikitext)), ARTICLE_PASSAGES):
                yield clean(title), passage


def _pages(path: Path) -> Iterator[tuple[str, str]]:
    pages = _Pages(path)
    with opened(path) as packed, bz2.open(packed) if path.suffix.lower() == ".bz2" else packed as stream:
        while chunk := _read(stream, path):
            pages.feed(chunk)
            yield from pages.take()
    pages.feed(b"", last=True)


def _read(stream: BinaryIO | bz2.BZ2File, path: Path) -> bytes:
    try:
        return stream.read(CHUNK)
    except EOFError:
        raise KnowledgeError(f"{path}: cut off in the middle; download it again") from None
    except OSError as error:
        if error.errno is not None:  # of the disk
            raise
        raise KnowledgeError(f"{path}: not a bz2 file, or damaged ({error})") from None


class _Pages:
    """Takes a dump piece by piece and gives the (title, wikitext) of its articles; holds no more than a page."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._done = list[tuple[str, str]]()
        self._depth = 0
        self._name = ""
        self._size = 0
        self._page: dict[str, list[str]] = {}
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def feed(self, chunk: bytes, last: bool = False) -> None:
        """Raises KnowledgeError with the line when it is not XML or not a dump."""
        try:
            self._parser.Parse(chunk, last)
        except expat.ExpatError as error:
            problem = expat.errors.messages[error.code]
            raise KnowledgeError(f"{self._path}:{error.lineno}: damaged or cut off XML ({problem})") from None

    def take(self) -> list[tuple[str, str]]:
        """The pages that are complete."""
        done = self._done
        self._done = []
        return done

    def _doctype(self, *_: object) -> None:
        line = self._parser.CurrentLineNumber
        raise KnowledgeError(f"{self._path}:{line}: has a DTD, which a Wikipedia dump has not; it is not read")

    def _start(self, tag: str, _: dict[str, str]) -> None:
        self._depth += 1
        self._name = tag.rpartition(" ")[2]
        if self._depth == 1 and self._name != "mediawiki":
            raise KnowledgeError(
                f"{self._path}: not a Wikipedia dump: it begins with <{shorten(self._name)}>, not <mediawiki>"
            )
        if self._name == "page":
            self._page = {}
            self._size = 0
        elif self._name in ("redirect", "text"):  # of several revisions the last one counts
            self._page[self._name] = []

    def _text(self, text: str) -> None:
        self._size += len(text)
        if self._name in ("title", "ns", "text") and self._size <= ARTICLE:
            self._page.setdefault(self._name, []).append(text)

    def _end(self, tag: str) -> None:
        self._depth -= 1
        self._name = ""
        page = {name: "".join(parts) for name, parts in self._page.items()}
        if tag.rpartition(" ")[2] == "page" and page.get("ns", "0") == "0" and "redirect" not in page:
            self._done.append((page.get("title", ""), page.get("text", "")))
