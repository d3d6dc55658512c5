"""Files that are none, or that never end: each reader refuses them at once, in one line that names the file."""

from __future__ import annotations

import gzip
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from adapterbot.data.dialogue import read_dialogues
from adapterbot.errors import AdapterbotError, KnowledgeError
from adapterbot.knowledge.calendar.ics import read_calendar
from adapterbot.knowledge.graph.triples import read_triples
from adapterbot.knowledge.passages.index import content_digest, read_passages
from adapterbot.knowledge.passages.readers import passages_of
from adapterbot.knowledge.table.store import LONGEST_ROW, read_table

pytestmark = pytest.mark.skipif(os.name != "posix", reason="devices and pipes")


def rows(path: Path) -> Iterable[Any]:
    return read_table(path, "own")[1]


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "a table": ("own.csv", rows),
    "a calendar": ("own.ics", read_calendar),
    "triples": ("own.tsv", read_triples),
    "triples as CSV": ("own.csv", read_triples),
    "passages": ("own.jsonl", read_passages),
    "added text": ("own.txt", passages_of),
    "added Markdown": ("own.md", passages_of),
    "added JSONL": ("own.jsonl", passages_of),
    "a dump": ("own.xml", passages_of),
    "dialogues": ("own.jsonl", read_dialogues),
    "dialogues as one list": ("own.json", read_dialogues),
}
each = pytest.mark.parametrize(("name", "read"), READERS.values(), ids=READERS)


def refused(read: Callable[[Path], Any], path: Path) -> str:
    """Why it was refused, in less than a second of work."""
    started = time.process_time()
    with pytest.raises(AdapterbotError) as caught:
        list(read(path))
    assert time.process_time() - started < 1
    said = str(caught.value)
    assert said.startswith(str(path))
    assert "\n" not in said
    return said


@each
@pytest.mark.parametrize("kind", ["a device", "a pipe", "a folder"])
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, read: Callable[[Path], Any], kind: str) -> None:
    path = tmp_path / name
    make: dict[str, Callable[[], Any]] = {
        "a device": lambda: path.symlink_to("/dev/zero"),
        "a pipe": lambda: os.mkfifo(path),
        "a folder": path.mkdir,
    }
    make[kind]()
    said = refused(read, path)
    assert "Is a directory" in said if kind == "a folder" else "not a regular file" in said


@each
def test_a_line_of_four_gigabytes_is_refused(tmp_path: Path, name: str, read: Callable[[Path], Any]) -> None:
    path = tmp_path / name
    with path.open("wb") as stream:
        stream.truncate(2**32)
    refused(read, path)


def test_a_packed_line_that_grows_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl.gz"
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(b" " * (17 * 2**20))
    assert "line 1 is longer than 16 MB" in refused(read_dialogues, path)


@pytest.mark.parametrize(("name", "read"), [("own.csv", rows), ("own.csv", read_triples)])
def test_a_row_that_does_not_end_is_refused(tmp_path: Path, name: str, read: Callable[[Path], Any]) -> None:
    path = tmp_path / name
    path.write_text("subject,relation,object\n" + '"a\n",' * (LONGEST_ROW // 4))
    assert "a quote is not closed" in refused(read, path)


def test_a_cell_of_a_database_has_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "own.sqlite3"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE own (name TEXT)")
        database.execute("INSERT INTO own VALUES (zeroblob(100000000))")
    assert "too big" in refused(rows, path)


def test_the_digest_of_a_device_is_not_computed() -> None:
    with pytest.raises(KnowledgeError, match="not a regular file"):
        content_digest(Path("/dev/zero"))


def test_the_forms_that_were_read_before_still_are(tmp_path: Path) -> None:
    """Lines may end as on any system, and a quoted cell may go on in the next line."""
    for end in ("\n", "\r\n", "\r"):
        path = tmp_path / "own.csv"
        path.write_bytes("\ufeff".encode() + f'name,note{end}Lotus,"two{end}lines"{end}{end}Fig,x{end}'.encode())
        header, lines = read_table(path, "own")
        assert header == ["name", "note"]
        assert [[" ".join(cell.split()) for cell in cells] for _, cells in lines] == [
            ["Lotus", "two lines"],
            ["Fig", "x"],
        ]
