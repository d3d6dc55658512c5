"""Several processes, and several pieces of a batch, train the adapter that one process trains with whole batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from haiku import train, write_skill

from adapterbot.errors import SettingError
from adapterbot.home import Home
from adapterbot.network.adapters.file import load_adapter
from adapterbot.network.backbone import Backbone, load_backbone
from adapterbot.network.device import training_type
from adapterbot.training.workers import Workers

LAUNCH = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
CLOSE = 0.02  # of an adapter's length: what rounding makes of three epochs


def weights(folder: Path, backbone: Backbone) -> torch.Tensor:
    """All weights of an adapter in one row, without those of its norm."""
    file = load_adapter(folder / "adapter.safetensors", backbone.shape, backbone.fingerprint)
    return torch.cat([t.float().flatten() for name, t in sorted(file.tensors.items()) if not name.startswith("norm")])


def apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """How far two adapters are from one another, as a share of the first one's length."""
    return float((one - other).norm() / one.norm())


def test_every_row_falls_to_one_process() -> None:
    rows = list(range(7))
    shares = [Workers(index, 3).share(rows) for index in range(3)]
    assert sorted(row for share in shares for row in share) == rows
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert Workers(2, 3).share([1]) == []
    assert Workers().share(rows) == rows


def test_pieces_make_the_adapter_of_whole_batches(tiny: Backbone, home: Home) -> None:
    spec = write_skill(home)
    whole = train(spec, tiny, home, out=home.root / "whole")
    pieces = train(spec, tiny, home, out=home.root / "pieces", accumulate=3)
    other = train(spec, tiny, home, out=home.root / "other", seed=1)
    assert pieces.steps == whole.steps
    assert pieces.after == pytest.approx(whole.after, rel=1e-3)
    wanted = weights(whole.folder, tiny)
    assert apart(wanted, weights(pieces.folder, tiny)) < CLOSE < apart(wanted, weights(other.folder, tiny))
    with pytest.raises(SettingError, match="accumulate=0 is outside 1 to 1024"):
        train(spec, tiny, home, accumulate=0)


def test_two_processes_train_the_adapter_of_one(tiny_folder: Path, home: Home) -> None:
    pytest.importorskip("accelerate")
    spec = write_skill(home)
    backbone = load_backbone(str(tiny_folder), dtype=training_type())
    alone = train(spec, backbone, home, out=home.root / "alone")
    command = [sys.executable, *LAUNCH, "-m", "adapterbot.cli", "train-skill", "haiku", "--backbone", str(tiny_folder)]
    command += ["--out", str(home.root / "together"), "--accumulate", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("written to ") == 1
    assert done.stdout.count("training on ") == 1
    assert f"perplexity on validation replies {alone.before:.2f} before" in done.stdout
    together = weights(home.root / "together" / "haiku", backbone)
    assert apart(weights(alone.folder, backbone), together) < CLOSE
    assert not (home.training / "haiku").exists()
