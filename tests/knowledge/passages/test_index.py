"""The search index of passages: terms are plain text, the file is a cache, and bad lines are named."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from conversations import THREE, Letters, talk, titles, write
from hypothesis import example, given
from hypothesis import strategies as st

from adapterbot.errors import KnowledgeError
from adapterbot.home import Home
from adapterbot.knowledge.passages.index import Index, read_passages
from adapterbot.knowledge.passages.source import SHIPPED, PassageSource


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Index:
    folder = tmp_path_factory.mktemp("three")
    return Index.open(write(folder / "three.jsonl"), folder)


@given(wanted=st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
@example(wanted=["NEAR", "*", '"', "a\0b", "-", "(", "AND", "_", "😀", ""])
def test_any_term_can_be_searched_for(three: Index, wanted: list[str]) -> None:
    assert len(three.search(wanted, 5)) <= 3


@pytest.mark.parametrize(
    "term", ["title:tea", "te*", "^bread AND", "tea bread", 'tea" OR "bread', "{title} : tea", "NEAR(tea drink)"]
)
def test_a_term_is_never_query_syntax(term: str, three: Index) -> None:
    assert three.search([term], 5) == []
    assert len(three.search([term, "tea"], 5)) == 1


def test_rows_that_match_are_counted_from_the_title(home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", [("Green tea", "A drink."), ("A drink", "Green tea."), *THREE])
    first, second, *_ = Index.open(path, home.knowledge).search(["green"], 5)
    assert (first.passage.title, second.passage.title) == ("Green tea", "A drink")
    assert (first.passage.row, first.marked.replace("\x02", "[").replace("\x03", "]")) == (1, "[Green] tea")
    assert first.bm25 > second.bm25 > 0


def test_the_index_is_built_once_and_opens_quickly(home: Home) -> None:
    Index.open(SHIPPED, home.knowledge)
    (file,) = home.knowledge.iterdir()
    before = file.stat().st_mtime_ns
    passages, times = len(SHIPPED.read_text(encoding="utf-8").splitlines()), []
    for _ in range(5):
        started = time.perf_counter()
        assert Index.open(SHIPPED, home.knowledge).size == passages
        times.append(time.perf_counter() - started)
    assert min(times) < 0.05
    assert [file] == list(home.knowledge.iterdir())
    assert file.stat().st_mtime_ns == before


def test_a_changed_file_is_indexed_again(home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl")
    assert Index.open(path, home.knowledge).search(["rain"], 5)[0].passage.title == "Snow"
    write(path, [("Rain", "Rain is wet."), *THREE])
    assert Index.open(path, home.knowledge).search(["rain"], 5)[0].passage.title == "Rain"
    assert len(list(home.knowledge.iterdir())) == 1


@pytest.mark.parametrize("content", [b"", b"not a database at all, certainly not " * 200])
def test_a_damaged_index_is_built_again(content: bytes, home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl")
    Index.open(path, home.knowledge)
    (file,) = home.knowledge.iterdir()
    file.write_bytes(content)
    assert Index.open(path, home.knowledge).size == 3
    assert Index.open(path, home.knowledge).search(["tea"], 1)[0].passage.title == "Tea"


def test_an_index_damaged_inside_is_named(home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl")
    Index.open(path, home.knowledge)
    (file,) = home.knowledge.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: 4 * 4096] + b"\xff" * (len(content) - 4 * 4096))  # the pages of text
    with pytest.raises(KnowledgeError, match=r"sqlite3: the search index cannot be read \(.*\); remove it"):
        Index.open(path, home.knowledge).search(["tea"], 5)


def test_a_home_that_cannot_be_written_keeps_the_index_in_memory(home: Home, tmp_path: Path) -> None:
    home.root.write_text("a file where the folder should be")
    encoder = Letters()
    source = PassageSource(write(tmp_path / "p.jsonl"), home, encoder)
    assert titles(source.retrieve(talk("tea"))) == ["Tea"]
    encoder.encoded.clear()
    source.retrieve(talk("tea"))
    assert encoder.encoded == ["tea"]
    assert home.root.read_text().startswith("a file")


def test_threads_share_one_source(home: Home) -> None:
    source, found = PassageSource(SHIPPED, home), list[list[str]]()
    wanted = ["Jazz", "Chess", "Tea", "Koala"] * 5
    threads = [
        threading.Thread(target=lambda w=w: found.append([w, *titles(source.retrieve(talk(w)))])) for w in wanted
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted([w, w] for w in wanted)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", r"p\.jsonl:2: not JSON"),
        (b'{"title": "\xff"}', r"p\.jsonl:2: not UTF-8"),
        (b"[]", r"p\.jsonl:2: a passage is an object"),
        (b'{"title": "T", "text": " "}', r"p\.jsonl:2: a passage is an object"),
        (b'{"title": 3, "text": "x"}', r"p\.jsonl:2: a passage is an object"),
        (b"[" * 100_000, r"p\.jsonl:2: not JSON"),
    ],
)
def test_lines_that_are_no_passages(line: bytes, message: str, home: Home, tmp_path: Path) -> None:
    path = write(tmp_path / "p.jsonl", THREE[:1])
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(KnowledgeError, match=message):
        PassageSource(path, home)
    assert not home.knowledge.exists() or list(home.knowledge.iterdir()) == []


def test_files_with_marks_blank_lines_and_odd_characters(home: Home, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"title": "Tea \\ud800", "text": "Hot\\n drink", "more": 1}\r\n\r\n')
    (passage,) = read_passages(path)
    assert (passage.title, passage.text) == ("Tea ?", "Hot drink")
    assert PassageSource(path, home).retrieve(talk("tea"))
    with pytest.raises(KnowledgeError, match="cannot be read"):
        PassageSource(tmp_path / "nosuch.jsonl", home)
    (tmp_path / "empty.jsonl").write_text("")
    assert PassageSource(tmp_path / "empty.jsonl", home).retrieve(talk("tea")) == []
