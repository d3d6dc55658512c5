"""files and file_routes: what a file becomes, how it is taken in and removed, and who may."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest
from fastapi import FastAPI
from own_files import EVENTS, NOTES, RESTAURANTS, TAKEN, TRIPLES
from starlette.testclient import TestClient

from adapterbot.bot import Bot
from adapterbot.errors import AdapterbotError, InputError
from adapterbot.facts import Passage
from adapterbot.history import History
from adapterbot.knowledge.passages.added import OwnPassages
from adapterbot.ui import file_routes, files, words
from adapterbot.ui.files import Files, Own


@pytest.fixture
def own(tiny_bot: Bot) -> Files:
    return Files(tiny_bot)


def added(own: Files, name: str, kind: str = "") -> str:
    content, becomes, _ = TAKEN[name]
    return own.add(name, kind or becomes, content.encode(), lambda count: None)[0]


@pytest.mark.parametrize("name", TAKEN)
def test_a_file_says_what_it_becomes_is_taken_in_and_removed(own: Files, name: str) -> None:
    content, becomes, question = TAKEN[name]
    assert own.becomes(name, content.encode())[0].name == becomes
    assert own.add(name, becomes, content.encode(), lambda count: None)[1] == question
    (there,) = own.own()
    assert there.name == becomes
    assert not list((own._bot.home.root / files.FOLDER).iterdir()), "the file itself does not stay"
    own.remove(there.name, there.file)
    assert own.own() == []


def test_what_was_added_is_what_the_open_bot_answers_from(own: Files, tiny_bot: Bot) -> None:
    asked = History().add_user("Who is Ben Vogel married to?")

    def lines() -> list[str]:
        return [fact.line for fact in tiny_bot.source("graph").retrieve(asked)]

    before = lines()
    added(own, "people.tsv")
    assert lines() == [TRIPLES.strip()] != before
    own.remove("graph")
    assert lines() == before


def test_of_several_texts_each_is_listed_and_removed_by_itself(own: Files, tiny_bot: Bot) -> None:
    added(own, "notes.md")
    added(own, "Quellmar.TXT")
    added(own, "notes.md")  # once more: in place of itself
    assert sorted(each.file for each in own.own()) == ["Quellmar.TXT", "notes.md"]
    own.remove("passages", "notes.md")
    assert own.own() == [Own("passages", "1 passage", "Quellmar.TXT")]
    assert OwnPassages(tiny_bot.home).index() is not None


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("song.mp3", b"ID3", r"song\.mp3: files that end in \.csv"),
        ("notes", b"text", r"notes: files that end in"),
        ("empty.md", b" \n", "empty.md: the file is empty"),
        ("picture.txt", b"\x89PNG\0\0", "picture.txt: not a text file"),
        ("prices.csv", b"name,price\nA,1\n", r"prices.csv: its columns \(name, price\) .* it lacks "),
        ("odd.csv", b"1,2,3,4\n", r"^odd.csv:1: column 1 is called '1'"),
    ],
)
def test_a_foreign_file_is_refused_by_name_before_it_is_sent(own: Files, name: str, content: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said):
        own.becomes(name, content)


@pytest.mark.parametrize(
    ("name", "kind", "content", "said"),
    [
        ("broken.ics", "calendar", b"BEGIN:VCALENDAR\nhello", r"^broken\.ics"),
        ("bytes.txt", "passages", b"caf\xe9 au lait\n", r"^bytes\.txt:1: not UTF-8"),
        ("short.csv", "restaurant", RESTAURANTS.encode() + b"one cell\n", r"^short\.csv:3: 1 cells"),
        ("two.tsv", "graph", b"only\ttwo\n", r"^two\.tsv:1"),
        ("mine.ics", "weather", EVENTS.encode(), "unknown knowledge 'weather'"),
    ],
)
def test_a_corrupt_file_is_refused_by_name_and_changes_nothing(
    own: Files, name: str, kind: str, content: bytes, said: str
) -> None:
    added(own, "places.csv")
    before = own.own()
    with pytest.raises(AdapterbotError, match=said):
        own.add(name, kind, content, lambda count: None)
    assert own.own() == before


@pytest.mark.parametrize("name", ["../../evil.md", "/etc/passwd.md", "..\\..\\evil.md", "a\0b.md", "x" * 300 + ".md"])
def test_a_name_leads_nowhere_else(own: Files, name: str, tiny_bot: Bot) -> None:
    own.add(name, "passages", NOTES.encode(), lambda count: None)
    (there,) = own.own()
    assert "/" not in there.file
    assert not list(tiny_bot.home.root.parent.glob("*.md"))


def test_files_are_bounded_in_number_and_added_one_at_a_time(own: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    added(own, "notes.md")
    with own._lock, pytest.raises(InputError, match="another file is being added"):
        added(own, "people.tsv")
    monkeypatch.setattr(files, "MOST_FILES", 1)
    with pytest.raises(InputError, match="1 files are there already"):
        added(own, "Quellmar.TXT")


@pytest.fixture
def routes(own: Files) -> Iterator[FastAPI]:
    app = FastAPI()
    file_routes.add_file_routes(app, own)
    yield app
    asyncio.run(asyncio.sleep(0))


def asking(routes: FastAPI, address: str = "127.0.0.1") -> TestClient:
    return TestClient(routes, client=(address, 50000))


def test_the_page_is_told_what_a_file_becomes_and_how_far_it_is(routes: FastAPI) -> None:
    client = asking(routes)
    rows = RESTAURANTS + "".join(f"Place {i},north,greek,555-{i},cheap\n" for i in range(6_000))
    looked = client.post("/own/look", params={"name": "places.csv"}, content=RESTAURANTS)
    assert looked.json()["becomes"][0]["name"] == "restaurant"
    answer = client.post("/own/add", params={"name": "places.csv", "kind": "restaurant"}, content=rows)
    *counts, last = map(json.loads, answer.text.splitlines())
    assert last["done"].startswith("places.csv: 6,001 rows")
    assert all(set(count) == {"count"} for count in counts)


@pytest.mark.parametrize("address", ["192.0.2.7", "testclient", "::ffff:192.0.2.7"])
def test_nobody_adds_a_file_from_another_machine(routes: FastAPI, address: str, own: Files) -> None:
    client = asking(routes, address)
    for path in ("look", "add"):
        answer = client.post(f"/own/{path}", params={"name": "a.md", "kind": "passages"}, content=NOTES)
        assert json.loads(answer.text)["refused"] == words.ONLY_HERE
    assert own.own() == []


def test_a_large_file_is_refused_before_it_is_read(routes: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_routes, "MOST_BYTES", 2**20)
    answer = asking(routes).post("/own/add", params={"name": "a.md", "kind": "passages"}, content=b"x" * (2**20 + 1))
    assert json.loads(answer.text)["refused"] == "a.md: larger than the 1 MB that are taken"


def test_a_passage_of_ones_own_is_found(own: Files, tiny_bot: Bot) -> None:
    added(own, "notes.md")
    facts = tiny_bot.source("wiki").retrieve(History().add_user("How long is the Quellmar?"))
    assert any(isinstance(fact, Passage) and "240 km" in fact.text for fact in facts)
