"""A user's own passages: added, replaced, removed, found beside ours, and never half-written."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conversations import Letters, skill, talk, titles, write

from adapterbot.errors import KnowledgeError
from adapterbot.home import STALE, Home
from adapterbot.knowledge import Opening, open_source
from adapterbot.knowledge.passages import index as index_module
from adapterbot.knowledge.passages.added import NAME, OwnIndex, OwnPassages
from adapterbot.knowledge.passages.source import PassageSource

add, remove = PassageSource.add, PassageSource.remove

FERRY = "The ferry to Orla leaves at nine. A ferry ticket costs two euros. Bring a coat."


def text(path: Path, content: str = FERRY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def opened(home: Home) -> OwnIndex:
    index = OwnPassages(home).index()
    assert index is not None
    return index


def texts(home: Home, *terms: str) -> list[str]:
    return [hit.passage.text for hit in opened(home).search(terms, 20)]


@pytest.fixture
def source(home: Home, tmp_path: Path) -> PassageSource:
    """The shipped passages and the user's, ranked by bm25 alone."""
    found = open_source(Opening(skill(tmp_path, source="passages", limit=1), home))
    assert isinstance(found, PassageSource)
    return found


# -- finding ----------------------------------------------------------------------------------------------------------


def test_added_passages_are_found_beside_ours_at_once(source: PassageSource, home: Home, tmp_path: Path) -> None:
    question = talk("What does a ticket for the Orla ferry cost?")
    assert "Orla" not in str(source.retrieve(question))
    assert add(text(tmp_path / "island_guide.txt"), home, "passages") == "1 passage from island_guide.txt"
    (fact,) = source.retrieve(question)
    assert (fact.heading, fact.source, fact.note) == ("island guide", "passages", "island_guide.txt")
    assert fact.line == "A ferry ticket costs two euros. Bring a coat."
    (fact,) = source.retrieve(talk("Tell me something about jazz."))
    assert (fact.heading, fact.source) == ("Jazz", "passages")
    assert remove(home, "passages") == "removed"
    assert "Orla" not in str(source.retrieve(question))
    assert remove(home, "passages").startswith("nothing")
    assert OwnPassages(home).index() is None


def test_both_are_ranked_by_one_score(home: Home, tmp_path: Path) -> None:
    ours = write(tmp_path / "ours.jsonl", [("Aaa", "zebra zzzz zzzz"), ("Ccc", "zebra cccc")])
    add(write(tmp_path / "mine.jsonl", [("Bbb", "zebra bbbb rrrr"), ("Ddd", "zebra dddd")]), home, "passages")
    encoder = Letters()
    source = PassageSource(ours, home, encoder, limit=4, threshold=-1.0, own=OwnPassages(home))
    assert titles(source.retrieve(talk("zebra berber")))[0] == "Bbb"
    assert titles(source.retrieve(talk("zebra zzz")))[0] == "Aaa"
    assert encoder.encoded.count("zebra zzz") == 1
    assert len(encoder.encoded) == len(set(encoder.encoded)) == 4 + 2  # each passage once, and the messages


def test_a_skills_own_file_stands_alone(home: Home, tmp_path: Path) -> None:
    add(text(tmp_path / "guide.txt"), home, "passages")
    write(tmp_path / "own.jsonl")
    found = open_source(Opening(skill(tmp_path, source="passages", file="own.jsonl", threshold=0.0), home))
    assert found.retrieve(talk("the ferry to Orla")) == []


def test_markup_in_a_passage_is_plain_text(source: PassageSource, home: Home, tmp_path: Path) -> None:
    line = {
        "title": "Zorbing <img src=x onerror=go()>",
        "text": "<script>go()</script>Zorbing is <b>rolling</b> downhill.",
    }
    add(text(tmp_path / "<b>.jsonl", json.dumps(line)), home, "passages")
    (fact,) = source.retrieve(talk("what is zorbing"))
    assert (fact.heading, fact.line) == ("Zorbing", "Zorbing is rolling downhill.")


# -- adding -----------------------------------------------------------------------------------------------------------


