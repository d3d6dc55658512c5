from __future__ import annotations

import gzip
import json
import random
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TESTS
from PIL import Image
from torch import Tensor

from adapterbot.data.dialogue import read_dialogues
from adapterbot.errors import DataError
from adapterbot.history import History
from adapterbot.home import DATA
from adapterbot.manager.classifier import CLASSIFIER, Classifier, Head, HeadEnsemble, Settings, load_classifier
from adapterbot.manager.router import Manager
from adapterbot.manager.training import classifier as training
from adapterbot.manager.training import examples
from adapterbot.manager.training.classifier import ClassifierTraining
from adapterbot.manager.training.examples import Example, collect
from adapterbot.manager.training.mixtures import encode_texts
from adapterbot.manager.training.report import calibration_error, evaluate_messages, summarise
from adapterbot.manager.training.typing_noise import first_sentence, restyle, with_typo
from adapterbot.spec.folders import PACKAGE_SKILLS as SKILLS
from adapterbot.spec.folders import SkillFolders
from adapterbot.spec.tables import SkillSpec

MESSAGES = TESTS / "labelled" / "manager_messages.jsonl"

WORDS = {
    "chitchat": ["hello friend nice day", "good morning to you", "thanks a lot bye", "tell me a joke please"],
    "weather": ["will it rain in {}", "is it sunny in {} today", "forecast for {} please", "how cold is {} tonight"],
    "wiki": ["who invented the {}", "tell me about the {}", "when was the {} built", "what is a {} exactly"],
}
QUICK = ClassifierTraining(heads=2, steps=100, cleaning_steps=60, batch=32)
FILLERS = ["oslo", "boston", "bridge", "tower", "paris", "piano", "madrid", "camera", "tunis", "clock"]


class WordEncoder:
    """The sum of one random vector per word: knows no grammar, but tells words apart and costs nothing."""

    name = "words"
    fingerprint = "0123456789abcdef"
    width = 48

    def encode(self, texts: Sequence[str]) -> Tensor:
        rows = torch.zeros(len(texts), self.width)
        for i, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                rows[i] += torch.randn(self.width, generator=torch.Generator().manual_seed(zlib.crc32(word.encode())))
        return torch.nn.functional.normalize(rows, dim=-1)


def train_quickly(specs: dict[str, SkillSpec], corpora: Path, encoder: WordEncoder, out: Path) -> dict[str, Any]:
    return training.train_manager(specs, corpora=corpora, encoder=encoder, out=out, settings=QUICK, progress=False)


@pytest.fixture
def encoder() -> WordEncoder:
    return WordEncoder()


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, SkillSpec]:
    """Three skills with routing tables that claim small corpora."""
    tables = {
        "chitchat": 'corpora = ["talk", "intents:-oos"]',
        "weather": 'corpora = ["intents:weather"]',
        "wiki": 'corpora = ["facts"]',
    }
    for name, table in tables.items():
        folder = tmp_path / "skills" / name
        folder.mkdir(parents=True)
        examples = json.dumps([w.format(f) for w in WORDS[name] for f in FILLERS[:3]])
        toml = f'summary = "s"\ngroup = "conversation"\n[routing]\n{table}\nexamples = {examples}\n'
        (folder / "skill.toml").write_text(toml)
    folders = SkillFolders(extra=tmp_path / "skills")
    return {name: folders.load(name) for name in tables}


@pytest.fixture
def corpora_folder(tmp_path: Path) -> Path:
    """Two dialogue corpora and one of labelled texts, some gzipped."""
    rng = random.Random(0)

    def phrase(skill: str) -> str:
        return rng.choice(WORDS[skill]).format(rng.choice(FILLERS)) + f" {rng.randrange(99)}"

    def dialogue(corpus: str, skill: str, number: int) -> dict[str, object]:
        texts = [phrase(skill), "certainly", "and what else", "this and that"]
        turns = [{"speaker": "user" if i % 2 == 0 else "system", "text": t} for i, t in enumerate(texts)]
        return {"id": f"{corpus}-{number}", "turns": turns}

    root = tmp_path / "corpora"
    for corpus, skill in (("talk", "chitchat"), ("facts", "wiki")):
        (root / corpus).mkdir(parents=True)
        for split, count in (("train", 40), ("valid", 10)):
            lines = [json.dumps(dialogue(corpus, skill, i)) + "\n" for i in range(count)]
            with gzip.open(root / corpus / f"{split}.jsonl.gz", "wt") as file:
                file.writelines(lines)
    (root / "intents").mkdir()
    texts = [{"text": phrase("weather"), "label": "weather"} for _ in range(60)]
    texts += [{"text": phrase("chitchat"), "label": "greeting"} for _ in range(40)]
    texts += [{"text": f"garbage {i}", "label": "oos"} for i in range(20)]
    for split, part in (("train", texts[::2]), ("valid", texts[1::2])):
        (root / "intents" / f"{split}.jsonl").write_text("".join(json.dumps(t) + "\n" for t in part))
    return root


