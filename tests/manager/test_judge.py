"""The judge that ships: what it says of plain pairs, its form, and files that are not one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from adapterbot.errors import WeightsError
from adapterbot.manager.encoder import WEIGHTS, minilm
from adapterbot.manager.judge import (
    CONTRADICTS,
    ENTAILS,
    JUDGE,
    METADATA,
    NEITHER,
    PREMISE,
    STATEMENT,
    ClaimBatch,
    Judge,
    Judgement,
    load_judge,
    shipped_judge,
)


@pytest.fixture(scope="module")
def judge() -> Judge:
    return shipped_judge()


def test_a_pair_is_judged_alone_as_among_others(judge: Judge) -> None:
    claims = [
        ("I have two cats.", "I have cats."),
        ("The museum opens at nine. " * 20, "It is closed."),
        ("", "Nothing."),
    ]
    together = judge.judge(claims)
    for claim, judged in zip(claims, together, strict=True):
        assert judge.judge([claim])[0] == pytest.approx(judged, abs=0.03)  # bf16
        assert sum(judged) == pytest.approx(1, abs=1e-3)
    assert judge.judge([]) == []


def test_it_says_no_more_than_it_is_sure_of(judge: Judge) -> None:
    entails, contradicts = (judge.settings.thresholds[word] for word in (ENTAILS, CONTRADICTS))
    assert judge.label(Judgement(entails + 0.001, 0.0, 1 - entails)) == ENTAILS
    assert judge.label(Judgement(entails - 0.01, 0.0, 1 - entails)) == NEITHER
    assert judge.label(Judgement(0.0, contradicts + 0.001, 1 - contradicts)) == CONTRADICTS
    assert judge.label(Judgement(0.0, contradicts - 0.01, 1 - contradicts)) == NEITHER


def test_long_texts_are_cut_and_the_statement_is_marked() -> None:
    batch = ClaimBatch.of(minilm(), [("apple " * 400, "pear " * 100), ("a", "b")])
    assert (batch.ids[0] >= 0).sum() == 1 + STATEMENT + 1 + PREMISE + 1
    assert batch.stated[0].sum() == 1 + STATEMENT + 1
    assert (batch.ids[1] >= 0).sum() == 5
    assert batch.stated[1].sum() == 3


def test_a_pair_costs_milliseconds(judge: Judge) -> None:
    claims = [("I have a grey cat called Biscuit.", f"Do you have pets? Yes, I have {n} cats.") for n in range(16)]
    times = []
    for _ in range(8):
        started = time.process_time()
        judge.judge(claims)
        times.append((time.process_time() - started) / len(claims))
    assert median(times) < 0.05  # of processor time; about 10 ms


def test_files_that_are_no_judge_are_told(tmp_path: Path) -> None:
    with safe_open(WEIGHTS / JUDGE, framework="pt") as file:
        good = json.loads(file.metadata()[METADATA])
    tensors = load_file(WEIGHTS / JUDGE)
    path = tmp_path / JUDGE
    save_file(tensors, path, {"care_v1": "{}"})
    with pytest.raises(WeightsError, match="is no judge"):
        load_judge(path, minilm())
    for message, settings in {
        "another encoder": {**good, "base": "0" * 16},
        "does not fit": {**good, "surprise": 1},
        "no threshold for": {**good, "thresholds": {ENTAILS: 0.5}},
    }.items():
        save_file(tensors, path, {METADATA: json.dumps(settings)})
        with pytest.raises(WeightsError, match=message):
            load_judge(path, minilm())
    save_file({**tensors, "label.bias": tensors["label.bias"] * float("nan")}, path, {METADATA: json.dumps(good)})
    with pytest.raises(WeightsError, match="NaN"):
        load_judge(path, minilm())
    with pytest.raises(WeightsError, match="cannot be read"):
        load_judge(tmp_path / "nothing", minilm())