def test_files_add_up_and_the_same_file_replaces_its_own(home: Home, tmp_path: Path) -> None:
    guide, notes = text(tmp_path / "guide.txt"), text(tmp_path / "b" / "guide.txt", "Orla has a lighthouse.")
    told = list[int]()
    add(guide, home, "passages", told.append)
    assert told == [1]
    assert add(notes, home, "passages") == "1 passage from guide.txt, 2 in all"
    text(guide, "The ferry to Orla was sold.")
    assert add(guide, home, "passages") == "1 passage from guide.txt, 2 in all"
    assert sorted(texts(home, "orla")) == ["Orla has a lighthouse.", "The ferry to Orla was sold."]
    add(text(tmp_path / "copy.md", "Orla has a lighthouse."), home, "passages")  # the same content
    index = opened(home)
    assert {index.file_name(hit.passage.row) for hit in index.search(["orla"], 9)} == {"guide.txt", "copy.md"}
    assert index.size == 2


def test_a_folder_is_replaced_as_a_whole(home: Home, tmp_path: Path) -> None:
    folder = tmp_path / "texts"
    for name in ("a.txt", "sub/b.md", "same.txt"):
        text(folder / name, "Orla one." if name == "same.txt" else f"Orla {name}.")
    text(folder / "twin.txt", "Orla one.")
    text(folder / "empty.txt", "")
    text(tmp_path / "texts.txt", "Orla beside.")
    add(tmp_path / "texts.txt", home, "passages")
    assert add(folder, home, "passages") == "3 passages from 5 files, 4 in all"
    (folder / "a.txt").unlink()
    add(folder, home, "passages")
    assert sorted(texts(home, "orla")) == ["Orla beside.", "Orla one.", "Orla sub/b.md."]


def test_replaced_passages_take_their_vectors_with_them(home: Home, tmp_path: Path) -> None:
    guide = text(tmp_path / "guide.txt")
    add(text(tmp_path / "other.txt", "Another text."), home, "passages")
    add(guide, home, "passages")
    opened(home).put_vectors("e", {1: b"first", 2: b"second"})
    add(text(guide, "New."), home, "passages")
    assert opened(home).vectors("e", [1, 2]) == {1: b"first"}


def test_vectors_are_bounded(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "KEPT", 100)
    add(text(tmp_path / "guide.txt"), home, "passages")
    index = opened(home)
    for start in range(0, 1000, 20):
        index.put_vectors("e", dict.fromkeys(range(start, start + 20), b"row"))
    assert sorted(index.vectors("e", range(1000))) == list(range(900, 1000))


# -- what goes wrong --------------------------------------------------------------------------------------------------


def snapshot(home: Home) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.knowledge.iterdir()} if home.knowledge.exists() else {}


@pytest.fixture
def before(home: Home, tmp_path: Path) -> Iterator[dict[str, bytes]]:
    """What is there before something goes wrong; it has to be the same afterwards."""
    add(text(tmp_path / "first.txt"), home, "passages")
    kept = snapshot(home)
    yield kept
    assert snapshot(home) == kept
    assert list(kept) == [NAME]


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", r"a\.txt: holds no text"),
        ("a.md", b"# Only a heading", r"a\.md: holds no text"),
        ("a.jsonl", b'{"title": "T", "text": "x"}\n' * 3000 + b"{", r"a\.jsonl:3001: not JSON"),
        ("a.pdf", b"%PDF", "the name has to end in one of"),
        ("folder/a.txt", b"n\xe9", r"a\.txt:1: not UTF-8 \(byte 1\)"),
    ],
)
def test_a_bad_file_changes_nothing(name: str, content: bytes, message: str, home: Home, tmp_path: Path) -> None:
    text(tmp_path / name, "")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(KnowledgeError, match=message):
        add(tmp_path / Path(name).parts[0], home, "passages")


@pytest.mark.usefixtures("before")
def test_an_interrupted_import_changes_nothing(home: Home, tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        add(text(tmp_path / "a.txt", "Something new."), home, "passages", interrupt)


@pytest.mark.usefixtures("before")
def test_a_full_disk_changes_nothing(home: Home, tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    path = text(tmp_path / "a.txt", " ".join(f"Word{i} is new here." for i in range(40_000)))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, limits[1]))  # no file may grow beyond this
    try:
        with pytest.raises(KnowledgeError, match=r"passages\.sqlite3: cannot be written .*the passages are as before"):
            add(path, home, "passages")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("before")
