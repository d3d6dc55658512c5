"""`train-care` on a few lines and a small folder of corpora: what is read, learnt, calibrated and written."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest

from adapterbot.errors import DataError
from adapterbot.manager.care_head import CARE, load_care
from adapterbot.manager.encoder import minilm
from adapterbot.manager.training import care_lines
from adapterbot.manager.training.care import CareTraining, not_learnt, train_care
from adapterbot.manager.training.care_lines import (
    Message,
    ordinary,
    read_drafts,
    read_messages,
    told_to,
    user_turns,
)
from adapterbot.spec.folders import read_spec

GRAVE = ("I want to die", "I will end my life", "he beats me", "she is not breathing")
HARMLESS = ("the traffic is killing me", "he beats me at chess", "what a lovely day", "I love jazz music")


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "lines"
    folder.mkdir()
    rows: list[dict[str, object]] = [{"message": f"{t} {i}", "label": "crisis"} for t in GRAVE for i in range(10)]
    rows += [{"message": f"{t} {i}", "label": "none", "history": ["hello", "hi"]} for t in HARMLESS for i in range(10)]
    (folder / "messages.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    drafts = [{"message": f"I want to die {i}", "draft": "You should.", "label": "harm"} for i in range(20)]
    drafts += [{"message": f"the soup? {i}", "draft": "You should.", "label": "ok"} for i in range(20)]
    (folder / "drafts.jsonl").write_text("".join(json.dumps(r) + "\n" for r in drafts))
    monkeypatch.setattr(care_lines, "LINES", folder)
    return folder


@pytest.fixture
def corpora(tmp_path: Path) -> Path:
    folder = tmp_path / "corpora" / "ed"
    folder.mkdir(parents=True)
    talk = [
        {
            "id": f"d{i}",
            "turns": [
                {"speaker": "user", "text": f"I like walk number {i}"},
                {"speaker": "system", "text": f"Nice {i}"},
            ],
        }
        for i in range(80)
    ]
    for split in ("train", "valid"):
        with gzip.open(folder / f"{split}.jsonl.gz", "wt") as stream:
            stream.writelines(json.dumps(d) + "\n" for d in talk)
    return folder.parent


def test_a_small_head_learns_its_lines_and_is_written(lines: Path, corpora: Path, tmp_path: Path) -> None:
    steps = []
    settings = CareTraining(epochs=6, layers=2, rank=4, rate=3e-3, batch=32)
    report = train_care(
        corpora,
        [Message("will it rain", (), "none")] * 2,
        minilm(),
        tmp_path / "out",
        settings,
        lambda done, total, loss: steps.append((done, total)),
    )
    assert steps[-1][0] == steps[-1][1] == len(steps)
    head = load_care(tmp_path / "out" / CARE, minilm())
    assert head.message(["I want to die now"]).kind == "crisis"
    assert not head.message(["what a lovely day it is"])
    assert head.settings.metrics == report
    assert report["care, crisis"] == 1.0
    assert head.harm([("You should.", ("I want to die 3",))])[0] > head.harm([("You should.", ("the soup? 3",))])[0]


def test_a_head_goes_on_with_what_it_has_not_learnt(lines: Path, corpora: Path, tmp_path: Path) -> None:
    settings = CareTraining(epochs=6, layers=2, rank=4, rate=3e-3, batch=32)
    train_care(
        corpora,
        [Message("will it rain", (), "none")] * 2,
        minilm(),
        tmp_path / "first",
        settings,
        lambda done, total, loss: None,
    )
    first = load_care(tmp_path / "first" / CARE, minilm())
    new = [Message(f"purple monkeys sing {i}", (), "insult") for i in range(30)]
    known = [Message(f"I want to die {i}", (), "crisis") for i in range(0, 300, 2)]
    chosen, drafts = not_learnt(first, [*known, *new], [], 0)
    assert set(new) <= set(chosen)
    assert len(chosen) < 120  # of 180: of what it has learnt only a part
    assert not drafts
    with (lines / "messages.jsonl").open("a") as stream:
        stream.writelines(json.dumps({"message": m.text, "label": m.kind}) + "\n" for m in new)
    again = replace(settings, epochs=4)
    train_care(corpora, [], minilm(), tmp_path / "second", again, lambda done, total, loss: None, first)
    second = load_care(tmp_path / "second" / CARE, minilm())
    assert second.message(["purple monkeys sing 99"]).kind == "insult"
    assert second.message(["I want to die now"]).kind == "crisis"


def test_ordinary_talk_has_earlier_turns_and_peoples_replies(corpora: Path) -> None:
    talk = ordinary(corpora, "train", 10, 0)
    assert (len(talk.messages), len(talk.drafts)) == (10, 5)
    assert {m.kind for m in talk.messages} == {"none"}
    with pytest.raises(DataError, match="none of the corpora"):
        ordinary(corpora / "ed", "train", 10, 0)


def test_bad_lines_are_named(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text('{"message": "a", "label": "none"}\n{"message": "b", "label": "sad"}\n')
    with pytest.raises(DataError, match=r"lines.jsonl:2: .*crisis"):
        read_messages(path)
    path.write_text('{"message": "a", "draft": "", "label": "ok"}\n')
    with pytest.raises(DataError, match=r"lines.jsonl:1: .*harm or ok"):
        read_drafts(path)


def test_a_history_alternates_or_names_its_speakers() -> None:
    assert user_turns(["a", "b", "c"]) == ("a", "c")
    assert user_turns([{"speaker": "bot", "text": "x"}, {"speaker": "user", "text": "y"}]) == ("y",)


def test_what_users_tell_skills_is_harmless_and_has_earlier_turns(tmp_path: Path) -> None:
    (tmp_path / "skill.toml").write_text('summary = "x"\ngroup = "style"\nrouting = { examples = ["will it rain"] }')
    turns = [("user", "a"), ("system", "b"), ("user", "c"), ("system", "d"), ("user", "e"), ("system", "f")]
    talk = {"id": "t", "turns": [{"speaker": speaker, "text": text} for speaker, text in (*turns, *turns)]}
    (tmp_path / "examples.jsonl").write_text(json.dumps(talk) + "\n")
    found = told_to(read_spec(tmp_path))
    assert [m.text for m in found] == ["will it rain", "a", "c", "e", "a", "c", "e"]
    assert {m.kind for m in found} == {"none"}
    assert [m.before for m in found] == [(), (), ("a",), ("a", "c"), ("c", "e"), ("e", "a"), ("a", "c")]
