"""A checkpoint: read back whole, of one training only, and never half."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import torch
from torch import nn

from adapterbot.errors import WeightsError
from adapterbot.network.checkpoint import (
    FILE,
    Checkpoint,
    checkpoint_of,
    claim,
    read_checkpoint,
    remove_checkpoint,
    save_checkpoint,
    signals_deferred,
)

KEY = {"data": "abc", "seed": 0}


def step(learner: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """One update towards smaller outputs for fixed inputs."""
    optimizer.zero_grad()
    learner(torch.arange(6.0).view(2, 3)).square().sum().backward()
    optimizer.step()


def trained(steps: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    learner = nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.1)
    for _ in range(steps):
        step(learner, optimizer)
    return learner, optimizer


def test_what_is_restored_goes_on_bit_for_bit(tmp_path: Path) -> None:
    learner, optimizer = trained(2)
    best = {"any.name": torch.ones(2)}
    save_checkpoint(tmp_path, KEY, {"step": 2, "valid": [3.0]}, learner, {"adamw": optimizer}, best)
    step(learner, optimizer)
    again, fresh = trained(0)
    checkpoint = checkpoint_of(tmp_path, KEY)
    assert checkpoint.progress == {"step": 2, "valid": [3.0]}
    assert torch.equal(checkpoint.best["any.name"], torch.ones(2))
    checkpoint.restore_weights(again)
    checkpoint.restore_moments(again, {"adamw": fresh})
    step(again, fresh)
    assert all(torch.equal(a, b) for a, b in zip(learner.parameters(), again.parameters(), strict=True))


def test_another_training_s_or_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    learner, optimizer = trained(1)
    save_checkpoint(tmp_path, KEY, {"step": 1}, learner, {"adamw": optimizer})
    assert checkpoint_of(tmp_path, {**KEY, "seed": 1}) == Checkpoint()
    (tmp_path / FILE).write_bytes((tmp_path / FILE).read_bytes()[:100])
    assert checkpoint_of(tmp_path, KEY) == Checkpoint()
    with pytest.raises(WeightsError, match=r"checkpoint\.safetensors is damaged .* delete .* to start again"):
        read_checkpoint(tmp_path)
    remove_checkpoint(tmp_path)
    assert read_checkpoint(tmp_path) == Checkpoint()


def test_a_checkpoint_that_lacks_a_weight_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, KEY, {}, nn.Linear(3, 2, bias=False), {})
    with pytest.raises(WeightsError, match="no weights 'bias'"):
        read_checkpoint(tmp_path).restore_weights(nn.Linear(3, 2))


def test_a_place_is_one_training_s(tmp_path: Path) -> None:
    claim(tmp_path, KEY)
    claim(tmp_path, KEY)
    with pytest.raises(WeightsError, match=r"another configuration \(seed is 0 there and 1 now\)"):
        claim(tmp_path, {**KEY, "seed": 1})


def test_signals_wait_until_the_block_has_ended() -> None:
    done = []

    def interrupted() -> None:
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("the rest of the block")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
