"""What a backbone reads: cleaned, deduplicated, weighted, in a known register."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from adapterbot.data.dialogue import Dialogue, DialogueTurn
from adapterbot.errors import DataError
from adapterbot.reply.safety import WordList
from adapterbot.training.documents import (
    REGISTER,
    PretrainingCorpora,
    in_register,
    read_corpora,
    training_documents,
    validation_documents,
)
from adapterbot.training.recipe import MixtureTable

LONG = "We walked along the river until the bridge came into sight."
FAR = "Nobody in the village had ever seen so many kites at once."
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


def read(folder: Path, **mixture: Any) -> PretrainingCorpora:
    return read_corpora(folder, MixtureTable(**mixture), UNSAFE)


def ids(corpora: PretrainingCorpora, name: str) -> list[str]:
    return [d.id for d in corpora.splits[name]["train"]]


VALID = [talk("v", "Hello over there!", "Good to see you.")]


def test_a_dialogue_of_two_corpora_is_kept_once_whatever_its_case(tmp_path: Path) -> None:
    corpus(tmp_path, "a", [talk("1", "I like tea.", "So do I!"), talk("2", "And coffee?", "No.")], VALID)
    corpus(
        tmp_path, "b", [talk("3", "i like TEA", "so do i"), talk("4", "Rain?", "Sun.")], [talk("w", "What?", "That.")]
    )
    corpora = read(tmp_path)
    assert (ids(corpora, "a"), ids(corpora, "b")) == (["1", "2"], ["4"])
    assert corpora.removed["duplicates"] == 1


def test_what_stands_in_any_validation_split_is_not_trained_on(tmp_path: Path) -> None:
    held = talk("v", LONG, "Nice.", FAR, "Really?")
    near = talk("near", LONG, "Oh, how lovely.", FAR, "I would have loved that.")
    far = talk("far", LONG, "Which river was it?", "The old one behind the mill and the church.", "I know it.")
    corpus(tmp_path, "a", [near, far], VALID)
    corpus(tmp_path, "b", [dict(held, id="same"), talk("x", "Bye.", "See you.")], [held])
    corpora = read(tmp_path)
    assert (ids(corpora, "a"), ids(corpora, "b")) == (["far"], ["x"])
    assert corpora.removed["near duplicates of validation dialogues"] == 1
    assert corpora.removed["stand in a validation split"] == 1


def test_a_templated_corpus_keeps_its_near_duplicates_and_its_case(tmp_path: Path) -> None:
    held = talk("v", LONG, "Nice.", FAR, "Really?")
    near = talk("near", LONG, "Oh, how lovely.", FAR, "I would have loved that.")
    low = talk("low", "what food", "there is no such place in the south")
    corpus(tmp_path, "a", [near, dict(held, id="same"), low], [held])
    corpora = read(tmp_path, templated=["a"])
    assert ids(corpora, "a") == ["near", "low"]
    mixture = MixtureTable(templated=("a",), dialogues={"a": 50.0})
    made = list(training_documents(corpora, mixture, 64, 0, 0))
    assert {d.utterances for d in made if "food" in d.utterances[0]} == {tuple(t["text"] for t in low["turns"])}


def test_a_dialogue_ends_before_its_first_unsafe_turn(tmp_path: Path) -> None:
    rude = talk("cut", "How are you?", "Fine.", "You are a piece of shit.", "Oh.")
    corpus(tmp_path, "a", [rude, talk("gone", "You shit.", "Oh."), talk("fine", "Snow?", "Yes.")], VALID)
    corpora = read(tmp_path)
    assert ids(corpora, "a") == ["cut", "fine"]
    assert [t.text for t in corpora.splits["a"]["train"][0].turns] == ["How are you?", "Fine."]
    assert (corpora.removed["unsafe"], corpora.removed["cut short before an unsafe turn"]) == (1, 1)


def test_left_out_corpora_are_not_even_read(tmp_path: Path) -> None:
    corpus(tmp_path, "a", [talk("1", "Tea?", "Yes.")], VALID)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "train.jsonl").write_text('{"text": "no dialogue", "label": "x"}\n', encoding="utf-8")
    assert list(read(tmp_path, leave_out=["labels"]).splits) == ["a"]
    with pytest.raises(DataError, match=r"labels.train\.jsonl:1: "):
        read(tmp_path)


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


def test_weights_say_how_often_a_document_comes(tmp_path: Path) -> None:
    facts = ["The Quellmar is a strait.", "It is deep."]
    grounded = [talk(f"g{i}", f"Number {i}?", "It is a strait.", knowledge=facts) for i in range(40)]
    corpus(tmp_path, "a", grounded, VALID)
    corpus(tmp_path, "b", [talk(f"b{i}", f"Say {i}.", "I do.") for i in range(40)], [talk("w", "What?", "That.")])
    mixture = MixtureTable(dialogues={"a": 0.5, "others": 2.0}, grounded={"a": 3.0})
    corpora = read_corpora(tmp_path, mixture, UNSAFE)

    def documents(number: int) -> list[Any]:
        return list(training_documents(corpora, mixture, 64, 0, number))

    made = documents(0)
    known = [d for d in made if d.facts]
    assert sum(d.corpus == "b" for d in made) == 80
    assert len(known) == 120
    assert all(d.learn == (1,) and d.facts[0] == facts[0] for d in known)
    assert {len(d.facts) for d in known} == {1, 2}
    assert 8 <= sum(d.corpus == "a" and not d.facts for d in made) <= 32
    assert made == documents(0) != documents(1)


def test_lower_case_is_marked_or_mended_and_cased_text_left_alone() -> None:
    lower = Dialogue("l", (DialogueTurn("user", "hi. i am ann"), DialogueTurn("system", "hello ann. i am a bot")))
    kinds = [in_register(lower, random.Random(i)) for i in range(400)]
    as_typed = [d for _, d in kinds if d == lower]
    assert 0.3 < len(as_typed) / 400 < 0.5
    assert {facts for facts, d in kinds if d == lower} == {(), (REGISTER,)}
    assert all(not facts for facts, d in kinds if d != lower)
    assert {d.turns[1].text for _, d in kinds if d != lower} == {"Hello ann. I am a bot"}
    assert {d.turns[0].text for _, d in kinds if d != lower} == {"hi. i am ann", "Hi. I am ann"}
    cased = Dialogue("c", (DialogueTurn("user", "Hi."), DialogueTurn("system", "hello")))
    assert in_register(cased, random.Random(0)) == ((), cased)


def test_a_long_dialogue_becomes_several_documents_that_hold_all_of_it() -> None:
    dialogue = Dialogue("d", tuple(DialogueTurn("user", f"{i} {LONG}") for i in range(20)))
    documents = validation_documents("c", [dialogue], positions=64)
    assert len(documents) > 3
    assert [t for d in documents for t in d.utterances] == [t.text for t in dialogue.turns]
    assert all(d.learn == tuple(range(len(d.utterances))) for d in documents)
