"""Style success: the whole measurement on a tiny model, and a judge that tells plain cases apart."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import make_bot, random_adapter

from adapterbot.errors import DataError
from adapterbot.evaluation.styles import SUBJECTS, WAYS, _judge, _subjects, evaluate_styles
from adapterbot.home import Home
from adapterbot.network.backbone import Backbone

SAID = {
    "happiness": ["I am so happy today!", "What a wonderful surprise party, thank you!", "Great, we won the prize!"],
    "sadness": ["I miss her so much.", "He died and I cannot stop crying.", "Everything feels empty and sad."],
    "anger": ["Stop that, you idiot!", "I am furious with them.", "How dare you lie to me!"],
    "fear": ["I am scared of the dark.", "I am terrified, somebody is outside.", "Spiders frighten me."],
    "surprise": ["Wow, really?", "I never expected that!", "No way, you are married?"],
    "no emotion": ["The train leaves at nine.", "Please close the window.", "I need two stamps."],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("corpora")
    dialogues = [
        {
            "id": f"{label}{i}",
            "turns": [
                {"speaker": "user", "text": text, "label": f"{label}/inform"},
                {"speaker": "system", "text": f"Say more. {text}", "label": f"{label}/inform"},
            ],
            "label": label,
        }
        for label, texts in SAID.items()
        for i, text in enumerate(texts)
    ]
    for name in ("dailydialog", "ed"):
        (root / name).mkdir()
        for part in ("train", "valid"):
            text = "".join(json.dumps(d) + "\n" for d in dialogues)
            (root / name / f"{part}.jsonl").write_text(text, encoding="utf-8")
    (root / "multidogo").mkdir()
    (root / "clinc_oos").mkdir()
    (root / "topicalchat").mkdir()
    asked = {"domain": "insurance", "text": "I would like to insure my shop."}
    (root / "multidogo" / "train.jsonl").write_text(json.dumps(asked) + "\n", encoding="utf-8")
    (root / "clinc_oos" / "train.jsonl").write_text('{"text": "How do I cook rice?", "label": "recipe"}\n', "utf-8")
    chats = [
        {"id": topics, "turns": [{"speaker": who, "text": text} for who in ("user", "system")], "context": [topics]}
        for topics, text in (
            ("topics: Golf, Bird, Tennis", "She won the match in two sets."),
            ("topics: Computer, Internet, Jazz", "The chip of that computer is fast."),
            ("topics: Golf, Bird, Jazz", "That is about no one thing."),
        )
    ]
    (root / "topicalchat" / "train.jsonl").write_text("".join(json.dumps(c) + "\n" for c in chats), encoding="utf-8")
    (root / "topicalchat" / "valid.jsonl").write_text(json.dumps(chats[0]) + "\n", encoding="utf-8")
    return root


def test_the_judge_of_subjects_learns_from_chats_and_from_requests(folder: Path) -> None:
    labels = dict(_subjects(folder))
    assert labels["She won the match in two sets."] in SUBJECTS["sport"]
    assert "That is about no one thing." not in labels, "one topic of three"
    judge = _judge("topic", folder, 0)
    assert judge.guess(["They won the tennis match.", "A new computer chip.", "Insurance for a shop"]) == [
        "sport",
        "sci_tech",
        "business",
    ]


def test_the_judge_tells_feelings_apart(folder: Path) -> None:
    judge = _judge("emotion", folder, 0)
    assert judge.guess(["I am so happy!", "She is so furious with me."]) == ["joy", "anger"]
    assert _judge("sentiment", folder, 0).guess(["What a wonderful day!"]) == ["positive"]


def test_every_way_is_scored(tiny: Backbone, home: Home, folder: Path) -> None:
    for seed, name in enumerate(("joy", "question")):
        random_adapter(tiny, home.skills / name / "adapter.safetensors", seed)
    bot = make_bot(tiny, home)
    told = list[tuple[int, int]]()
    report = evaluate_styles(bot, folder, ["joy", "question", "wiki"], most=4, advance=lambda *n: told.append(n))
    assert report.keys() == {"joy", "question"}, "wiki has no style"
    assert told == [(1, 2), (2, 2)]
    for scores in report.values():
        assert scores.keys() == {*WAYS, *(f"fluency, {way}" for way in WAYS)}
        assert all(0 <= scores[way] <= 1 for way in WAYS)
        assert all(scores[f"fluency, {way}"] > 1 for way in WAYS)


def test_a_missing_corpus_is_named(shared_bot: object, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="dailydialog"):
        _judge("emotion", tmp_path, 0)
