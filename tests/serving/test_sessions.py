"""The bot's own API: the whole Reply, and sessions that belong to the key that began them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from conftest import essence
from servers import serving

from adapterbot.bot import Bot
from adapterbot.home import Home
from adapterbot.storage.conversations import Store
from adapterbot.storage.keys import KeyStore

SHORT: dict[str, Any] = {"skill": "chitchat", "max_tokens": 4, "drafts": 1, "seed": 1}


@pytest.fixture
def people(tiny_bot: Bot, home: Home) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Two people with a key each, at one server."""
    store = KeyStore(home.database)
    keys = [store.new(name) for name in ("anna", "ben")]
    with serving(tiny_bot, store) as address:
        clients = [
            httpx.Client(base_url=address, headers={"authorization": f"Bearer {key}"}, timeout=60) for key in keys
        ]
        yield clients[0], clients[1]
        for client in clients:
            client.close()


def events(text: str) -> list[dict[str, Any]]:
    """The data of server-sent events."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


def test_respond_gives_the_whole_reply(web: httpx.Client, shared_bot: Bot) -> None:
    body = {"message": "And you?", "history": [["Hi!", "Hello."]], "facts": ["I have a dog."]} | SHORT
    answer = web.post("/v1/respond", json=body | {"skill": "persona"})
    assert answer.status_code == 200, answer.text
    same = shared_bot.respond("And you?", [["Hi!", "Hello."]], facts=["I have a dog."], **SHORT | {"skill": "persona"})
    got = answer.json()
    del got["timings"], got["cached_tokens"]
    assert got == json.loads(json.dumps(essence(same)))
    *pieces, last = events(web.post("/v1/respond", json=body | {"skill": "persona", "stream": True}).text)
    assert {piece["type"] for piece in pieces} == {"piece"}
    assert "".join(piece["text"] for piece in pieces) == same.text
    assert last["reply"]["text"] == same.text


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({}, 400, "message"),
        ({"message": 1}, 400, "message"),
        ({"message": ""}, 400, "empty"),
        ({"message": "Hi", "skil": "wiki"}, 400, "skil"),
        ({"message": "Hi", "skill": "wikki"}, 404, "did you mean"),
        ({"message": "Hi", "skill": "../../etc/passwd"}, 404, "unknown skill"),
        ({"message": "Hi", "temperature": -1}, 400, "temperature"),
        ({"message": "Hi", "max_tokens": 10**9}, 400, "max_tokens"),
        ({"message": "Hi", "history": [1]}, 400, "history"),
        ({"message": "Hi", "history": "Hi"}, 400, "history"),
        ({"message": "Hi", "history": [["a", "b"]] * 5000}, 400, "history"),
        ({"message": "Hi", "facts": [1]}, 400, "facts"),
        ({"message": "Hi", "region": "Atlantis"}, 400, "region"),
    ],
)
def test_what_cannot_be_answered(web: httpx.Client, body: dict[str, Any], status: int, said: str) -> None:
    answer = web.post("/v1/respond", json=body)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]["message"]


def test_skills_are_listed_with_what_keeps_them_from_answering(web: httpx.Client, shared_bot: Bot) -> None:
    listed = {skill["name"]: skill for skill in web.get("/v1/skills").json()["skills"]}
    assert listed.keys() == shared_bot.specs.keys()
    assert all(bool(skill["problem"]) != skill["answers"] for skill in listed.values())


def test_a_session_remembers_and_is_written_before_it_is_answered(
    people: tuple[httpx.Client, httpx.Client], home: Home
) -> None:
    anna, _ = people
    made = anna.post("/v1/sessions")
    assert made.status_code == 201
    id = made.json()["id"]
    assert anna.get(f"/v1/sessions/{id}/turns").json()["turns"] == []
    first = anna.post(f"/v1/sessions/{id}/turns", json={"message": "Hello"} | SHORT).json()
    assert Store(home.database).history(id).texts == ("Hello", first["text"])
    second = events(anna.post(f"/v1/sessions/{id}/turns", json={"message": "And?", "stream": True} | SHORT).text)[-1]
    said = [turn["text"] for turn in second["reply"]["history"]]
    assert said == ["Hello", first["text"], "And?", second["reply"]["text"]]
    turns = anna.get(f"/v1/sessions/{id}/turns").json()["turns"]
    assert [(turn["number"], turn["message"]) for turn in turns] == [(0, "Hello"), (1, "And?")]
    assert [turn["number"] for turn in anna.get(f"/v1/sessions/{id}/turns?most=1").json()["turns"]] == [1]
    assert [turn["number"] for turn in anna.get(f"/v1/sessions/{id}/turns?before=1").json()["turns"]] == [0]
    (listed,) = anna.get("/v1/sessions").json()["sessions"]
    assert (listed["id"], listed["turns"], listed["title"]) == (id, 2, "Hello")
    exported = anna.get(f"/v1/sessions/{id}/export")
    assert [turn["message"] for turn in exported.json()["turns"]] == ["Hello", "And?"]
    assert "attachment" in exported.headers["content-disposition"]
    assert anna.delete(f"/v1/sessions/{id}").json() == {"id": id, "deleted": True}
    assert anna.get(f"/v1/sessions/{id}/turns").status_code == 404
    assert anna.get("/v1/sessions").json()["sessions"] == []


def test_no_other_key_reads_lists_or_guesses_a_session(people: tuple[httpx.Client, httpx.Client]) -> None:
    anna, ben = people
    id = anna.post("/v1/sessions").json()["id"]
    anna.post(f"/v1/sessions/{id}/turns", json={"message": "My secret"} | SHORT)
    assert ben.get("/v1/sessions").json()["sessions"] == []
    paths = [("GET", "turns"), ("POST", "turns"), ("GET", "export"), ("DELETE", "")]
    for method, end in paths:
        body = {"message": "Hi"} | SHORT if method == "POST" else None
        answers = [
            ben.request(method, f"/v1/sessions/{session}/{end}".rstrip("/"), json=body)
            for session in (id, "no-such-one")
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        first, second = (answer.json()["error"]["message"] for answer in answers)
        assert first.replace(id, "X") == second.replace("no-such-one", "X"), "nothing tells that it is there"
    assert len(anna.get(f"/v1/sessions/{id}/turns").json()["turns"]) == 1


def test_sessions_of_the_command_line_are_not_served(people: tuple[httpx.Client, httpx.Client], tiny_bot: Bot) -> None:
    tiny_bot.session("mine").respond("Hello", **SHORT)
    for client in people:
        assert client.get("/v1/sessions/mine/turns").status_code == 404


@pytest.mark.parametrize("id", ["a%20b", "..%2F..%2Fetc%2Fpasswd", "x" * 101, "a%00b", "%27%20OR%201=1"])
def test_an_id_that_no_session_can_have(people: tuple[httpx.Client, httpx.Client], id: str) -> None:
    answer = people[0].get(f"/v1/sessions/{id}/turns")
    assert answer.status_code in (400, 404)
    assert answer.json()["error"]["message"]


def test_messages_of_a_session_at_the_same_time_stay_in_order(
    people: tuple[httpx.Client, httpx.Client], home: Home
) -> None:
    anna, ben = people
    ids = {client: client.post("/v1/sessions").json()["id"] for client in people}

    def ask(number: int) -> tuple[int, str]:
        client = (anna, ben)[number % 2]
        body = {"message": f"message {number}", "stream": number % 3 == 0} | SHORT | {"seed": number}
        answer = client.post(f"/v1/sessions/{ids[client]}/turns", json=body)
        assert answer.status_code == 200, answer.text
        return number, events(answer.text)[-1]["reply"]["text"] if body["stream"] else answer.json()["text"]

    with ThreadPoolExecutor(8) as pool:
        replies = dict(pool.map(ask, range(12)))
    for client in people:
        texts = Store(home.database).history(ids[client]).texts
        assert len(texts) == 12
        for message, reply in zip(texts[::2], texts[1::2], strict=True):
            assert reply == replies[int(message.split()[1])]


def test_a_broken_store_costs_a_warning_not_the_reply(
    people: tuple[httpx.Client, httpx.Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    from adapterbot.errors import StoreError

    anna, _ = people
    id = anna.post("/v1/sessions").json()["id"]

    def full(*_: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Store, "append", full)
    answer = anna.post(f"/v1/sessions/{id}/turns", json={"message": "Hello"} | SHORT)
    assert answer.status_code == 200
    assert answer.json()["warnings"] == ["this exchange was not saved: the disk is full"]
