"""A training that was killed or interrupted ends as if it had not been."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from conftest import TESTS
from haiku import same_file, train, write_skill

from adapterbot.home import Home
from adapterbot.network.backbone import Backbone
from adapterbot.network.checkpoint import FILE
from adapterbot.network.likelihood import tree_nats
from adapterbot.training import objective
from adapterbot.training.skill import TrainingResult, train_skill


@pytest.fixture(scope="module")
def finished(tiny: Backbone, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Home]:
    """One whole training that several tests look at."""
    home = Home(tmp_path_factory.mktemp("finished"))
    return train(write_skill(home), tiny, home), home


KILLED = """
import os, signal, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from conftest import make_tiny
from adapterbot.training import objective, skill as training
from adapterbot.home import Home
from adapterbot.spec.folders import SkillFolders
steps, original = [], objective.tree_nats
def deadly(*arguments):
    steps.append(1)
    if len(steps) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments)
objective.tree_nats = deadly
home = Home.at()
training.train_skill(SkillFolders(home).load("haiku"), make_tiny(), home=home, quiet=True, checkpoint_seconds=-1.0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
def test_a_killed_run_resumes_to_the_same_result_bit_for_bit(
    finished: tuple[TrainingResult, Home], tiny: Backbone, home: Home
) -> None:
    spec = write_skill(home)
    uninterrupted = finished[0]
    code = KILLED.format(tests=str(TESTS), step=9)  # in the middle of the second epoch
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == -9, done.stderr
    assert (home.training / "haiku" / FILE).exists()
    assert not (home.skills / "haiku" / "adapter.safetensors").exists()
    trained = train(spec, tiny, home)
    assert trained.resumed_at == 8
    assert trained.after == uninterrupted.after
    same_file(trained.folder, uninterrupted.folder)


def interrupt(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Ctrl-C in update number `at`."""
    steps: Iterator[int] = iter(range(1, 10_000))

    def step(*arguments: Any) -> torch.Tensor:
        if next(steps) == at:
            raise KeyboardInterrupt
        return tree_nats(*arguments)

    monkeypatch.setattr(objective, "tree_nats", step)


@pytest.mark.parametrize("at", [1, 2, 6, 7, 13])
def test_an_interrupted_run_resumes_wherever_it_stopped(
    finished: tuple[TrainingResult, Home], tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    spec = write_skill(home)
    interrupt(monkeypatch, at)
    with pytest.raises(KeyboardInterrupt):
        train(spec, tiny, home)
    interrupt(monkeypatch, 0)
    same_file(train(spec, tiny, home).folder, finished[0].folder)


def test_a_checkpoint_of_something_else_is_not_resumed(
    tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train(write_skill(home), tiny, home)
    interrupt(monkeypatch, 0)
    kept = (home.training / "haiku" / FILE).read_bytes()
    for change in ({"seed": 1}, {"epochs": 2}):
        (home.training / "haiku").mkdir(parents=True, exist_ok=True)
        (home.training / "haiku" / FILE).write_bytes(kept)
        assert train(write_skill(home), tiny, home, **change).resumed_at == 0
    (home.training / "haiku").mkdir(parents=True, exist_ok=True)
    (home.training / "haiku" / FILE).write_bytes(kept)
    assert train(write_skill(home, lines=23), tiny, home).resumed_at == 0
    (home.training / "haiku").mkdir(parents=True, exist_ok=True)
    (home.training / "haiku" / FILE).write_bytes(kept[:500])
    assert train(write_skill(home), tiny, home).resumed_at == 0


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupted_validation_loses_no_epoch(
    finished: tuple[TrainingResult, Home], tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    spec, scores = write_skill(home), iter(range(1, 10_000))
    score = objective.Objective.score

    def stopped(*arguments: Any) -> Any:
        if next(scores) == at:
            raise KeyboardInterrupt
        return score(*arguments)

    monkeypatch.setattr(objective.Objective, "score", stopped)
    with pytest.raises(KeyboardInterrupt):
        train_skill(spec, tiny, home=home, quiet=True)
    resumed = train_skill(spec, tiny, home=home, quiet=True)
    assert resumed.resumed_at == resumed.planned * at // 3
    same_file(resumed.folder, finished[0].folder)


def test_ctrl_c_between_checkpoints_loses_nothing(
    finished: tuple[TrainingResult, Home], tiny: Backbone, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = write_skill(home)
    interrupt(monkeypatch, 5)
    with pytest.raises(KeyboardInterrupt):
        train_skill(spec, tiny, home=home, quiet=True, checkpoint_seconds=math.inf)
    interrupt(monkeypatch, 0)
    resumed = train_skill(spec, tiny, home=home, quiet=True)
    assert resumed.resumed_at == 4
    same_file(resumed.folder, finished[0].folder)
    assert not (home.training / "haiku").exists()
