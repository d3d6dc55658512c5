"""The conversations of an owner: listed, searched, renamed, deleted and brought back, and nobody else's."""

from __future__ import annotations

import pytest

from adapterbot.errors import InputError, UnknownNameError
from adapterbot.storage import conversations as store
from adapterbot.storage import owners
from adapterbot.storage.conversations import Store
from adapterbot.turn import Reply

REPLY = Reply("Hello there.", "wiki")


@pytest.fixture
def kept(place: str) -> Store:
    return Store(place)


def begin(kept: Store, owner: str, *messages: str) -> str:
    id = kept.of(owner).new_id()
    kept.of(owner).begin(id, messages[0])
    for message in messages:
        kept.append(id, message, REPLY)
    return id


def test_the_list_is_the_owners_own_newest_first(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "now", lambda: "2026-01-01T00:00:00.000+00:00")
    first = begin(kept, "anna", "Tell me about jazz.", "And swing?")
    monkeypatch.setattr(store, "now", lambda: "2026-01-02T00:00:00.000+00:00")
    second = begin(kept, "anna", "x" * 200)
    begin(kept, "ben", "Mine.")
    listed = kept.of("anna").list()
    assert [(c.id, c.turns) for c in listed] == [(second, 1), (first, 2)]
    assert listed[1].title == "Tell me about jazz."
    assert len(listed[0].title) == owners.TITLE
    assert kept.of("carl").list() == []


def test_a_conversation_without_turns_is_not_listed(kept: Store) -> None:
    kept.of("anna").begin("x", "hm")
    assert kept.of("anna").list() == []


@pytest.mark.parametrize(("words", "found"), [("JAZZ", 1), ("swing jazz", 1), ("swing tango", 0), ("%", 0), ("", 1)])
def test_search_looks_at_titles_and_at_what_was_said(kept: Store, words: str, found: int) -> None:
    begin(kept, "anna", "Tell me about jazz.", "And swing?")
    assert len(kept.of("anna").list(words)) == found


def test_rename(kept: Store) -> None:
    id = begin(kept, "anna", "hi")
    kept.of("anna").rename(id, "  About\n music ")
    kept.of("anna").rename(id, "   ")
    assert kept.of("anna").title(id) == "About music"
    assert kept.sessions()[0].title == "About music"


def test_what_is_deleted_can_be_brought_back_for_an_hour(kept: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    id = begin(kept, "anna", "hi")
    mine = kept.of("anna")
    mine.delete(id)
    assert (mine.list(), kept.sessions()) == ([], [])
    mine.restore(id)
    assert [c.id for c in mine.list()] == [id]
    monkeypatch.setattr(store, "now", lambda: "2020-01-01T00:00:00.000+00:00")
    kept.of("anna").delete(id)
    with pytest.raises(UnknownNameError):
        mine.restore(id)
    assert len(kept.history(id)) == 0


def test_nobody_elses_can_be_named(kept: Store) -> None:
    id = begin(kept, "anna", "hi")
    other = kept.of("ben")
    for call in (other.title, other.delete, other.restore, lambda id: other.rename(id, "mine")):
        with pytest.raises(UnknownNameError, match="unknown conversation"):
            call(id)
    assert kept.of("anna").title(id) == "hi"
    with pytest.raises(InputError):
        kept.of("../anna")
