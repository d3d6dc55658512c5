"""What a backbone reads: cleaned, and nothing that it is judged on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adapterbot.data.corpora import Splits
from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.errors import DataError
from adapterbot.reply.safety import WordList
from adapterbot.training.documents import Document, digest_of, read_corpora, training_documents, validation_documents

LONG = "We walked along the river until the bridge came into sight."
UNSAFE = WordList().quick()


def talk(name: str, *texts: str, knowledge: list[str] | None = None, **more: Any) -> dict[str, Any]:
    turns: list[dict[str, Any]] = [
        {"speaker": "user" if i % 2 == 0 else "system", "text": text} for i, text in enumerate(texts)
    ]
    if knowledge:
        turns[-1]["knowledge"] = knowledge
    return {"id": name, "turns": turns, **more}


def corpus(folder: Path, name: str, train: list[dict[str, Any]], valid: list[dict[str, Any]]) -> None:
    (folder / name).mkdir(parents=True)
    for part, dialogues in (("train", train), ("valid", valid)):
        text = "".join(json.dumps(d) + "\n" for d in dialogues)
        (folder / name / f"{part}.jsonl").write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Splits]:
    return read_corpora(folder, UNSAFE)


def ids(corpora: dict[str, Splits], name: str) -> list[str]:
    return [d.id for d in corpora[name]["train"]]


VALID = [talk("v", "Hello over there!", "Good to see you.")]


def test_a_dialogue_of_two_corpora_is_kept_once_whatever_its_case(tmp_path: Path) -> None:
    corpus(tmp_path, "a", [talk("1", "I like tea.", "So do I!"), talk("2", "And coffee?", "No.")], VALID)
    corpus(
        tmp_path, "b", [talk("3", "i like TEA", "so do i"), talk("4", "Rain?", "Sun.")], [talk("w", "What?", "That.")]
    )
    corpora = read(tmp_path)
    assert (ids(corpora, "a"), ids(corpora, "b")) == (["1", "2"], ["4"])


def test_what_stands_in_any_validation_split_is_not_trained_on(tmp_path: Path) -> None:
    held = talk("v", LONG, "Nice.")
    corpus(tmp_path, "a", [dict(held, id="same"), talk("far", LONG, "Which river was it?")], VALID)
    corpus(tmp_path, "b", [talk("x", "Bye.", "See you.")], [held])
    corpora = read(tmp_path)
    assert (ids(corpora, "a"), ids(corpora, "b")) == (["far"], ["x"])


def test_a_dialogue_ends_before_its_first_unsafe_turn(tmp_path: Path) -> None:
    rude = talk("cut", "How are you?", "Fine.", "You are a piece of shit.", "Oh.")
    corpus(tmp_path, "a", [rude, talk("gone", "You shit.", "Oh."), talk("fine", "Snow?", "Yes.")], VALID)
    corpora = read(tmp_path)
    assert ids(corpora, "a") == ["cut", "fine"]
    assert [t.text for t in corpora["a"]["train"][0].turns] == ["How are you?", "Fine."]


def test_sets_of_labelled_texts_are_passed_over(tmp_path: Path) -> None:
    corpus(tmp_path, "a", [talk("1", "Tea?", "Yes.")], VALID)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "train.jsonl").write_text('{"text": "no dialogue", "label": "x"}\n', encoding="utf-8")
    assert list(read(tmp_path)) == ["a"]


def test_an_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no corpus: expected NAME/train\.jsonl"):
        read(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "nowhere")


def test_a_corpus_of_one_dialogue_says_that_two_are_needed(tmp_path: Path) -> None:
    (tmp_path / "one.jsonl").write_text(json.dumps(talk("1", "Tea?", "Yes.")), encoding="utf-8")
    with pytest.raises(DataError, match=r"has 1 dialogue\(s\); at least two are needed"):
        read(tmp_path)


def test_a_bad_line_is_named(tmp_path: Path) -> None:
    corpus(tmp_path, "a", [talk("1", "Tea?", "Yes.")], VALID)
    with (tmp_path / "a" / "train.jsonl").open("a", encoding="utf-8") as file:
        file.write("{broken\n")
    with pytest.raises(DataError, match=r"train\.jsonl:2: not JSON"):
        read(tmp_path)


def test_a_grounded_reply_is_learnt_with_its_facts_and_every_other_dialogue_shows_its_context() -> None:
    facts = ("The Quellmar is a strait.", "It is deep.")
    turns = (DialogueTurn("user", "What is it?"), DialogueTurn("system", "It is a strait.", facts))
    dialogues = [Dialogue(str(i), turns, ("I have a boat.",)) for i in range(2)]
    made = list(training_documents(dialogues, positions=64))
    said = ("What is it?", "It is a strait.")
    grounded = Document(facts, said, (1,))
    assert made == [Document((), said, (0, 1)), grounded, Document(("I have a boat.",), said, (0, 1)), grounded]


def test_the_digest_feels_every_text(tmp_path: Path) -> None:
    corpus(tmp_path / "x", "a", [talk("1", "Tea?", "Yes.")], VALID)
    corpus(tmp_path / "y", "a", [talk("1", "Tea?", "Yes!")], VALID)
    one, other = read(tmp_path / "x"), read(tmp_path / "y")
    assert digest_of(one) == digest_of(read(tmp_path / "x")) != digest_of(other)


def test_a_long_dialogue_becomes_several_documents_that_hold_all_of_it() -> None:
    dialogue = Dialogue("d", tuple(DialogueTurn("user", f"{i} {LONG}") for i in range(20)))
    documents = validation_documents([dialogue], positions=64)
    assert len(documents) > 3
    assert [t for d in documents for t in d.utterances] == [t.text for t in dialogue.turns]
    assert all(d.learn == tuple(range(len(d.utterances))) for d in documents)
