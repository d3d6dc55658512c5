"""The ranker: learns to find the true reply, refuses what does not fit, and chooses among a bot's drafts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from rich.progress import Progress
from safetensors.torch import load_file, save_file

from adapterbot.bot import Bot
from adapterbot.errors import DataError, WeightsError
from adapterbot.manager.bert import BertEncoder
from adapterbot.manager.encoder import WEIGHTS, Similarity
from adapterbot.manager.ranker import RANKER, Ranker, Towers, load_ranker, save_ranker, trained_on
from adapterbot.manager.training.ranker import fit, train_ranker
from adapterbot.manager.training.reply_batches import ReplyPairs, accuracy, batch, context
from adapterbot.reply.features import Situation, features
from adapterbot.spec.folders import SkillFolders


@pytest.fixture
def trained(tiny_encoder: BertEncoder, tmp_path: Path) -> Path:
    torch.manual_seed(0)
    towers = Towers(tiny_encoder.width)
    torch.nn.init.normal_(towers.context.out.weight)
    save_ranker(tmp_path / RANKER, towers, tiny_encoder)
    return tmp_path / RANKER


def test_a_context_is_the_newest_utterance_then_those_before_it() -> None:
    assert context([7]) == [7, 0, 0, 0, 0, 0, 0]
    assert context([5, 6, 7]) == [7, 0, 0, 0, 0, 5, 6]
    assert context(list(range(1, 10))) == [9, 3, 4, 5, 6, 7, 8]


def test_a_batch_bars_what_comes_later_in_the_dialogue_and_nothing_else() -> None:
    made = batch([(1, 2, 3), (4, 2)])
    assert made.candidates.tolist() == [1, 2, 3, 4]
    assert made.contexts[:, 0].tolist() == [1, 2, 4]
    assert made.candidates[made.truth].tolist() == [2, 3, 2]
    assert made.barred.tolist() == [[False, False, True, False], [False] * 4, [False] * 4]


def test_untrained_towers_compare_the_reply_with_the_newest_message() -> None:
    towers = Towers(16).eval()
    vectors = torch.nn.functional.normalize(torch.randn(5, 16), dim=-1)
    rows = torch.cat([vectors[:1], torch.zeros(6, 16)]).view(1, -1)
    wanted = towers.scale.exp() * vectors[:1] @ vectors.T
    assert torch.allclose(towers(rows, vectors), wanted, atol=1e-5)


def test_relevance_is_a_distribution_over_the_drafts_and_moves_with_them(
    trained: Path, tiny_encoder: BertEncoder
) -> None:
    ranker = load_ranker(trained, Similarity(tiny_encoder))
    replies = ["I am sorry.", "Great news!", "It is raining."]
    scores = ranker.relevance(["My cat is ill."], replies)
    assert torch.tensor(scores).exp().sum().item() == pytest.approx(1, abs=1e-4)
    again = ranker.relevance(["My cat is ill."], replies[::-1])
    assert again[::-1] == pytest.approx(scores, abs=1e-4)
    assert ranker.relevance(["so long", "My cat is ill."], replies) != pytest.approx(scores, abs=1e-4)


def test_training_on_our_samples_beats_chance_and_writes_its_report(tiny_encoder: BertEncoder, tmp_path: Path) -> None:
    specs = {name: spec for name, spec in SkillFolders().load_all().items() if name in {"weather", "empathetic"}}
    report = train_ranker(specs, corpora=None, encoder=tiny_encoder, out=tmp_path, quiet=True)
    assert set(report["per_corpus"]) == set(specs)
    assert json.loads((tmp_path / "ranker.json").read_text(encoding="utf-8")) == report
    assert isinstance(load_ranker(tmp_path / RANKER, tiny_encoder), Ranker)


def test_the_towers_learn_a_pattern_that_generalises() -> None:
    """A reply is the message turned; saying the message again is as wrong as any other."""
    draw = torch.Generator().manual_seed(0)
    turn = torch.linalg.qr(torch.randn(16, 16, generator=draw))[0]
    messages = torch.nn.functional.normalize(torch.randn(2100, 16, generator=draw), dim=-1)
    vectors = torch.cat([torch.zeros(1, 16), messages, messages @ turn])
    pairs = [(i, 2100 + i) for i in range(1, 2101)]
    train = ReplyPairs(tuple(pairs[:2000]))
    valid = ReplyPairs(tuple(pairs[2000:]))
    untrained = Towers(16)
    before = accuracy(untrained, vectors, valid)
    with Progress(disable=True) as bar:
        towers = fit(untrained, [train], [valid], vectors, 0, bar, rate=3e-3)
    assert accuracy(towers, vectors, valid) > before + 0.3
    echoes = towers(vectors[[context([i]) for i in range(2001, 2101)]].flatten(1), vectors[2001:2101]).diag()
    replies = towers(vectors[[context([i]) for i in range(2001, 2101)]].flatten(1), vectors[4101:4201]).diag()
    assert (replies > echoes).float().mean() > 0.9


def test_no_dialogues_is_an_error(tiny_encoder: BertEncoder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data"):
        train_ranker({}, corpora=None, encoder=tiny_encoder, out=tmp_path, quiet=True)
    with pytest.raises(DataError, match="is not a folder of corpora"):
        train_ranker({}, corpora=tmp_path / "nothing", encoder=tiny_encoder, out=tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", ["missing", "extra", "shape", "nan", "cut"])
def test_a_damaged_file_is_refused(trained: Path, tiny_encoder: BertEncoder, fault: str) -> None:
    tensors = load_file(trained)
    metadata = {"encoder": tiny_encoder.fingerprint}
    if fault == "cut":
        trained.write_bytes(trained.read_bytes()[:100])
    else:
        name = "reply.0.weight"
        changed = {
            "missing": {k: v for k, v in tensors.items() if k != name},
            "extra": tensors | {"more": torch.ones(1)},
            "shape": tensors | {name: torch.ones(2, 2)},
            "nan": tensors | {name: torch.full_like(tensors[name], torch.nan)},
        }[fault]
        save_file(changed, trained, metadata)
    with pytest.raises(WeightsError):
        load_ranker(trained, tiny_encoder)


def test_another_encoder_is_refused(trained: Path, tiny_encoder: BertEncoder) -> None:
    tiny_encoder.fingerprint = "another"
    with pytest.raises(WeightsError, match="train-ranker"):
        load_ranker(trained, tiny_encoder)


def test_the_bot_ranks_its_drafts_with_the_shipped_ranker_and_weights(tiny_bot: Bot) -> None:
    manager = tiny_bot.manager
    assert manager is not None
    assert manager.ranker is not None
    assert trained_on(WEIGHTS / RANKER) == manager.encoder.fingerprint
    reply = tiny_bot.respond("My cat is ill.", skill="empathetic", seed=1, drafts=4)
    measured = features(reply.drafts, Situation(("My cat is ill.",), "conversation"), manager.ranker)
    for draft, row in zip(reply.drafts, measured, strict=True):
        assert draft.score == pytest.approx(tiny_bot.roster.weights.score("conversation", row), abs=0.2)
    assert reply.text == reply.drafts[0].text


def test_the_shipped_ranker_prefers_replies_that_fit(tiny_bot: Bot) -> None:
    manager = tiny_bot.manager
    if manager is None or manager.ranker is None:
        pytest.skip("the MiniLM package is not installed")
    cases = [
        ("My dog died last night.", "I am so sorry to hear that.", "That is great! Congratulations!"),
        ("I got the job!", "Congratulations! That is great news.", "I am sorry for your loss."),
        ("Do you have any pets?", "Yes, I have a dog and two cats.", "The movie starts at nine."),
        ("What do you do for a living?", "I work as a teacher.", "It will rain on Monday."),
    ]
    for message, good, bad in cases:
        better, worse = manager.ranker.relevance([message], [good, bad])
        assert better > worse, message
