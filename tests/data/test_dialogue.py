"""The dialogue form: what is read, and that every fault is named with its file and line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from adapterbot.data.dialogue import Dialogue, DialogueTurn, in_validation, parse, read_dialogues
from adapterbot.errors import DataError
from adapterbot.home import DATA

TURNS = [{"speaker": "user", "text": "Hi!"}, {"speaker": "system", "text": "Hello.", "knowledge": ["a fact"]}]
ORIGINAL = {"meta": ["I have a cat."], "dialogue": [["Hi!", "Hello."], ["Any pets?", "A cat."]], "id": 7}


def line(**changes: Any) -> str:
    return json.dumps({"id": "d1", "turns": TURNS} | changes)


def test_a_dialogue_is_read_whole() -> None:
    found = parse({"id": 5, "turns": TURNS, "context": ["c"], "domain": "weather", "label": "sad"})
    turns = (DialogueTurn("user", "Hi!"), DialogueTurn("system", "Hello.", ("a fact",)))
    assert found == Dialogue("5", turns, ("c",), "weather", "sad")


def test_other_names_of_the_bot_and_missing_ids_are_understood() -> None:
    for name in ("system", "bot", "assistant"):
        assert parse({"turns": [{"speaker": name, "text": "a"}]}).turns[0].speaker == "system"
    assert parse({"turns": TURNS}, "talk-3").id == "talk-3"
    assert parse({"id": None, "turns": TURNS}, "talk-3").id == "talk-3"


def test_the_originals_form_is_read() -> None:
    found = parse(ORIGINAL)
    assert [(t.speaker, t.text) for t in found.turns] == [
        ("user", "Hi!"),
        ("system", "Hello."),
        ("user", "Any pets?"),
        ("system", "A cat."),
    ]
    assert (found.id, found.context) == ("7", ("I have a cat.",))
    assert len(parse({"dialogue": [["Hi!", "Hello."], ["Bye.", ""]]}).turns) == 3


MESSAGES = {
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Any pets?"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "cat"},
        {"role": "assistant", "content": "A cat."},
    ]
}
SHARED = {
    "id": "s1",
    "conversations": [
        {"from": "system", "value": "Be brief."},
        {"from": "human", "value": "Any pets?"},
        {"from": "gpt", "value": "A cat."},
    ],
}


@pytest.mark.parametrize("item", [MESSAGES, SHARED], ids=["OpenAI", "ShareGPT"])
def test_forms_of_other_programs_are_read_without_instructions_and_tools(item: dict[str, object]) -> None:
    found = parse(item, "talk-1")
    assert [(t.speaker, t.text) for t in found.turns] == [("user", "Any pets?"), ("system", "A cat.")]
    assert found.id == item.get("id", "talk-1")
    assert found.context == ()


@pytest.mark.parametrize("head", ["", "message,reply\n", "Prompt,Completion\n"])
@pytest.mark.parametrize("name", ["talk.csv", "talk.csv.gz"])
def test_a_csv_file_has_a_message_and_its_reply_in_each_row(tmp_path: Path, name: str, head: str) -> None:
    raw = f'{head}Any pets?,"A cat, and\na ""dog""."\n\nReply?,Yes.\n'.encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    found = list(read_dialogues(tmp_path / name))
    assert [d.texts for d in found] == [("Any pets?", 'A cat, and\na "dog".'), ("Reply?", "Yes.")]
    assert {t.speaker for d in found for t in d.turns} == {"user", "system"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Hi!,Hello.\nHi!\n", r"talk\.csv:2: a line has two cells, a message and its reply: \['Hi!'\]"),
        ("a,b,c\n", r"talk\.csv:1: a line has two cells"),
        ("Hi!,\n", r"talk\.csv:1: a line has two cells"),
        ('Hi!,"Hello.\n', r"talk\.csv:\d: not CSV"),
        ("Hi!,caf\xe9\n", r"talk\.csv: not UTF-8 \(byte 7\)"),
    ],
)
def test_a_csv_file_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "talk.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        list(read_dialogues(tmp_path / "talk.csv"))


@pytest.mark.parametrize("name", ["talk.jsonl", "talk.jsonl.gz", "talk.json", "talk.json.gz"])
def test_every_kind_of_file_is_read(tmp_path: Path, name: str) -> None:
    items = [{"id": str(i), "turns": TURNS} for i in range(3)] + [ORIGINAL]
    text = json.dumps(items) if ".jsonl" not in name else "\n".join(map(json.dumps, items))
    raw = text.encode()
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    assert [d.id for d in read_dialogues(tmp_path / name)] == ["0", "1", "2", "7"]


def test_one_object_in_a_json_file_is_one_dialogue(tmp_path: Path) -> None:
    (tmp_path / "talk.json").write_text(json.dumps(ORIGINAL))
    assert [d.id for d in read_dialogues(tmp_path / "talk.json")] == ["7"]


def test_bom_crlf_and_empty_lines_are_fine(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + (line(id="a") + "\r\n\r\n" + line(id="b") + "\r\n  \r\n").encode())
    assert [d.id for d in read_dialogues(path)] == ["a", "b"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"id": ' + "9" * 5000 + "}", "not JSON"),
        ("5", "a dialogue is an object"),
        ("{}", '"turns" is missing or empty'),
        (line(turns=[]), '"turns" is missing or empty'),
        (line(turns={"speaker": "user"}), '"turns" is missing or empty'),
        (line(turns=["Hi!"]), r"turns\[0\] is not an object"),
        (line(turns=[*TURNS, {"speaker": "user"}]), r'turns\[2\] has no "text"'),
        (line(turns=[{"speaker": "user", "text": "  "}]), r'turns\[0\] has no "text"'),
        (line(turns=[{"speaker": "narrator", "text": "a"}]), r"turns\[0\] has speaker 'narrator'; use \"user\""),
        (line(turns=[{"text": "a"}]), r"turns\[0\] has speaker None"),
        (line(turns=[{"speaker": "user", "text": "x" * 1_000_000}]), r"turns\[0\] has 1,000,000 characters"),
        (line(turns=[{"speaker": "user", "text": "a", "knowledge": "a fact"}]), '"knowledge" is a list of texts'),
        (line(context="a"), '"context" is a list of texts'),
        (line(context=5), '"context" is a list of texts'),
        (line(context={"a": 1}), '"context" is a list of texts'),
        (line(context=["a", 5]), '"context" is a list of texts'),
        (line(id="first"), "id 'first' was already used on line 1"),
        ('{"dialogue": [["Hi!"]]}', r'"dialogue" is a list of \[user, system\] pairs'),
        ('{"dialogue": "Hi!"}', r'"dialogue" is a list of \[user, system\] pairs'),
        ('{"dialogue": []}', '"turns" is missing or empty'),
        ('{"text": "Hi!"}', "dialogue, messages and conversations are read too"),
        ('{"messages": "Hi!"}', "a history is a list"),
        ('{"messages": [{"role": "user"}]}', r'messages\[0\] has no "text" \(or "content"\)'),
        ('{"messages": [{"role": "king", "content": "a"}]}', r"messages\[0\] has speaker 'king'"),
        ('{"messages": [{"role": "system", "content": "a"}]}', '"turns" is missing or empty'),
        ('{"conversations": ["Hi!"]}', r'"conversations" is a list of'),
        ('{"conversations": [{"from": "king", "value": "a"}]}', r"conversations\[0\] is from 'king'; use"),
        ('{"conversations": [{"from": "human"}]}', r'messages\[0\] has no "text"'),
        ('{"dialogue": [["Hi!", "Hello."]], "meta": "a fact"}', '"context" is a list of texts'),
    ],
    ids=lambda v: v[:30],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: str, message: str) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text(f"{line(id='first')}\n\n{bad}\n{line(id='last')}\n", encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        list(read_dialogues(path))
    assert str(caught.value).startswith(f"{path}:3: ")
    assert len(str(caught.value)) < 400


def test_bytes_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_bytes(line(id="a").encode() + b'\n{"id": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"talk\.jsonl:2: not UTF-8 \(byte 11\)"):
        list(read_dialogues(path))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl: cannot be read"):
        list(read_dialogues(tmp_path / "gone.jsonl"))
    packed = gzip.compress(line().encode() * 50)
    for name, raw in {"cut": packed[:40], "no": b"text", "garbled": packed[:20] + b"\xff" * 20 + packed[40:]}.items():
        path = tmp_path / f"{name}.jsonl.gz"
        path.write_bytes(raw)
        with pytest.raises(DataError, match=f"{name}.jsonl.gz: cannot be read"):
            list(read_dialogues(path))


def test_lone_surrogates_do_not_stop_the_split(tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    path.write_text('{"id": "\\ud800", "turns": [{"speaker": "user", "text": "\\ud800"}]}')
    (found,) = read_dialogues(path)
    assert in_validation(found.id) in (True, False)


def test_about_a_tenth_is_validation_and_always_the_same() -> None:
    chosen = [in_validation(f"d{i}") for i in range(2000)]
    assert 150 < sum(chosen) < 250
    assert chosen == [in_validation(f"d{i}") for i in range(2000)]
    assert in_validation("any", 1.0)
    assert not in_validation("any", 0.0)


@pytest.mark.parametrize("path", sorted((DATA / "samples").glob("[!m]*.jsonl")), ids=lambda p: p.stem)
def test_our_samples_are_sound(path: Path) -> None:
    found = list(read_dialogues(path))
    assert len(found) >= 40
    for dialogue in found:
        assert dialogue.turns[0].speaker == "user"
        assert dialogue.turns[-1].speaker == "system"
        assert all(t.text == t.text.strip() for t in dialogue.turns)
