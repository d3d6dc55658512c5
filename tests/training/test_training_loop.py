"""The parts of the training loop: loss, batches, learning rate, and which weights are kept."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from conftest import fresh_adapter

from adapterbot.errors import AdapterbotError
from adapterbot.network.adapters.trainable import Adapter
from adapterbot.network.backbone import Backbone
from adapterbot.spec.tables import TrainTable
from adapterbot.training.loop import LoopState, TrainingLoop
from adapterbot.training.schedule import batches, learning_rate
from adapterbot.turn import Prompt

ROWS = [Prompt(tuple(range(n)), ()) for n in range(2, 52)]


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


def loop_over(
    adapter: Adapter, perplexities: Sequence[float], *, patience: int = 9, state: LoopState | None = None
) -> TrainingLoop:
    """A loop of one update an epoch, after which the bias is the epoch's perplexity in a list."""
    bias = adapter.get_parameter("up_bias")
    left = iter(perplexities)

    def validate() -> float:
        value = next(left)
        with torch.no_grad():
            bias.fill_(value)
        return value

    return TrainingLoop(
        learner=adapter,
        rows=ROWS[:1],
        loss=lambda _: bias.sum(),
        validate=validate,
        weights=adapter.tensors,
        optimizer=torch.optim.AdamW(adapter.parameters(), lr=0.1),
        rate=0.1,
        table=TrainTable(patience=patience),
        epochs=len(perplexities),
        seed=0,
        remedy="lower the rate",
        state=state or LoopState(),
        best={},
    )


def test_the_best_weights_are_kept_and_staleness_counted(tiny: Backbone) -> None:
    loop = loop_over(fresh_adapter(tiny, 2), (5.0, 3.0, 4.0, 3.5, 2.0))
    seen: list[tuple[int, float]] = []
    loop.run(lambda batch, loss: None, lambda: seen.append((loop.state.stale, float(loop.best["up.bias"][0, 0]))))
    assert seen == [(0, 5.0), (0, 3.0), (1, 3.0), (2, 3.0), (0, 2.0)]
    assert (loop.state.epoch, loop.state.step) == (5, 5)


def test_it_stops_once_validation_has_not_improved_for_so_many_epochs(tiny: Backbone) -> None:
    loop = loop_over(fresh_adapter(tiny, 2), (5.0, 3.0, 4.0, 3.5, 2.0), patience=2)
    loop.run(lambda batch, loss: None)
    assert loop.state.valid == [5.0, 3.0, 4.0, 3.5]
    assert float(loop.best["up.bias"][0, 0]) == 3.0


def test_it_saves_before_the_first_update_and_after_each_epoch(tiny: Backbone) -> None:
    loop = loop_over(fresh_adapter(tiny, 2), (5.0, 3.0))
    saved: list[tuple[int, int]] = []
    loop.run(lambda batch, loss: None, save=lambda: saved.append((loop.state.step, loop.state.epoch)))
    assert saved == [(0, 0), (1, 1), (2, 2)]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_training_that_has_blown_up_is_never_the_best(tiny: Backbone, value: float) -> None:
    loop = loop_over(fresh_adapter(tiny, 2), (value,))
    with pytest.raises(AdapterbotError, match=r"the perplexity is (nan|inf) after epoch 1; lower the rate"):
        loop.run(lambda batch, loss: None)
    assert not loop.best
