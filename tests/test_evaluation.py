"""The figures are what they are called: checked against values worked out by hand."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from conftest import random_adapter

from adapterbot.adapters import AdapterBank, load_adapter
from adapterbot.backbone import Backbone
from adapterbot.data import DATA
from adapterbot.data.dialogue import Dialogue, Turn, read_dialogues
from adapterbot.errors import DataError, MissingPartError
from adapterbot.evaluation import bleu, distinct, evaluate_skill, perplexity, word_f1, words
from adapterbot.home import Home
from adapterbot.spec import SkillFolders
from adapterbot.turn import Prompt

ROWS = [
    Prompt((300, 1, 301, 302, 1), (-100, -100, 301, 302, 1)),
    Prompt((400, 1, 401), (-100, -100, 401)),
    Prompt((500, 501, 502, 1, 503, 1), (-100, -100, -100, -100, 503, 1)),
]


def test_perplexity_is_exp_of_the_mean_over_all_reply_tokens(tiny: Backbone) -> None:
    losses = []
    for row in ROWS:
        with torch.inference_mode():
            logits = tiny.decoder.logits(tiny.decoder(torch.tensor([row.ids])))[0]
        wanted = [i for i, label in enumerate(row.labels) if label >= 0]
        losses += [float(F.cross_entropy(logits[i - 1], torch.tensor(row.ids[i]))) for i in wanted]
    assert len(losses) == 6
    assert perplexity(tiny, None, ROWS) == pytest.approx(math.exp(sum(losses) / 6), rel=1e-4)
    assert perplexity(tiny, None, ROWS[::-1]) == pytest.approx(perplexity(tiny, None, ROWS), rel=1e-5)


def test_a_hopeless_model_has_an_infinite_perplexity(tiny: Backbone) -> None:
    decoder = copy.deepcopy(tiny.decoder)
    with torch.no_grad():
        decoder.ln_f.weight.mul_(100_000)  # logits as far apart
    assert perplexity(replace(tiny, decoder=decoder), None, ROWS) == math.inf


def test_words_are_normalised_as_parlai_does() -> None:
    assert words("The cat, an owl & a DOG's toy!") == ["cat", "owl", "dog", "s", "toy"]
    assert words("") == []


@pytest.mark.parametrize(
    ("answer", "reference", "wanted"),
    [
        ("the cat sat", "a cat sat", 1.0),
        ("cat", "dog", 0.0),
        ("", "dog", 0.0),
        ("", "", 0.0),
        ("cat cat", "cat", 2 * 1 / 3),
        ("one two three", "two three four five", 2 * 2 / 7),
    ],
)
def test_word_f1(answer: str, reference: str, wanted: float) -> None:
    assert word_f1(answer, reference) == pytest.approx(wanted)
    assert word_f1(reference, answer) == pytest.approx(wanted)


def test_distinct() -> None:
    assert distinct(["go go go"], 1) == pytest.approx(1 / 3)
    assert distinct(["go go go"], 2) == pytest.approx(1 / 2)
    assert distinct(["one two", "two one"], 2) == 1.0
    assert distinct(["one"], 2) == 0.0
    assert distinct([], 1) == 0.0


def test_bleu_is_that_of_sacrebleu_and_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "the quick brown fox jumps over the lazy dog"
    assert bleu([text], [text]) == pytest.approx(100)
    assert bleu(["nothing in common here at all"], [text]) < 5
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu", None)
    with pytest.raises(MissingPartError, match=r"pip install 'adapterbot\[train\]'"):
        bleu(["a"], ["a"])


def test_a_skill_is_scored_on_its_dialogues(tiny: Backbone, home: Home, tmp_path: Path) -> None:
    spec = SkillFolders(home).load("empathetic")
    dialogues = list(read_dialogues(DATA / "samples" / "empathetic.jsonl"))[:6]
    path = tmp_path / "adapter.safetensors"
    random_adapter(tiny, path, 0)
    bank = AdapterBank(tiny.shape, {"empathetic": load_adapter(path, tiny.shape, tiny.fingerprint)})
    told: list[int] = []
    figures = evaluate_skill(spec, tiny, bank, dialogues, most=5, seed=3, advance=told.append)
    assert figures["replies"] == sum(told) == 5
    assert figures["perplexity"] != figures["perplexity_backbone"]
    assert all(math.isfinite(v) and v >= 0 for v in figures.values())
    assert 0 < figures["distinct_1"] <= 1
    assert figures == evaluate_skill(spec, tiny, bank, dialogues, most=5, seed=3)
    bare = evaluate_skill(spec, tiny, AdapterBank(tiny.shape), dialogues, most=5, seed=3)
    assert bare["perplexity"] == pytest.approx(bare["perplexity_backbone"])


def test_dialogues_without_a_reply_are_refused(tiny: Backbone, home: Home) -> None:
    alone = [Dialogue("d", (Turn("user", "Hi!"),))]
    with pytest.raises(DataError, match="no system reply to score for skill 'empathetic'"):
        evaluate_skill(SkillFolders(home).load("empathetic"), tiny, AdapterBank(tiny.shape), alone)
