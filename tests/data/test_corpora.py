"""Readers of public corpora, on rows written by hand in the form that the hub gives."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from adapterbot.data.corpora import (
    READERS,
    corpora_folder,
    folders,
    general_conversation,
    load,
    load_hub,
    load_path,
    reader,
    split,
)
from adapterbot.data.corpora.empathetic_dialogues import from_hub as empathetic
from adapterbot.data.corpora.persona_chat import from_hub as persona
from adapterbot.data.corpora.wizard_of_wikipedia import from_hub as wizard
from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.errors import DataError, MissingPartError


def said(dialogue: Dialogue) -> list[tuple[str, str]]:
    return [(t.speaker, t.text) for t in dialogue.turns]


def test_empathetic_dialogues() -> None:
    def row(conversation: str, index: int, text: str) -> dict[str, Any]:
        return {"conv_id": conversation, "utterance_idx": index, "utterance": text, "context": "sad"}

    rows = [row("c1", 2, "Oh no_comma_ why?"), row("c1", 1, "My dog is ill."), row("c2", 1, "Alone.")]
    rows += [row("c3", i, text) for i, text in enumerate("abc")]
    first, last = empathetic(rows)
    assert said(first) == [("user", "My dog is ill."), ("system", "Oh no, why?")]
    assert (first.id, first.label) == ("c1", "sad")
    assert [s for s, _ in said(last)] == ["user", "system", "user"]


def test_persona_chat() -> None:
    def row(conversation: int, history: list[str], reply: str) -> dict[str, Any]:
        return {
            "conv_id": conversation,
            "personality": ["i have a cat."],
            "history": history,
            "candidates": ["x", reply],
        }

    rows = [row(0, ["Hi!"], "Hello."), row(0, ["Hi!", "Hello.", "Any pets?"], "A cat."), row(1, ["a", "b"], "c")]
    first, second = persona(rows)
    assert said(first) == [("user", "Hi!"), ("system", "Hello."), ("user", "Any pets?"), ("system", "A cat.")]
    assert first.context == ("i have a cat.",)
    assert [s for s, _ in said(second)] == ["system", "user", "system"]
    assert first.id != second.id


def test_wizard_of_wikipedia() -> None:
    rows = [
        {
            "post": ["Jazz?", "Tell me."],
            "response": ["Yes!", "It began in New Orleans."],
            "knowledge": [[], ["Jazz began.", "Another sentence."]],
        },
        {"post": [""], "response": ["Hello."], "knowledge": [["A fact."]]},
        {"post": ["", "Why?"], "response": ["Hello.", "So."], "knowledge": [["A fact."], []]},
    ]
    first, last = wizard(rows)
    assert said(first) == [
        ("user", "Jazz?"),
        ("system", "Yes!"),
        ("user", "Tell me."),
        ("system", "It began in New Orleans."),
    ]
    assert [t.knowledge for t in first.turns] == [(), (), (), ("Jazz began.",)]
    assert said(last) == [("system", "Hello."), ("user", "Why?"), ("system", "So.")]
    assert last.turns[0].knowledge == ("A fact.",)
    assert first.id != last.id


def test_in_car_is_taken_from_a_folder_alone() -> None:
    with pytest.raises(MissingPartError, match="'in_car' cannot be read from the hub; give a folder"):
        load_hub("in_car")


@pytest.mark.parametrize("name", READERS)
def test_every_reader_says_where_its_corpus_is_and_under_which_licence(name: str) -> None:
    found = reader(name)
    assert found is not None
    assert folders(name)
    assert hasattr(found, "read") or folders(name) == (found.FOLDER,), (
        "of several corpora it makes the dialogues itself"
    )
    assert found.LICENCE
    assert found.HUB is None or (len(found.HUB) == 2 and found.HUB_REVISION)
    assert reader("other") is None


# -- folders and splits ----------------------------------------------------------------------------------------------


def dialogues(count: int, prefix: str = "d") -> list[dict[str, Any]]:
    turns = [{"speaker": "user", "text": "Hi!"}, {"speaker": "system", "text": "Hello."}]
    return [{"id": f"{prefix}{i}", "turns": turns} for i in range(count)]


def write(path: Path, items: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(map(json.dumps, items)), encoding="utf-8")
    return path


def test_a_corpus_lies_under_its_readers_folder_or_its_name(tmp_path: Path) -> None:
    for folder in ("ed", "empathetic_dialogues", "our_own"):
        write(tmp_path / folder / "train.jsonl", dialogues(5, folder))
        write(tmp_path / folder / "valid.jsonl", dialogues(2, f"{folder}-valid"))
    assert load("empathetic_dialogues", tmp_path)["train"][0].id == "ed0"
    found = load("our_own", tmp_path)
    assert {part: len(d) for part, d in found.items()} == {"train": 5, "valid": 2}
    with pytest.raises(DataError, match=r"no corpus 'persona_chat' in .*expected a folder 'persona'.*ed, empathetic"):
        load("persona_chat", tmp_path)
    with pytest.raises(DataError, match="There: none"):
        load("persona_chat", tmp_path / "gone")


@pytest.mark.parametrize("name", ["valid", "validation", "dev"])
def test_a_validation_file_is_used_as_it_is(tmp_path: Path, name: str) -> None:
    write(tmp_path / "train.jsonl", dialogues(4))
    write(tmp_path / f"{name}.jsonl", dialogues(3, "v"))
    assert [d.id for d in load_path(tmp_path)["valid"]] == ["v0", "v1", "v2"]


def test_without_one_a_tenth_is_split_off(tmp_path: Path) -> None:
    write(tmp_path / "train.jsonl", dialogues(200))
    found = load_path(tmp_path)
    assert 5 <= len(found["valid"]) <= 40
    assert len(found["train"]) + len(found["valid"]) == 200
    assert not {d.id for d in found["train"]} & {d.id for d in found["valid"]}
    assert load_path(tmp_path / "train.jsonl") == found


@pytest.mark.parametrize("count", range(2, 12))
def test_both_parts_of_a_small_file_have_something(count: int) -> None:
    for prefix in "abc":
        made = [Dialogue(f"{prefix}{i}", (DialogueTurn("user", "a"),)) for i in range(count)]
        found = split(made, "here")
        assert found["train"]
        assert found["valid"]
        assert sorted(d.id for part in found.values() for d in part) == sorted(d.id for d in made)


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_than_two_dialogues_are_refused(tmp_path: Path, count: int) -> None:
    with pytest.raises(DataError, match=f"has {count} dialogue.*at least two are needed"):
        load_path(write(tmp_path / "talk.jsonl", dialogues(count)))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no train\.jsonl"):
        load_path(tmp_path)
    with pytest.raises(DataError, match=r"gone\.jsonl does not exist"):
        load_path(tmp_path / "gone.jsonl")


def test_the_folder_of_corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADAPTERBOT_CORPORA", raising=False)
    assert corpora_folder() is None
    monkeypatch.setenv("ADAPTERBOT_CORPORA", str(tmp_path))
    assert corpora_folder() == tmp_path
    assert corpora_folder(tmp_path / "given") == tmp_path / "given"


# -- the hub -------------------------------------------------------------------------------------------------------


def test_a_hub_dataset_without_network_says_what_to_do() -> None:
    with pytest.raises(MissingPartError, match="give files by --data") as caught:
        load_hub("empathetic_dialogues")
    assert "\n" not in str(caught.value)


def test_without_the_library_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingPartError, match=r"pip install 'adapterbot\[train\]'"):
        load_hub("empathetic_dialogues")


def test_any_hub_dataset_in_the_dialogue_form_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    asked = []
    rows = {"train": dialogues(20), "validation": dialogues(3, "v"), "test": dialogues(1, "t")}

    def load_dataset(*arguments: Any, **options: Any) -> dict[str, list[dict[str, Any]]]:
        asked.append((arguments, options))
        return rows

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    assert {part: len(d) for part, d in load_hub("someone/talk").items()} == {"train": 20, "valid": 3}
    del rows["validation"]
    found = load_hub("someone/talk")
    assert len(found["train"]) + len(found["valid"]) == 20
    rows["train"] = [{"conv_id": i // 2, "utterance_idx": i % 2, "utterance": "a"} for i in range(8)]
    assert sum(map(len, load_hub("empathetic_dialogues").values())) == 4
    assert asked[0] == (("someone/talk", None), {"revision": None})
    assert asked[2] == (("facebook/empathetic_dialogues", "default"), {"revision": "refs/convert/parquet"})


def test_general_conversation_takes_evenly_and_without_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(name: str, count: int) -> None:
        turns = [{"speaker": "user", "text": "Hi"}, {"speaker": "system", "text": "Hello", "knowledge": ["a fact"]}]
        for part in ("train", "valid"):
            rows = [{"id": f"{name}-{part}-{i}", "turns": turns, "context": ["a persona"]} for i in range(count)]
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{part}.jsonl").write_text("\n".join(map(json.dumps, rows)))

    with pytest.raises(DataError, match="none of the corpora of general conversation: dailydialog"):
        load("general_conversation", tmp_path)
    write("dailydialog", 45)
    write("dream", 7)
    write("wow", 9)
    monkeypatch.setattr(general_conversation, "MOST", {"train": 20, "valid": 10})
    splits = load("general_conversation", tmp_path)
    assert {part: Counter(d.domain for d in found) for part, found in splits.items()} == {
        "train": {"dailydialog": 15, "dream": 7},
        "valid": {"dailydialog": 9, "dream": 7},
    }
    assert all(not d.context and not any(t.knowledge for t in d.turns) for d in splits["train"])
    assert {d.domain for d in load("general_conversation", tmp_path, "dream")["train"]} == {"dream"}
