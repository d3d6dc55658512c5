"""3 · What a user's own texts say: readers of text, Markdown, JSONL and a Wikipedia dump, each a stream of passages.

Nothing is held but the paragraph, line or article at hand, so a file may be larger than the memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from adapterbot.errors import KnowledgeError
from adapterbot.home import bounded_lines, is_inside, opened
from adapterbot.knowledge.passages.cutting import cut
from adapterbot.knowledge.passages.index import LINE, parse_passage
from adapterbot.knowledge.passages.wikipedia import read_dump
from adapterbot.language.markup import clean, from_html, from_markdown

Passages: TypeAlias = Iterator[tuple[str, str]]  # title, text
PARAGRAPH = 20_000  # characters after which a paragraph is cut at the next end of a line

KEY = re.compile(r"[A-Za-z][\w-]*:(?:\s|$)")
HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
UNDERLINE = re.compile(r" {0,3}(=+|-+)[ \t]*$")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
ITEM = re.compile(r"[ \t]*(?:[-*+]|\d{1,9}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?")
QUOTE = re.compile(r"^(?: {0,3}> ?)+")
UNREAD_LINE = re.compile(r" {0,3}(?:(?:[-*_][ \t]*){3,}|\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t:|-]*)?|\[[^\[\]]+\]:\s.*)$")


def files_of(path: Path) -> list[Path]:
    """The file `path`, or what can be read in the folder `path` and below it but hidden files and links that lead out.

    Raises:
        KnowledgeError: there is no such file, or nothing in the folder that can be read.
    """
    if path.is_file():
        if _reader(path) is None:
            raise KnowledgeError(f"{path}: the name has to end in one of {' '.join(READERS)}")
        return [path]
    if not path.is_dir():
        raise KnowledgeError(f"{path}: there is no such file or folder")
    found = [file for file in _below(path) if file.suffix.lower() in IN_FOLDERS and is_inside(file, path)]
    if not found:
        raise KnowledgeError(f"{path}: no file in it ends in one of {' '.join(IN_FOLDERS)}")
    return found


def passages_of(path: Path) -> Passages:
    """The passages of one file, by its ending, as plain text.

    Raises:
        KnowledgeError: the file cannot be read; the message names the line where there is one.
    """
    reader = _reader(path)
    assert reader is not None, path
    try:
        yield from ((title, text) for title, text in reader(path) if title and text)
    except OSError as error:
        raise KnowledgeError(f"{path}: cannot be read: {error.strerror or error}") from None


def _reader(path: Path) -> Callable[[Path], Passages] | None:
    return next((reader for ending, reader in READERS.items() if path.name.lower().endswith(ending)), None)


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):  # follows no linked folder
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        paths = (Path(place, name) for name in sorted(names) if not name.startswith("."))
        yield from (path for path in paths if path.is_file())


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers from 1, without the marks at their ends."""
    with opened(path) as stream:
        for number, raw in bounded_lines(stream, LINE):
            try:
                yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
            except UnicodeDecodeError as error:
                problem = f"not UTF-8 (byte {error.start}); convert the file to UTF-8"
                raise KnowledgeError(f"{path}:{number}: {problem}") from None


def _text(path: Path) -> Passages:
    title = _name(path)
    for text in cut(map(from_html, _paragraphs(line for _, line in _lines(path)))):
        yield title, text


def _paragraphs(lines: Iterable[str]) -> Iterator[str]:
    """Lines joined up to the next empty one."""
    block = list[str]()
    size = 0
    for line in lines:
        if line.strip():
            block.append(line)
            size += len(line)
        if block and (size > PARAGRAPH or not line.strip()):
            yield "\n".join(block)
            block = []
            size = 0
    if block:
        yield "\n".join(block)


def _jsonl(path: Path) -> Passages:
    for number, line in _lines(path):
        if line.strip():
            title, text = parse_passage(line.encode(), f"{path}:{number}")
            for passage in cut([from_html(text)]):
                yield from_html(title), passage


def _markdown(path: Path) -> Passages:
    """Passages under the path of their headings; they never cross one."""
    headings: dict[int, str] = {}
    block = list[str]()
    for level, text in (*_blocks(_prose(_lines(path))), (7, "")):
        if block and (level or sum(map(len, block)) > PARAGRAPH):
            title = " > ".join(filter(None, headings.values())) or _name(path)
            yield from ((title, passage) for passage in cut(block))
            block = []
        if level:
            headings = {depth: title for depth, title in headings.items() if depth < level} | {
                level: from_markdown(text)
            }
        else:
            block.append(from_markdown(text))


def _blocks(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """(0, paragraph) and (level, heading) in their order. Each item of a list and row of a table is a paragraph."""
    block = list[str]()
    for line in lines:
        if len(block) == 1 and (underline := UNDERLINE.match(line)):
            yield 1 if "=" in underline[1] else 2, block.pop()
            continue
        level, starts, text = _block_line(line)
        if block and (starts or sum(map(len, block)) > PARAGRAPH):
            yield 0, "\n".join(block)
            block = []
        if level:
            yield level, text
        elif text:
            block.append(text)
    if block:
        yield 0, "\n".join(block)


def _block_line(line: str) -> tuple[int, bool, str]:
    """A line's level as a heading or 0, whether a paragraph ends before it, and its text."""
    if heading := HEADING.match(line):
        return len(heading[1]), True, heading[2] or ""
    plain = QUOTE.sub("", line, count=1)
    if not plain.strip() or UNREAD_LINE.match(plain):
        return 0, True, ""
    if plain.lstrip().startswith("|"):
        return 0, True, ", ".join(filter(None, (cell.strip() for cell in plain.split("|"))))
    item = ITEM.match(plain)
    return 0, item is not None, plain[item.end() if item else 0 :]


def _prose(lines: Iterable[tuple[int, str]]) -> Iterator[str]:
    """Without the front matter and blocks of code."""
    fence = ""
    opened = False
    for number, line in lines:
        stripped = line.strip()
        if fence:
            if stripped.startswith(fence) and not stripped.strip(fence[0]):
                fence = ""
        elif mark := FENCE.match(line):
            fence = mark[1]
            yield ""
        elif number == 2 and opened and KEY.match(line):
            fence = "---"
        else:
            opened = number == 1 and stripped == "---"
            yield line


def _name(path: Path) -> str:
    return clean(re.sub(r"[-_]+", " ", path.name[: -len(path.suffix)])) or path.name


READERS: dict[str, Callable[[Path], Passages]] = {
    ".txt": _text,
    ".md": _markdown,
    ".jsonl": _jsonl,
    ".xml": read_dump,
    ".xml.bz2": read_dump,
}
IN_FOLDERS = (".txt", ".md", ".jsonl")
