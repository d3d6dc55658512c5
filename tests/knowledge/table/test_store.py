"""Rows of the user's own: CSV and SQLite files that become a table, and files that are refused."""

from __future__ import annotations

import os
import sqlite3
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
from tables import names, spec, talk, texts

from adapterbot.errors import KnowledgeError, SpecError
from adapterbot.facts import Nothing, Row
from adapterbot.home import Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.table.source import TableSource, table_file

add, remove = TableSource.add, TableSource.remove

HEADER = "name,area,food,pricerange,phone"


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def own(home: Home, name: str = "restaurant") -> TableSource:
    source = open_source(Opening(spec(name, home.root), home))
    assert isinstance(source, TableSource)
    return source


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_file_replaces_the_shipped_table(delimiter: str, home: Home, tmp_path: Path) -> None:
    table = "\ufeffPhone,Name,area,food,pricerange,Note\r\n1,Ti Ann,north,breton,cheap,=HYPERLINK(1)\r\n\r\n"
    table += "2,O'Dell's,south,greek,cheap,"
    told: list[int] = []
    line = add(write(tmp_path / "my.csv", table.replace(",", delimiter)), home, "restaurant", told.append)
    assert line == "2 rows, 6 columns: area, food, name, phone, pricerange, Note"
    assert sum(told) == 2
    first = "area: north, food: breton, name: Ti Ann, phone: 1, pricerange: cheap, Note: =HYPERLINK(1)"
    assert texts(own(home), "any breton food?") == [first]
    assert texts(own(home), "where is odells?") == [
        "area: south, food: greek, name: O'Dell's, phone: 2, pricerange: cheap"
    ]
    assert remove(home, "restaurant") == "removed"
    assert remove(home, "restaurant").startswith("nothing")
    assert texts(own(home), "any breton food?") == ["restaurant: none"]


def test_values_are_never_sql(home: Home, tmp_path: Path) -> None:
    evil = "x'); DROP TABLE row; --"
    add(
        write(tmp_path / "t.csv", f'{HEADER}\n"{evil}",north,"""; DROP TABLE row",cheap,1\nB,south,thai,cheap,2\n'),
        home,
        "restaurant",
    )
    assert len(texts(own(home), f"tell me of {evil}")) == 1
    assert len(texts(own(home), '"; DROP TABLE row in the north')) == 1
    assert names(own(home), "thai") == ["B"]


def test_a_sqlite_file(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with sqlite3.connect(path) as database:
        database.execute('CREATE TABLE "my ""table" (name, area, food, pricerange, seats)')
        database.executemany(
            'INSERT INTO "my ""table" VALUES (?, ?, ?, ?, ?)',
            [("A", "north", "thai", None, 3), ("B", "south", "thai", "cheap", b"x")],
        )
    database.close()
    assert add(path, home, "restaurant").startswith("2 rows, 5 columns")
    assert texts(own(home), "thai in the north") == ["area: north, food: thai, name: A, seats: 3"]
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE other (a)")
    database.close()
    with pytest.raises(KnowledgeError, match="a table 'restaurant' is expected"):
        add(path, home, "restaurant")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", "empty; the first line names the columns"),
        (HEADER, "no rows below the header"),
        ("1,2,3\na,b,c", r":1: column 1 is called '1'"),
        ("name,area,Name\na,b,c", r":1: two columns are called 'Name'"),
        ("name,aera,food,pricerange\na,b,c,d", "the column 'area' is missing; did you mean 'aera'"),
        (f"{HEADER}\na,b,c,d,e\na,b", r"t\.csv:3: 2 cells, but the header has 5"),
        (f"{HEADER}\na,b,c,d,{'e' * 301}", r"t\.csv:2: a cell has 301 characters"),
        (f"{HEADER}\na,b,c,d,e\n".encode() + b"\xff,b,c,d,e", r"not UTF-8"),
        (f'{HEADER}\na,b,c,d,"e', r"t\.csv:2: not CSV"),
        (b"SQLite format 3\0" + b"x" * 200, "not a sound SQLite file"),
    ],
)
def test_bad_files_are_refused_and_change_nothing(
    content: str | bytes, problem: str, home: Home, tmp_path: Path
) -> None:
    add(write(tmp_path / "good.csv", f"{HEADER}\nA,north,thai,cheap,1"), home, "restaurant")
    before = table_file(home, "restaurant").read_bytes()
    with pytest.raises(KnowledgeError, match=problem):
        add(write(tmp_path / "t.csv", content), home, "restaurant")
    assert table_file(home, "restaurant").read_bytes() == before
    assert [p.name for p in table_file(home, "restaurant").parent.iterdir()] == ["restaurant.sqlite3"]


def test_what_is_not_there_or_damaged_is_named(home: Home, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="cannot be read"):
        add(tmp_path / "gone.csv", home, "restaurant")
    with pytest.raises(KnowledgeError, match=r"'bakery' has no table: adapterbot knowledge add bakery"):
        own(home, "bakery")
    with pytest.raises(SpecError):
        add(tmp_path / "t.csv", home, "../outside")
    target = table_file(home, "restaurant")
    target.parent.mkdir(parents=True)
    write(target, b"SQLite format 3\0 and no more")
    with pytest.raises(KnowledgeError, match="is damaged"):
        own(home)
    target.unlink()
    os.symlink(write(tmp_path / "elsewhere", "x"), target)
    with pytest.raises(KnowledgeError, match="leads out"):
        own(home)


def test_a_skill_of_ones_own_has_its_table_beside_it(home: Home, tmp_path: Path) -> None:
    write(tmp_path / "bread.csv", "name,grain\nMiche,rye\nBoule,wheat")
    source = open_source(Opening(spec("bakery", tmp_path, file="bread.csv"), home))
    (fact,) = source.retrieve(talk("something with rye"))
    assert isinstance(fact, Row)
    assert (fact.table, fact.key, fact.cells) == ("bakery", "Miche", (("name", "Miche"), ("grain", "rye")))
    assert fact.line == "name: Miche, grain: rye"


def test_a_large_table_is_imported_in_bounded_memory_and_asked_fast(home: Home, tmp_path: Path) -> None:
    path, foods = tmp_path / "large.csv", ("thai", "greek", "french", "korean")

    def lines() -> Iterator[str]:
        yield HEADER + "\n"
        for i in range(60_000):
            area = ("north", "south")[i % 2]
            yield f"Place number {i},{area},{foods[i % 4]},{('cheap', 'expensive')[i % 3 == 0]},{i}\n"

    with path.open("w", encoding="utf-8") as stream:
        stream.writelines(lines())
    tracemalloc.start()
    add(path, home, "restaurant")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 24 * 2**20
    source = own(home)
    said = ("cheap thai in the north", "greek food in the north", "tell me about place number 59999")
    started = time.perf_counter()
    found = [source.retrieve(talk(text)) for text in said]
    assert time.perf_counter() - started < 1.0  # three turns; some milliseconds each on an idle machine
    assert "more than 1,000 for" in found[0][0].heading
    assert [(type(f), f.line) for f in found[1]] == [(Nothing, "restaurant: none")]
    assert found[2][0].names == ("Place number 59999",)