def test_collect_follows_the_claims(specs: dict[str, SkillSpec], corpora_folder: Path) -> None:
    examples, remarks = collect(specs, corpora_folder)
    assert remarks == []
    from_intents = {e.skill for e in examples if e.source == "intents"}
    assert from_intents == {"chitchat", "weather"}
    assert not any("garbage" in e.message.lower() for e in examples)
    ours = [e for e in examples if e.source == "intents" and e.skill == "chitchat"]
    assert not any("rain" in e.message.lower() or "forecast" in e.message.lower() for e in ours)
    follow = [e for e in examples if e.source == "facts" and e.kind == "follow"]
    assert follow
    assert all(len(e.history) == 2 for e in follow)
    assert all(e.history == () for e in examples if e.kind == "alone")
    assert {e.valid for e in examples if e.source == "talk"} == {True, False}


def test_collect_is_the_same_for_the_same_seed(specs: dict[str, SkillSpec], corpora_folder: Path) -> None:
    first, again, other = (collect(specs, corpora_folder, seed)[0] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_what_is_missing_or_broken_is_named(specs: dict[str, SkillSpec], corpora_folder: Path) -> None:
    (corpora_folder / "intents" / "train.jsonl").write_text('{"text": "fine", "label": "weather"}\n{"text": 3}\n')
    with pytest.raises(DataError, match=r"train\.jsonl:2"):
        collect(specs, corpora_folder)
    for file in (corpora_folder / "intents").iterdir():
        file.unlink()
    (corpora_folder / "intents").rmdir()
    _, remarks = collect(specs, corpora_folder)
    assert any("weather" in r and "'intents'" in r for r in remarks)
    _, remarks = collect(specs, None)
    assert len(remarks) == 1
    assert "no corpora folder" in remarks[0]
    with pytest.raises(DataError, match="nowhere"):
        collect(specs, corpora_folder / "nowhere")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of our dialogues that change the subject those among three skills."""
    lines = examples.SWITCHES.read_text(encoding="utf-8").splitlines()
    few = [
        x for x in lines if {t.get("label", "") for t in json.loads(x)["turns"]} <= {"", "chitchat", "weather", "wiki"}
    ]
    (tmp_path / "switches.jsonl").write_text("\n".join(few), encoding="utf-8")
    monkeypatch.setattr(examples, "SWITCHES", tmp_path / "switches.jsonl")


@pytest.mark.usefixtures("quick")
def test_training_writes_a_manager_that_routes(
    specs: dict[str, SkillSpec], corpora_folder: Path, encoder: WordEncoder, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    report = train_quickly(specs, corpora_folder, encoder, out)
    assert sorted(p.name for p in out.iterdir()) == ["README.md", CLASSIFIER, "confusion.png", "report.json"]
    assert report["per_class"]["weather"]["f1"] > 0.8
    assert json.loads((out / "report.json").read_text())["accuracy"] == report["accuracy"]
    with Image.open(out / "confusion.png") as picture:
        assert picture.size[0] > 100
    card = (out / "README.md").read_text()
    assert "`weather`" in card
    assert "not stated" not in card
    classifier = load_classifier(out / CLASSIFIER, encoder)
    assert classifier.settings.metrics["accuracy"] == report["accuracy"]
    manager = Manager(classifier, encoder)
    right = [manager.pick(f"will it rain in {f}", History(), manager.classes).skill == "weather" for f in FILLERS]
    assert sum(right) >= 7


@pytest.mark.usefixtures("quick")
def test_training_twice_gives_the_same_weights(
    specs: dict[str, SkillSpec], corpora_folder: Path, encoder: WordEncoder, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        train_quickly(specs, corpora_folder, encoder, tmp_path / name)
    assert (tmp_path / "a" / CLASSIFIER).read_bytes() == (tmp_path / "b" / CLASSIFIER).read_bytes()


@pytest.mark.usefixtures("quick")
def test_training_without_corpora_says_so(
    specs: dict[str, SkillSpec], encoder: WordEncoder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    report = training.train_manager(specs, corpora=None, encoder=encoder, out=out, settings=QUICK, progress=True)
    assert "no corpora folder" in (out / "README.md").read_text()
    assert report["remarks"]
    assert "reading messages" in capsys.readouterr().out


def test_one_skill_alone_cannot_be_learned(specs: dict[str, SkillSpec], encoder: WordEncoder, tmp_path: Path) -> None:
    only = {"weather": specs["weather"]}
    with pytest.raises(DataError, match="chitchat"):
        training.train_manager(only, corpora=None, encoder=encoder, out=tmp_path, settings=QUICK, progress=False)
    assert list(tmp_path.glob("*.safetensors")) == []


@pytest.mark.usefixtures("quick")
def test_doubtful_corpus_labels_are_dropped_and_our_own_kept(encoder: WordEncoder) -> None:
    clean = [Example(f"will it rain in {f} {i}", "weather", "c") for f in FILLERS for i in range(12)]
    clean += [Example(f"who invented the {f} {i}", "wiki", "c") for f in FILLERS for i in range(12)]
    wrong = [Example(f"will it rain in {f} now", "wiki", "c") for f in FILLERS[:4]]
    ours = [Example(f"will it rain in {f} soon", "weather", "phrases", trusted=True) for f in FILLERS]
    ours += [Example(f"who invented the {f} first", "wiki", "phrases", trusted=True) for f in FILLERS]
    ours += [Example("will it rain in oslo again", "wiki", "phrases", trusted=True)]  # odd, but we say so
    later = [Example(f"is it so, will it rain in {f}", "weather", "c", "follow", ("hm", "hm")) for f in FILLERS]
    examples = clean + wrong + ours + later
    row, vectors = encode_texts(examples, encoder, lambda done, total: None)
    kept, counts = training.clean(examples, ("weather", "wiki"), row, vectors, QUICK)
    assert set(ours) <= set(kept)
    assert len(set(wrong) & set(kept)) < len(wrong)
    assert len(set(clean) & set(kept)) > 0.9 * len(clean)
    assert counts["promoted"] == sum(e.kind == "alone" and e.message.startswith("is it so") for e in kept) > 0


def test_calibration_error_of_known_scores() -> None:
    right = torch.tensor([0, 0, 0, 0])
    assert calibration_error(torch.tensor([[1.0, 0.0]] * 4), right) == pytest.approx(0.0)
    assert calibration_error(torch.tensor([[0.9, 0.1]] * 4), 1 - right) == pytest.approx(0.9)
    half = torch.tensor([0, 1, 0, 1])
    assert calibration_error(torch.tensor([[0.7, 0.3]] * 4), half) == pytest.approx(0.2)


def test_summary_counts_confusions() -> None:
    report = summarise(["a", "a", "b", "b"], ["a", "b", "b", "b"], ["a", "b"])
    assert report["accuracy"] == 0.75
    assert report["confusion"] == [[1, 1], [0, 2]]
    assert report["confused"] == {"a -> b": 1}
    assert report["per_class"]["b"]["precision"] == pytest.approx(2 / 3)
    assert report["macro_f1"] == pytest.approx((2 / 3 + 0.8) / 2)


def test_macro_f1_is_over_the_classes_that_the_messages_have() -> None:
    report = summarise(["a", "a", "b", "b"], ["a", "b", "b", "c"], ["a", "b", "c", "d"])
    assert report["macro_f1"] == pytest.approx((2 / 3 + 0.5) / 2)
    assert report["per_class"]["c"]["n"] == 0


def test_a_bad_line_in_the_judging_file_is_named(encoder: WordEncoder, tmp_path: Path) -> None:
    head = Head(encoder.width, 2)
    head.out.bias.data = torch.tensor([9.0, 0.0])  # chitchat, whatever is said
    settings = Settings(("chitchat", "wiki"), encoder.name, encoder.fingerprint, encoder.width)
    manager = Manager(Classifier(HeadEnsemble([head]), settings), encoder)
    path = tmp_path / "messages.jsonl"
    good = {"history": [], "message": "hi", "label": "chitchat", "kind": "single"}
    path.write_text(json.dumps(good) + "\n" + json.dumps(good | {"label": "wiki"}) + "\n")
    assert evaluate_messages(manager, path)["accuracy_of"] == {"single": 0.5}
    path.write_text(json.dumps(good) + '\n{"message": "hi"}\n')
    with pytest.raises(DataError, match=r"messages\.jsonl:2"):
        evaluate_messages(manager, path)


@pytest.mark.parametrize("text", ["Hi!", "ok", "I love it. It is great.", "¿Qué?", "...", "a b c d e f g h i"])
def test_a_restyled_text_is_never_empty_and_mostly_the_same(text: str) -> None:
    for seed in range(60):
        again = restyle(text, random.Random(seed))
        assert again.strip()
        assert len(again) <= len(text) + 5


def test_styles_cut_and_slip() -> None:
    assert first_sentence("Hi! How are you? I am fine.") == "Hi! How are you?"
    assert first_sentence("Hi!") == "Hi!"
    slips = {with_typo("will it rain tomorrow", random.Random(seed)) for seed in range(20)}
    assert len(slips) > 10
    assert all(abs(len(s) - len("will it rain tomorrow")) <= 1 for s in slips)


def test_the_judge_is_not_in_what_is_learned() -> None:
    def plain(text: str) -> str:
        return " ".join(re.findall(r"\w+", text.lower()))

    judged = {plain(json.loads(line)["message"]) for line in MESSAGES.read_text(encoding="utf-8").splitlines()}
    learned = {plain(text) for spec in SkillFolders().load_all().values() for text in spec.routing.examples}
    for path in [*sorted((DATA / "samples").glob("*.jsonl")), *SKILLS.glob("*/examples.jsonl")]:
        learned |= {plain(turn.text) for dialogue in read_dialogues(path) for turn in dialogue.turns}
    assert len(learned) > 1000
    assert not {text for text in judged & learned if text}