def test_two_imports_at_once_do_not_lose_one(home: Home, tmp_path: Path) -> None:
    def another(done: int) -> None:
        os.replace(home.knowledge / NAME, tmp_path / "kept")
        (home.knowledge / NAME).write_bytes((tmp_path / "kept").read_bytes())

    with pytest.raises(KnowledgeError, match=r"another import changed it meanwhile; add .*a\.txt again"):
        add(text(tmp_path / "a.txt", "Something new."), home, "passages", another)


def test_a_home_that_cannot_be_written_is_named(home: Home, tmp_path: Path) -> None:
    home.root.write_text("a file where the folder should be")
    with pytest.raises(KnowledgeError, match="cannot be written"):
        add(text(tmp_path / "a.txt"), home, "passages")


@pytest.mark.parametrize("content", [b"", b"not a database at all " * 400])
def test_a_damaged_index_is_named_and_can_be_removed(content: bytes, home: Home, tmp_path: Path) -> None:
    add(text(tmp_path / "a.txt"), home, "passages")
    (home.knowledge / NAME).write_bytes(content)
    for use in (lambda: OwnPassages(home).index(), lambda: add(tmp_path / "a.txt", home, "passages")):
        with pytest.raises(KnowledgeError, match=r"passages\.sqlite3: .*`adapterbot knowledge rm passages` and add"):
            use()
    assert remove(home, "passages") == "removed"
    add(tmp_path / "a.txt", home, "passages")
    assert opened(home).size == 1


def test_what_a_killed_import_left_is_swept_after_an_hour(home: Home, tmp_path: Path) -> None:
    home.knowledge.mkdir(parents=True)
    old, new = home.knowledge / f".{NAME}.oldoldol.part", home.knowledge / f".{NAME}.newnewne.part"
    for left in (old, new):
        left.write_text("half")
    os.utime(old, (time.time() - STALE - 60,) * 2)
    add(text(tmp_path / "a.txt"), home, "passages")
    assert not old.exists()
    assert new.exists()


# -- many -------------------------------------------------------------------------------------------------------------


def random_passages(count: int, words: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Titles and texts of random words; word N is the rarer the larger N is (Zipf)."""
    draw = random.Random(seed)
    names = [f"w{i}" for i in range(words)]
    weights = [1 / (i + 2.7) for i in range(words)]
    for _ in range(count):
        title, *rest = (draw.choices(names, weights, k=k) for k in (2, draw.randint(20, 60)))
        yield " ".join(title), " ".join(rest[0]) + "."


def test_a_bounded_search_finds_what_the_whole_one_finds(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(write(tmp_path / "many.jsonl", list(random_passages(3000, 5000))), home, "passages")
    index = opened(home)
    asked = [["w2", "w700"], ["w900", "w40", "w41"], ["w5", "w60", "w300", "w2000"], ["w1500"], ["w400"]]
    whole = [index.search(terms, 5) for terms in asked]
    monkeypatch.setattr(index_module, "RANKED", 100)
    monkeypatch.setattr(index_module, "SCANNED", 2500)
    for terms, expected in zip(asked, whole, strict=True):
        assert index.search(terms, 5) == expected, terms
    for frequent in (["w0"], ["w0", "w1"], ["w0", "w1", "w2", "nosuch"]):
        assert 1 <= len(index.search(frequent, 5)) <= 5
    assert index.search(["nosuch", "_", ""], 5) == index.search([], 5) == []


@pytest.mark.skipif(not os.environ.get("ADAPTERBOT_MILLION"), reason="takes minutes; set ADAPTERBOT_MILLION=1")
def test_a_million_passages(home: Home, tmp_path: Path) -> None:
    """Import in minutes, and 95 of 100 searches in less than 50 ms of processor time."""
    path = tmp_path / "million.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for title, content in random_passages(1_000_000, 300_000):
            stream.write(json.dumps({"title": title, "text": content}) + "\n")
    started = time.process_time()
    add(path, home, "passages")
    assert time.process_time() - started < 600
    index, draw, times = opened(home), random.Random(1), list[float]()
    assert index.size == 1_000_000
    for _ in range(200):
        terms = [f"w{int(100 * 3000 ** draw.random())}" for _ in range(draw.randint(1, 7))]
        started = time.process_time()
        index.search(terms, 20)
        times.append(time.process_time() - started)
    assert sorted(times)[190] < 0.05
