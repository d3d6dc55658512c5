"""The parts of the training loop: loss, batches, learning rate, and which weights are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from adapterbot.errors import AdapterbotError
from adapterbot.network.adapters.residual import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.network.checkpoint import Checkpoint
from adapterbot.training.schedule import batches, learning_rate
from adapterbot.training.skill import reply_loss
from adapterbot.turn import Prompt

ROWS = [Prompt(tuple(range(n)), ()) for n in range(2, 52)]


def test_the_loss_is_that_of_the_reply_alone(tiny: Backbone, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [Prompt((300, 1, 301, 302, 1), (-100, -100, 301, 302, 1)), Prompt((400, 1, 401), (-100, -100, 401))]
    monkeypatch.setattr("adapterbot.training.skill.mixed_precision", lambda: torch.autocast("cpu", enabled=False))
    for first_layer in (0, 1):
        adapter = Adapter(tiny.shape, 4, first_layer)
        loss = reply_loss(tiny, adapter, rows)
        with torch.no_grad():
            one = tiny.decoder.logits(tiny.decoder(torch.tensor([rows[0].ids])))[0]
            two = tiny.decoder.logits(tiny.decoder(torch.tensor([rows[1].ids])))[0]
        wanted = F.cross_entropy(torch.cat([one[1:4], two[1:2]]), torch.tensor([301, 302, 1, 401]))
        torch.testing.assert_close(loss.detach(), wanted, rtol=1e-4, atol=1e-4)
        loss.backward()
        gradients = {n: p.grad is not None and bool(p.grad.any()) for n, p in adapter.named_parameters()}
        assert gradients["up_weight"]
        assert gradients["up_bias"]


def test_batches_hold_every_row_once_in_an_order_of_their_own() -> None:
    made = list(batches(ROWS, 4, "seed"))
    assert sorted(len(r.ids) for batch in made for r in batch) == list(range(2, 52))
    assert made == list(batches(ROWS, 4, "seed"))
    assert made != list(batches(ROWS, 4, "other"))
    assert list(batches(ROWS, 4, "seed", skip=5)) == made[5:]
    assert all(max(len(r.ids) for r in b) - min(len(r.ids) for r in b) <= 4 for b in made), "rows of like length"


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, 100, 0.1) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < min(rates) == rates[-1] <= 0.1
    assert learning_rate(0, 1, 0.0) > 0


def test_the_best_weights_are_kept_and_staleness_counted(tiny: Backbone, tmp_path: Path) -> None:
    adapter = Adapter(tiny.shape, 2)
    checkpoint = Checkpoint.open(tmp_path, "key", adapter)
    seen = []
    for value in (5.0, 3.0, 4.0, 3.5, 2.0):
        with torch.no_grad():
            adapter.get_parameter("up_bias").fill_(value)
        checkpoint.end_epoch(value)
        seen.append((checkpoint.stale, float(checkpoint.best["up.bias"][0, 0])))
    assert seen == [(0, 5.0), (0, 3.0), (1, 3.0), (2, 3.0), (0, 2.0)]
    assert checkpoint.epoch == 5


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_training_that_has_blown_up_is_never_the_best(tiny: Backbone, tmp_path: Path, value: float) -> None:
    adapter = Adapter(tiny.shape, 2)
    checkpoint = Checkpoint.open(tmp_path, "key", adapter)
    with pytest.raises(AdapterbotError, match=r"after epoch 1; lower train\.lr"):
        checkpoint.end_epoch(value)


def test_a_checkpoint_reads_back_whole(tiny: Backbone, tmp_path: Path) -> None:
    adapter = Adapter(tiny.shape, 2)
    checkpoint = Checkpoint.open(tmp_path, "key", adapter)
    optimizer = checkpoint.optimizer(adapter, 0.1)
    adapter.get_parameter("up_bias").sum().backward()
    optimizer.step()
    checkpoint.step = 1
    checkpoint.end_epoch(3.0)
    checkpoint.save(optimizer)
    other = Adapter(tiny.shape, 2, seed=9)
    again = Checkpoint.open(tmp_path, "key", other)
    assert (again.step, again.epoch, again.valid) == (1, 1, [3.0])
    assert all(torch.equal(t, other.tensors()[n]) for n, t in adapter.tensors().items())
    moments = again.optimizer(other, 0.1).state[other.get_parameter("up_bias")]
    assert torch.equal(moments["exp_avg"], optimizer.state[adapter.get_parameter("up_bias")]["exp_avg"])
    assert Checkpoint.open(tmp_path, "another key", Adapter(tiny.shape, 2)).step == 0
    again.remove()
    assert not tmp_path.exists()
