"""The weights of the choice are learnt: from made-up turns what counts in them, from a tiny model's drafts a file."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import make_bot, make_tiny

from adapterbot.bot import Bot
from adapterbot.engine.drafts import draft
from adapterbot.errors import DataError
from adapterbot.history import History
from adapterbot.home import Home
from adapterbot.network.likelihood import mean_logprob
from adapterbot.reply.features import FEATURES
from adapterbot.reply.weights import RERANK, RankWeights, read_weights
from adapterbot.training.choosing import DRAFTS, NUMBERS, STYLE, Contest, contests, fit, judged, train_weights
from adapterbot.training.corpus import load_corpus
from adapterbot.training.windows import Window, encode_windows


@pytest.fixture(scope="module")
def ending(tmp_path_factory: pytest.TempPathFactory) -> Bot:
    """A bot on a tiny backbone that ends most of its replies by itself."""
    backbone = make_tiny()
    with torch.no_grad():
        dict(backbone.decoder.named_parameters())["wte.weight"][backbone.tokenizer.separator] *= 4
    return make_bot(backbone, Home(tmp_path_factory.mktemp("ending")), log=False)


def made_up(group: str, count: int, **better: float) -> list[Contest]:
    """Turns whose better replies have more of some features; a person's reply is always unlikely."""
    draw = random.Random(group)
    at = {name: FEATURES.index(name) for name in FEATURES}
    found = []
    for _ in range(count):
        f1 = np.array([draw.random() for _ in range(6)])
        rows = np.array([[draw.gauss(0, 0.3) for _ in FEATURES] for _ in range(7)])
        for name, slope in better.items():
            rows[:, at[name]] += slope * np.array([1.0, *f1])
        rows[0, at["likelihood"]] = -9.0
        rows[:, at["style"]] = 0.0
        found.append(Contest("made up", group, rows, f1, f1))
    return found


def test_what_makes_a_reply_better_gets_weight_and_nothing_else() -> None:
    weights = fit([*made_up("task", 40, told=2.0), *made_up("style", 40, reused=-2.0)])
    assert max(weights["task"], key=weights["task"].__getitem__) == "told"
    assert min(weights["style"], key=weights["style"].__getitem__) == "reused"
    assert weights["task"]["style"] == 0.0, "it never differs"
    assert all(abs(row["likelihood"]) < 0.3 * max(map(abs, row.values())) for row in weights.values()), (
        "that people's replies are unlikely says nothing"
    )


def test_a_likely_draft_is_better_where_likely_drafts_were() -> None:
    weights = fit(made_up("task", 40, likelihood=1.0))["task"]
    assert max(weights, key=weights.__getitem__) == "likelihood"


def test_what_weights_are_worth() -> None:
    met = made_up("task", 30, told=2.0)
    figures = judged(met, RankWeights({"task": {"told": 1.0}}))["task"]
    assert figures["people"] > 0.8
    assert figures["drafts"] > 0.8
    assert [figures[f"f1 of {n}"] for n in NUMBERS] == sorted(figures[f"f1 of {n}"] for n in NUMBERS)
    assert figures["f1 of 8"] > figures["f1 of 1"] + 20
    alone = judged(met, RankWeights())["task"]
    assert alone["people"] == 0.0, "how likely it is is not held against a person's reply, nor in its favour"
    assert 0 <= alone["reused of 1"] <= 1


def test_a_draft_is_as_likely_as_the_same_text_by_a_person(ending: Bot) -> None:
    spec = ending.specs["empathetic"]
    tokenizer, history = ending.backbone.tokenizer, History().add_user("My cat is ill.")
    adapters = ending.bank.select(["empathetic"])
    compared = 0
    for seed in range(40):
        turn = ending.responder.prepare(spec, history, (), spec.decode.override({"seed": seed, "drafts": 16}))
        for sample in ending.scheduler.grow(ending.bank, [replace(turn.request, agree=0)])[0]:
            ours = draft(ending.backbone, sample)
            if sample.finished and tokenizer.encode(ours.text) == sample.ids:  # else it is written by other pieces
                window = Window((), ("My cat is ill.", ours.text))
                (row,) = encode_windows([window], tokenizer, ending.backbone.positions)
                assert mean_logprob(ending.backbone, adapters, row) == pytest.approx(ours.logprob, abs=1e-3)
                compared += 1
        if compared > 2:
            return
    pytest.fail("no draft was written by the pieces of its text")


def test_contests_hold_a_persons_reply_and_drafts(ending: Bot) -> None:
    spec = ending.specs["weather"]
    told = list[int]()
    met = list(contests(ending.responder, spec, load_corpus(spec).valid, most=5, advance=told.append))
    assert sum(told) == 5
    assert met
    for contest in met:
        assert (contest.skill, contest.group) == ("weather", "task")
        assert contest.rows.shape == (1 + len(contest.f1), len(FEATURES))
        assert 1 <= len(contest.f1) <= DRAFTS
        assert np.isfinite(contest.rows).all()


def test_fitted_weights_are_written_and_used(ending: Bot, tmp_path: Path) -> None:
    specs = [ending.specs[name] for name in ("empathetic", "weather", "joy")]
    report = train_weights(ending.responder, specs, None, tmp_path, turns=8, quiet=True)
    assert set(report["turns"]) == {"empathetic", "weather"}
    learnt = read_weights(tmp_path / RERANK)
    assert set(learnt.groups) == {"conversation", "task", "style"}
    assert learnt.groups["style"] == {**learnt.groups["conversation"], "style": STYLE}
    assert json.loads((tmp_path / RERANK).read_text(encoding="utf-8"))["held_out"] == report["held_out"]
    assert learnt.about == report


def test_nothing_to_learn_from_is_an_error(ending: Bot, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="train skills first"):
        train_weights(ending.responder, [], None, tmp_path, quiet=True)
    assert not list(tmp_path.iterdir())
